//! Ceremonies: what lies between the beginning of a sign-in and its end, where a browser goes away and
//! comes back (to a provider, to its authenticator). Each is good for some minutes, for the browser that
//! began it, and ends once. They are kept in the database, so that any copy of the API may end what
//! another began; what they hold is sealed, and of the handle that comes back only the hash is stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use entity::Ciphertext;
use sea_orm::QueryResult;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::browser::{BrowserSecret, decode32};
use super::session::UserRef;
use crate::crypto::{Field, random, sha256};
use crate::db::Tx;
use crate::error::{Error, Result};

/// How long one is good.
pub const VALID: TimeDelta = TimeDelta::minutes(10);
/// How long an authenticator's challenge is good.
pub const CHALLENGE_VALID: TimeDelta = TimeDelta::minutes(5);

const STATE: Field = Field {
    table: "ceremony",
    column: "state",
};

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The browser is at a provider of single sign-on.
    Sso,
    /// An authenticator makes a passkey.
    PasskeyRegistration,
    /// An authenticator signs in.
    PasskeySignIn,
    /// The first factor is given, the second is not.
    SecondFactor,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sso => "sso",
            Self::PasskeyRegistration => "passkey_registration",
            Self::PasskeySignIn => "passkey_sign_in",
            Self::SecondFactor => "second_factor",
        }
    }

    fn valid(self) -> TimeDelta {
        match self {
            Self::Sso | Self::SecondFactor => VALID,
            Self::PasskeyRegistration | Self::PasskeySignIn => CHALLENGE_VALID,
        }
    }
}

/// What a browser, or a provider, must come back with: 43 characters of base64url, 256 random bits.
pub struct Handle(Zeroizing<[u8; 32]>);

impl Handle {
    /// Reads one; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        decode32(text).map(Self)
    }

    /// As it goes out.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_slice())
    }

    fn id(&self) -> [u8; 32] {
        sha256(self.0.as_slice())
    }
}

/// A ceremony that was found for its handle and its browser.
pub(super) struct Ceremony<S> {
    /// For whom it is, if that was known when it began.
    pub(super) of: Option<UserRef>,
    /// What was put away when it began.
    pub(super) state: S,
}

/// Begins one.
pub(super) async fn begin(
    tx: &Tx,
    kind: Kind,
    browser: &BrowserSecret,
    of: Option<UserRef>,
    state: &impl Serialize,
) -> Result<Handle> {
    let handle = Handle(Zeroizing::new(random()?));
    let id = handle.id();
    let state = Zeroizing::new(serde_json::to_vec(state).map_err(Error::internal)?);
    let (root_key, sealed) = tx.keyring().seal_under_root(STATE, &row(&id), &state)?;
    tx.run(
        "INSERT INTO ceremony (id, kind, browser_hash, owner_id, user_id, state, root_key, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            id.to_vec().into(),
            kind.as_str().into(),
            browser.hash().to_vec().into(),
            of.map(|of| of.owner).into(),
            of.map(|of| of.user).into(),
            sealed.into(),
            root_key.into(),
            tx.now().into(),
            (tx.now() + kind.valid()).into(),
        ],
    )
    .await?;
    Ok(handle)
}

/// Ends one: the second who comes with its handle finds nothing, and so does another browser, for which
/// it stays as it was.
pub(super) async fn end<S: DeserializeOwned>(
    tx: &Tx,
    kind: Kind,
    handle: &Handle,
    browser: &BrowserSecret,
) -> Result<Option<Ceremony<S>>> {
    let id = handle.id();
    let row = tx
        .query_one_row(
            "DELETE FROM ceremony WHERE id = $1 AND kind = $2 AND browser_hash = $3 AND expires_at > $4 \
             RETURNING owner_id, user_id, state, root_key",
            [
                id.to_vec().into(),
                kind.as_str().into(),
                browser.hash().to_vec().into(),
                tx.now().into(),
            ],
        )
        .await?;
    row.map(|row| read(tx, &id, &row)).transpose()
}

/// Looks at one, counts an attempt at it, and leaves it; it is held until the transaction ends, which must be
/// committed for the attempt to count. None after `most` attempts.
pub(super) async fn attempt<S: DeserializeOwned>(
    tx: &Tx,
    kind: Kind,
    handle: &Handle,
    browser: &BrowserSecret,
    most: i16,
) -> Result<Option<Ceremony<S>>> {
    let id = handle.id();
    let row = tx
        .query_one_row(
            "UPDATE ceremony SET attempts = attempts + 1 \
             WHERE id = $1 AND kind = $2 AND browser_hash = $3 AND expires_at > $4 AND attempts < $5 \
             RETURNING owner_id, user_id, state, root_key",
            [
                id.to_vec().into(),
                kind.as_str().into(),
                browser.hash().to_vec().into(),
                tx.now().into(),
                most.into(),
            ],
        )
        .await?;
    row.map(|row| read(tx, &id, &row)).transpose()
}

fn read<S: DeserializeOwned>(tx: &Tx, id: &[u8; 32], found: &QueryResult) -> Result<Ceremony<S>> {
    let sealed: Ciphertext = found.try_get("", "state")?;
    let root_key: String = found.try_get("", "root_key")?;
    let state = tx
        .keyring()
        .open_under_root(&root_key, STATE, &row(id), &sealed)?;
    let (owner, user): (Option<uuid::Uuid>, Option<uuid::Uuid>) =
        (found.try_get("", "owner_id")?, found.try_get("", "user_id")?);
    Ok(Ceremony {
        of: owner.zip(user).map(|(owner, user)| UserRef { owner, user }),
        state: serde_json::from_slice(&state).map_err(Error::internal)?,
    })
}

fn row(id: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

/// Removes those that nobody can end any more.
pub(crate) async fn remove_expired(tx: &Tx, most: i64) -> Result<u64> {
    tx.run(
        "DELETE FROM ceremony WHERE id IN (SELECT id FROM ceremony WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
        [tx.now().into(), most.into()],
    )
    .await
}
