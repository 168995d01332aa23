//! Signing keys as they lie in the database: read, made, given their ends. Whoever changes them holds one
//! lock, so that any number of processes come to one result.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use entity::Ciphertext;
use sea_orm::QueryResult;
use zeroize::Zeroizing;

use crate::config::Environment;
use crate::crypto::{Field, random};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::identity::token::longest_lifetime;

/// A key that must sign at once begins a little in the past, so that a process whose clock is behind
/// does not make another.
const HEAD_START: TimeDelta = TimeDelta::minutes(1);
/// How much longer than its last token a key is kept.
const SLACK: TimeDelta = TimeDelta::minutes(5);

/// Bytes of a key's id.
const ID: usize = 12;

const PRIVATE: Field = Field {
    table: "signing_key",
    column: "private_key",
};

/// A key, as it lies there.
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) public: Vec<u8>,
    /// PKCS#8; none when it does not open: its root key is not ours, or somebody wrote into the table.
    pub(super) private: Option<Zeroizing<Vec<u8>>>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) signs_from: DateTime<Utc>,
    pub(super) retired_at: Option<DateTime<Utc>>,
}

impl Stored {
    /// Whether it verifies. Only a key whose private half opens is believed, so that writing into the
    /// table makes nobody an issuer of tokens.
    pub(super) fn verifies(&self, now: DateTime<Utc>) -> bool {
        self.private.is_some() && !self.is_retired(now)
    }

    pub(super) fn is_retired(&self, now: DateTime<Utc>) -> bool {
        self.retired_at.is_some_and(|at| at <= now)
    }

    /// Later keys take over from earlier ones.
    pub(super) fn order(&self) -> (DateTime<Utc>, &str) {
        (self.signs_from, &self.id)
    }
}

/// Whether a text has the form of our keys' ids.
pub(in crate::identity) fn is_key_id(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == ID)
}

/// The key that signs: the latest of those that have begun to.
pub(super) fn signer(keys: &[Stored], now: DateTime<Utc>) -> Option<&Stored> {
    keys.iter()
        .filter(|key| key.verifies(now) && key.signs_from <= now)
        .max_by(|a, b| a.order().cmp(&b.order()))
}

/// Only one transaction at a time changes keys.
pub(super) async fn lock(tx: &Tx) -> Result<()> {
    tx.run(
        "SELECT pg_advisory_xact_lock(hashtextextended('signing_key', 0))",
        [],
    )
    .await?;
    Ok(())
}

/// Every key of this environment.
pub(super) async fn load(tx: &Tx) -> Result<Vec<Stored>> {
    let rows = tx
        .query(
            "SELECT id, public_key, private_key, root_key, created_at, signs_from, retired_at \
             FROM signing_key WHERE environment = $1 ORDER BY signs_from, id",
            [tx.keyring().environment().as_str().into()],
        )
        .await?;
    rows.iter().map(|row| read(tx, row)).collect()
}

fn read(tx: &Tx, row: &QueryResult) -> Result<Stored> {
    let id: String = row.try_get("", "id")?;
    let sealed: Ciphertext = row.try_get("", "private_key")?;
    let root_key: String = row.try_get("", "root_key")?;
    let public: Vec<u8> = row.try_get("", "public_key")?;
    let opened = tx
        .keyring()
        .open_under_root(&root_key, PRIVATE, &id, &sealed)
        .ok();
    Ok(Stored {
        private: opened.filter(|private| is_pair(private, &public)),
        id,
        public,
        created_at: row.try_get("", "created_at")?,
        signs_from: row.try_get("", "signs_from")?,
        retired_at: row.try_get("", "retired_at")?,
    })
}

fn is_pair(private: &[u8], public: &[u8]) -> bool {
    Ed25519KeyPair::from_pkcs8(private).is_ok_and(|pair| pair.public_key().as_ref() == public)
}

/// Makes a key that signs at once.
pub(super) async fn make_now(tx: &Tx) -> Result<String> {
    make(tx, tx.now() - HEAD_START).await
}

/// Makes a key. Its id.
pub(super) async fn make(tx: &Tx, signs_from: DateTime<Utc>) -> Result<String> {
    let pair = Ed25519KeyPair::generate().map_err(|_| Error::internal("no Ed25519 key could be made"))?;
    let private = pair
        .to_pkcs8()
        .map_err(|_| Error::internal("an Ed25519 key has no PKCS#8"))?;
    let id = URL_SAFE_NO_PAD.encode(random::<ID>()?);
    let (root_key, sealed) = tx.keyring().seal_under_root(PRIVATE, &id, private.as_ref())?;
    tx.run(
        "INSERT INTO signing_key (id, environment, algorithm, public_key, private_key, root_key, created_at, signs_from) \
         VALUES ($1, $2, 'EdDSA', $3, $4, $5, $6, $7)",
        [
            id.as_str().into(),
            tx.keyring().environment().as_str().into(),
            pair.public_key().as_ref().to_vec().into(),
            sealed.into(),
            root_key.into(),
            tx.now().into(),
            signs_from.into(),
        ],
    )
    .await?;
    tracing::info!(kid = %id, %signs_from, "made a signing key");
    Ok(id)
}

/// Lets a key that was published for later sign at once: every process knows it already.
pub(super) async fn promote(tx: &Tx, id: &str) -> Result<()> {
    tx.run(
        "UPDATE signing_key SET signs_from = $2 WHERE id = $1",
        [id.into(), (tx.now() - HEAD_START).into()],
    )
    .await?;
    Ok(())
}

/// Destroys a key. What it signed is refused as soon as a process reads the keys again.
pub(super) async fn destroy(tx: &Tx, id: &str) -> Result<()> {
    tx.run("DELETE FROM signing_key WHERE id = $1", [id.into()])
        .await?;
    Ok(())
}

/// Gives every key its end: when the last token expires that it can have signed before the next one took
/// over, and none while there is no next one. A key that does not open here may be good elsewhere: it
/// neither ends nor takes over.
pub(super) async fn settle(tx: &Tx) -> Result<()> {
    let now = tx.now();
    let keys = load(tx).await?;
    let mut verifying: Vec<&Stored> = keys.iter().filter(|key| key.verifies(now)).collect();
    verifying.sort_by(|a, b| a.order().cmp(&b.order()));
    for (place, key) in verifying.iter().enumerate() {
        let next = verifying.get(place + 1);
        let end = next.map(|next| next.signs_from + outlasts(tx.keyring().environment()));
        if end != key.retired_at {
            tx.run(
                "UPDATE signing_key SET retired_at = $2 WHERE id = $1",
                [key.id.as_str().into(), end.into()],
            )
            .await?;
        }
    }
    Ok(())
}

/// How long a key is needed after its last signature.
fn outlasts(environment: Environment) -> TimeDelta {
    longest_lifetime(environment) + SLACK
}
