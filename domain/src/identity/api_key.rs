//! API keys: by which an integration comes in its maker's name, and does what its scopes allow. Shown once and
//! kept as a hash; made and revoked only by who is signed in.

mod text;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::QueryResult;
use uuid::Uuid;

use super::audit::{self, Event};
use super::scope::{Scope, Scopes};
use crate::config::{Config, Environment};
use crate::db::{Db, Tx};
use crate::error::{Code, Error, Result, UserError};

pub use text::KeyText;

/// How long a key is good unless its maker says otherwise.
pub const LIFETIME: TimeDelta = TimeDelta::days(365);
/// How long a key is good at most: five years.
pub const LONGEST: TimeDelta = TimeDelta::days(5 * 365 + 1);
/// How many good keys a user has at most.
pub const MOST: i64 = 50;
/// How many keys a user makes in a day at most; each is mailed about.
const MOST_A_DAY: i64 = 100;
/// How many keys are listed at most: the good ones first.
const LISTED: i64 = 200;
/// How often it is written down that a key is used.
const USED_EVERY: TimeDelta = TimeDelta::minutes(1);
/// How long a key that was found is not looked up again. Each transaction of its asks whether it still is good; a
/// request that opens none may be answered for this long after the end.
const REMEMBERED_FOR: TimeDelta = TimeDelta::seconds(3);
/// How many keys a process remembers at most.
const REMEMBERED: usize = 10_000;
/// How long a key that has ended is kept, for its user to see.
const KEPT: TimeDelta = TimeDelta::days(90);

/// A key, as its maker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// What it is for, as its maker calls it.
    pub name: String,
    /// Its first characters.
    pub hint: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Whether it opens anything at that time.
    #[must_use]
    pub fn is_good(&self, at: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at > at
    }

    fn read(row: &QueryResult) -> Result<Self> {
        Ok(Self {
            id: row.try_get("", "id")?,
            name: row.try_get("", "name")?,
            hint: row.try_get("", "hint")?,
            scopes: scopes_of(row)?,
            created_at: row.try_get("", "created_at")?,
            expires_at: row.try_get("", "expires_at")?,
            last_used_at: row.try_get("", "last_used_at")?,
            revoked_at: row.try_get("", "revoked_at")?,
        })
    }
}

/// A scope that there is no more allows nothing.
fn scopes_of(row: &QueryResult) -> Result<Scopes> {
    let texts: Vec<String> = row.try_get("", "scopes")?;
    Ok(texts.iter().filter_map(|text| Scope::parse(text)).collect())
}

/// A key to be made.
#[derive(Clone, Debug, Default)]
pub struct NewApiKey {
    /// What it is for; 1 to 100 characters.
    pub name: String,
    /// The names of its scopes, at least one.
    pub scopes: Vec<String>,
    /// When it ends; in [`LIFETIME`] if nothing is said, and at most in [`LONGEST`].
    pub expires_at: Option<DateTime<Utc>>,
}

struct Checked {
    name: String,
    scopes: Scopes,
    expires_at: DateTime<Utc>,
}

impl NewApiKey {
    fn check(self, now: DateTime<Utc>) -> Result<Checked> {
        let name = self.name.trim().to_owned();
        let mut wrong = Vec::new();
        if name.is_empty() {
            wrong.push(UserError::at("name", Code::Required, "Say what the key is for."));
        } else if name.chars().count() > 100 {
            wrong.push(UserError::at("name", Code::TooLong, "At most 100 characters."));
        } else if name.chars().any(char::is_control) {
            wrong.push(UserError::at(
                "name",
                Code::Invalid,
                "A name is one line of text.",
            ));
        }
        let mut scopes = Vec::new();
        for (index, text) in self.scopes.iter().enumerate() {
            match Scope::parse(text) {
                Some(scope) => scopes.push(scope),
                None => {
                    let field = format!("scopes.{index}");
                    wrong.push(UserError::at(&field, Code::Invalid, "There is no such scope."));
                }
            }
        }
        if self.scopes.is_empty() {
            wrong.push(UserError::at(
                "scopes",
                Code::Required,
                "Choose at least one scope.",
            ));
        }
        let expires_at = self.expires_at.unwrap_or(now + LIFETIME);
        if expires_at <= now || expires_at > now + LONGEST {
            let message = "A key ends in the future, and in five years at the latest.";
            wrong.push(UserError::at("expiresAt", Code::Invalid, message));
        }
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        Ok(Checked {
            name,
            scopes: scopes.into_iter().collect(),
            expires_at,
        })
    }
}

/// Makes a key. Its text is returned here and can't be had again.
///
/// # Errors
/// [`Error::Invalid`] with all that is wrong, also when there are too many keys.
pub async fn create(tx: &Tx, new: NewApiKey) -> Result<(ApiKey, KeyText)> {
    let new = new.check(tx.now())?;
    let viewer = tx.viewer()?;
    let (owner, user) = (viewer.owner(), viewer.user());
    make_room(tx, user).await?;
    let text = KeyText::new(tx.keyring().environment())?;
    let key = ApiKey {
        id: tx.new_id(),
        name: new.name,
        hint: text.hint().to_owned(),
        scopes: new.scopes,
        created_at: tx.now(),
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    let scopes: Vec<String> = key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    tx.run(
        "INSERT INTO api_key (owner_id, id, user_id, name, hint, key_hash, scopes, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            owner.into(),
            key.id.into(),
            user.into(),
            key.name.clone().into(),
            key.hint.clone().into(),
            text.hash().to_vec().into(),
            scopes.into(),
            key.created_at.into(),
            key.expires_at.into(),
        ],
    )
    .await?;
    let event = Event::new(audit::Kind::ApiKeyCreated)
        .about(&key.name)
        .api_key(key.id);
    audit::record_own(tx, event).await?;
    Ok((key, text))
}

/// The user is held while their keys are counted, so that no two make the last one.
async fn make_room(tx: &Tx, user: Uuid) -> Result<()> {
    tx.run(
        "SELECT 1 FROM app_user WHERE id = $1 FOR NO KEY UPDATE",
        [user.into()],
    )
    .await?;
    let row = tx
        .query_one_row(
            "SELECT count(*) FILTER (WHERE revoked_at IS NULL AND expires_at > $2) AS good, \
                 count(*) FILTER (WHERE created_at > $3) AS new FROM api_key WHERE user_id = $1",
            [
                user.into(),
                tx.now().into(),
                (tx.now() - TimeDelta::days(1)).into(),
            ],
        )
        .await?
        .ok_or_else(|| Error::internal("a count returned no row"))?;
    let (good, new): (i64, i64) = (row.try_get("", "good")?, row.try_get("", "new")?);
    if good >= MOST {
        let message = format!("There are {MOST} keys already. Revoke one that is not needed any more.");
        return Err(Error::invalid("", Code::TooMany, message));
    }
    if new >= MOST_A_DAY {
        let message = "These are very many keys for one day. Please go on tomorrow.";
        return Err(Error::invalid("", Code::TooMany, message));
    }
    Ok(())
}

/// The viewer's keys, the good ones first, then the newest first.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn list(tx: &Tx) -> Result<Vec<ApiKey>> {
    let rows = tx
        .query(
            "SELECT id, name, hint, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_key \
             WHERE user_id = $1 ORDER BY (revoked_at IS NULL AND expires_at > $2) DESC, created_at DESC, id DESC \
             LIMIT $3",
            [tx.viewer()?.user().into(), tx.now().into(), LISTED.into()],
        )
        .await?;
    rows.iter().map(ApiKey::read).collect()
}

/// Those of the viewer's keys that have these ids.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn get_many(tx: &Tx, ids: &[Uuid]) -> Result<Vec<ApiKey>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx
        .query(
            "SELECT id, name, hint, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_key \
             WHERE id = ANY($1)",
            [ids.to_vec().into()],
        )
        .await?;
    rows.iter().map(ApiKey::read).collect()
}

/// Revokes a key: its next request is refused. Doing so twice is no error.
///
/// # Errors
/// [`Error::NotFound`] when the viewer has no such key.
pub async fn revoke(tx: &Tx, id: Uuid) -> Result<ApiKey> {
    let revoked = tx
        .run(
            "UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
            [id.into(), tx.now().into()],
        )
        .await?;
    let row = tx
        .query_one_row(
            "SELECT id, name, hint, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_key WHERE id = $1",
            [id.into()],
        )
        .await?
        .ok_or(Error::NotFound)?;
    let key = ApiKey::read(&row)?;
    if revoked > 0 {
        let event = Event::new(audit::Kind::ApiKeyRevoked)
            .about(&key.name)
            .api_key(key.id);
        audit::record_own(tx, event).await?;
    }
    Ok(key)
}

/// A key that is good. Only looking one up makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    pub(crate) owner: Uuid,
    pub(crate) user: Uuid,
    pub(crate) key: Uuid,
    pub(crate) scopes: Scopes,
    expires_at: DateTime<Utc>,
}

/// Looks keys up. Cheap to clone.
#[derive(Clone)]
pub struct ApiKeys(Arc<Inner>);

/// By the hash of a key: whose it is, and since when that is remembered.
type Known = HashMap<[u8; 32], (KnownKey, DateTime<Utc>)>;

struct Inner {
    db: Db,
    environment: Environment,
    known: Mutex<Known>,
}

impl ApiKeys {
    /// Of that environment. The database is first asked when a key comes.
    #[must_use]
    pub fn new(db: &Db, config: &Config) -> Self {
        Self(Arc::new(Inner {
            db: db.clone(),
            environment: config.environment,
            known: Mutex::default(),
        }))
    }

    /// Whose key it is, if it is one of ours and good now. What is none by its form is refused without asking the
    /// database.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for whatever is wrong with it.
    pub async fn verify(&self, text: &str) -> Result<KnownKey> {
        let inner = &self.0;
        let key = KeyText::parse(inner.environment, text).ok_or(Error::Unauthenticated)?;
        let hash = key.hash();
        let now = inner.db.clock().now();
        if let Some(known) = inner.remembered(&hash, now) {
            return Ok(known);
        }
        let known = look(&inner.db, &hash).await?;
        inner.remember(hash, known.clone(), now);
        Ok(known)
    }
}

impl Inner {
    fn remembered(&self, hash: &[u8; 32], now: DateTime<Utc>) -> Option<KnownKey> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, since) = known.get(hash)?;
        (*since + REMEMBERED_FOR > now && key.expires_at > now).then(|| key.clone())
    }

    fn remember(&self, hash: [u8; 32], key: KnownKey, now: DateTime<Utc>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, since)| *since + REMEMBERED_FOR > now);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(hash, (key, now));
    }
}

async fn look(db: &Db, hash: &[u8; 32]) -> Result<KnownKey> {
    let tx = db.begin_auth().await?;
    let row = tx
        .query_one_row(
            "SELECT k.owner_id, k.id, k.user_id, k.scopes, k.expires_at, k.last_used_at FROM api_key k \
             JOIN app_user u ON u.owner_id = k.owner_id AND u.id = k.user_id \
             WHERE k.key_hash = $1 AND k.revoked_at IS NULL AND k.expires_at > $2 AND u.delete_after IS NULL",
            [hash.to_vec().into(), tx.now().into()],
        )
        .await?
        .ok_or(Error::Unauthenticated)?;
    let known = KnownKey {
        owner: row.try_get("", "owner_id")?,
        user: row.try_get("", "user_id")?,
        key: row.try_get("", "id")?,
        scopes: scopes_of(&row)?,
        expires_at: row.try_get("", "expires_at")?,
    };
    let last_used_at: Option<DateTime<Utc>> = row.try_get("", "last_used_at")?;
    let before = tx.now() - USED_EVERY;
    if last_used_at.is_none_or(|at| at <= before) {
        tx.run(
            "UPDATE api_key SET last_used_at = $2 WHERE owner_id = $3 AND id = $1 \
             AND (last_used_at IS NULL OR last_used_at <= $4)",
            [
                known.key.into(),
                tx.now().into(),
                known.owner.into(),
                before.into(),
            ],
        )
        .await?;
        tx.commit().await?;
    }
    Ok(known)
}

/// Removes keys that ended long ago; returns how many. In a transaction of the sign-in.
pub(crate) async fn remove_ended(tx: &Tx, most: i64) -> Result<u64> {
    tx.run(
        "DELETE FROM api_key WHERE (owner_id, id) IN (
            SELECT owner_id, id FROM api_key WHERE least(revoked_at, expires_at) < $1 LIMIT $2)",
        [(tx.now() - KEPT).into(), most.into()],
    )
    .await
}
