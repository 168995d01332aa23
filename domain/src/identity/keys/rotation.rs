//! The life of signing keys: made every so many days, published a day before they sign, kept until the last
//! token of theirs has expired, then destroyed. And what ends one at once.

use chrono::{DateTime, TimeDelta, Utc};

use super::stored::{self, Stored, signer};
use crate::db::Db;
use crate::error::{Error, Result};

/// How long a key is published before it signs.
const AHEAD: TimeDelta = TimeDelta::days(1);

/// What a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// The id of the key that it made.
    pub made: Option<String>,
    /// The ids of those that it destroyed.
    pub destroyed: Vec<String>,
}

/// Makes the next key if the newest is `days` old, and destroys those whose last token has expired. Any number
/// of processes may do it at any time: there is something to do or there is not.
///
/// # Errors
/// When the database refuses.
pub async fn rotate(db: &Db, days: u16) -> Result<Rotated> {
    let every = TimeDelta::days(i64::from(days));
    let tx = db.begin_auth().await?;
    stored::lock(&tx).await?;
    let now = tx.now();
    let keys = stored::load(&tx).await?;
    let newest = keys
        .iter()
        .filter(|key| key.verifies(now))
        .map(|key| key.created_at)
        .max();
    let mut rotated = Rotated::default();
    if signer(&keys, now).is_none() {
        rotated.made = Some(stored::make_now(&tx).await?);
    } else if newest.is_some_and(|made| made + every <= now) {
        rotated.made = Some(stored::make(&tx, now + AHEAD).await?);
    }
    stored::settle(&tx).await?;
    // A key that does not open here may be another process's, but not for ever.
    let forgotten = |key: &Stored| key.private.is_none() && key.signs_from + every * 2 <= now;
    for key in keys.iter().filter(|key| key.is_retired(now) || forgotten(key)) {
        stored::destroy(&tx, &key.id).await?;
        tracing::info!(kid = %key.id, "destroyed a signing key");
        rotated.destroyed.push(key.id.clone());
    }
    tx.commit().await?;
    Ok(rotated)
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Will sign.
    Published,
    /// Signs.
    Signs,
    /// Signs no more, and verifies what it signed.
    Verifies,
    /// Does nothing any more, and will be destroyed.
    Retired,
    /// Does not open with this process's root keys.
    Unusable,
}

impl State {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signs => "signs",
            Self::Verifies => "verifies",
            Self::Retired => "retired",
            Self::Unusable => "unusable",
        }
    }
}

/// A key, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id, as in a token's `kid`.
    pub id: String,
    /// What it does now.
    pub state: State,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it signs.
    pub signs_from: DateTime<Utc>,
    /// When it stops verifying; none while nothing follows it.
    pub retired_at: Option<DateTime<Utc>>,
}

/// Every key of this environment, in the order in which they sign.
///
/// # Errors
/// When the database refuses.
pub async fn list(db: &Db) -> Result<Vec<KeyInfo>> {
    let tx = db.begin_auth().await?;
    let now = tx.now();
    let keys = stored::load(&tx).await?;
    let signs = signer(&keys, now).map(|key| key.id.clone());
    let info = |key: Stored| KeyInfo {
        state: if key.is_retired(now) {
            State::Retired
        } else if key.private.is_none() {
            State::Unusable
        } else if key.signs_from > now {
            State::Published
        } else if signs.as_deref() == Some(&key.id) {
            State::Signs
        } else {
            State::Verifies
        },
        id: key.id,
        created_at: key.created_at,
        signs_from: key.signs_from,
        retired_at: key.retired_at,
    };
    Ok(keys.into_iter().map(info).collect())
}

/// Which keys are to be retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one of that id.
    Id(String),
    /// The one that signs.
    Current,
    /// All there are.
    All,
}

/// What retiring did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    /// The ids of the keys that are gone.
    pub gone: Vec<String>,
    /// The id of the key that signs now.
    pub signs: String,
}

/// Destroys keys at once: what they signed is refused by every process as soon as it reads the keys again, which
/// is within seconds, and no process signs with them any more. Sessions stay: their refresh tokens are not
/// signed by these keys, and give new access tokens.
///
/// # Errors
/// [`Error::NotFound`] when there is no such key.
pub async fn retire(db: &Db, which: &Which) -> Result<Retired> {
    let tx = db.begin_auth().await?;
    stored::lock(&tx).await?;
    let now = tx.now();
    let keys = stored::load(&tx).await?;
    let before = signer(&keys, now).map(|key| key.id.as_str());
    let (gone, left): (Vec<&Stored>, Vec<&Stored>) = keys.iter().partition(|key| match which {
        Which::Id(id) => key.id == *id,
        Which::Current => before == Some(&key.id),
        Which::All => true,
    });
    if gone.is_empty() && *which != Which::All {
        return Err(Error::NotFound);
    }
    for key in &gone {
        stored::destroy(&tx, &key.id).await?;
    }
    let signs = match before.filter(|id| left.iter().any(|key| key.id == *id)) {
        Some(id) => id.to_owned(),
        None => succeed(&tx, &left).await?,
    };
    stored::settle(&tx).await?;
    tx.commit().await?;
    let gone = gone.iter().map(|key| key.id.clone()).collect();
    Ok(Retired { gone, signs })
}

/// Has another key sign from now on: the next one, if it is published already, because everybody knows it;
/// else a new one.
async fn succeed(tx: &crate::db::Tx, left: &[&Stored]) -> Result<String> {
    let now = tx.now();
    let next = left
        .iter()
        .filter(|key| key.verifies(now) && key.signs_from > now)
        .min_by(|a, b| a.order().cmp(&b.order()));
    match next {
        Some(next) => {
            stored::promote(tx, &next.id).await?;
            Ok(next.id.clone())
        }
        None => stored::make_now(tx).await,
    }
}
