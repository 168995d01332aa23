//! The keys that sign access tokens (Ed25519, RFC 8037): kept in the database, private halves sealed
//! under a root key, made by whoever finds none, and read again every few seconds, so that every copy
//! of the API follows a new or retired key without being told. Nothing is signed before the keys were
//! read once more: no copy signs with a key that was retired before it was asked.

mod rotation;
mod stored;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::Serialize;

use crate::db::Db;
use crate::error::Result;

pub use rotation::{KeyInfo, Retired, Rotated, State, Which, list, retire, rotate};
use stored::Stored;
pub(super) use stored::is_key_id;

/// How long the keys in memory are used before they are read again.
const FRESH: Duration = Duration::from_secs(5);
/// How soon after a reading an unknown `kid` may have them read again: tokens are made up for nothing.
const APART: Duration = Duration::from_secs(1);

/// The signing keys of one process.
pub(crate) struct SigningKeys {
    db: Db,
    state: RwLock<Option<Arc<Known>>>,
    reading: tokio::sync::Mutex<()>,
}

/// The keys that are not retired, as they were read last.
pub(crate) struct Known {
    keys: HashMap<String, Key>,
    /// When the reading began: they are as old as that.
    read_at: Instant,
    /// Changes when the set does, so that nothing learnt under a retired key is remembered.
    pub(crate) version: u64,
    /// How many were passed over.
    unusable: usize,
}

pub(crate) struct Key {
    pub(crate) decoding: DecodingKey,
    pub(crate) encoding: EncodingKey,
    public: Vec<u8>,
    signs_from: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
}

impl Key {
    fn is_retired(&self, now: DateTime<Utc>) -> bool {
        self.retired_at.is_some_and(|at| at <= now)
    }
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeySet {
    /// Every key by which a token may be signed, now or soon.
    pub keys: Vec<PublicKey>,
}

/// A public key in the form of RFC 8037.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
    x: String,
}

impl Known {
    /// The key of that id, unless it is retired.
    pub(crate) fn get(&self, kid: &str, now: DateTime<Utc>) -> Option<&Key> {
        self.keys.get(kid).filter(|key| !key.is_retired(now))
    }

    /// The newest key that signs already.
    pub(crate) fn signer(&self, now: DateTime<Utc>) -> Option<(&str, &Key)> {
        self.keys
            .iter()
            .filter(|(_, key)| key.signs_from <= now && !key.is_retired(now))
            .max_by(|a, b| (a.1.signs_from, a.0).cmp(&(b.1.signs_from, b.0)))
            .map(|(kid, key)| (kid.as_str(), key))
    }

    pub(crate) fn public(&self, now: DateTime<Utc>) -> KeySet {
        let mut keys: Vec<_> = self.keys.iter().filter(|(_, key)| !key.is_retired(now)).collect();
        keys.sort_by(|a, b| (b.1.signs_from, b.0).cmp(&(a.1.signs_from, a.0)));
        let public = |(kid, key): (&String, &Key)| PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            usage: "sig",
            alg: "EdDSA",
            kid: kid.clone(),
            x: URL_SAFE_NO_PAD.encode(&key.public),
        };
        KeySet {
            keys: keys.into_iter().map(public).collect(),
        }
    }
}

impl SigningKeys {
    pub(crate) fn new(db: &Db) -> Self {
        Self {
            db: db.clone(),
            state: RwLock::new(None),
            reading: tokio::sync::Mutex::default(),
        }
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys, read again if it is time. One caller reads; the others go on with what is there.
    pub(crate) async fn current(&self) -> Result<Arc<Known>> {
        let Some(known) = self.known() else {
            let _reading = self.reading.lock().await;
            return match self.known() {
                Some(known) => Ok(known),
                None => self.read(None).await,
            };
        };
        if known.read_at.elapsed() < FRESH {
            return Ok(known);
        }
        let Ok(_reading) = self.reading.try_lock() else {
            return Ok(known);
        };
        match self.read(Some(&known)).await {
            Ok(read) => Ok(read),
            Err(error) => {
                tracing::warn!(%error, "signing keys could not be read again");
                Ok(known)
            }
        }
    }

    /// The keys as they are now, to sign with: read after this was called. Of many that ask at once, a few
    /// read for all.
    pub(crate) async fn latest(&self) -> Result<Arc<Known>> {
        let asked = Instant::now();
        let _reading = self.reading.lock().await;
        let known = self.known();
        match known.as_ref().filter(|known| known.read_at >= asked) {
            Some(known) => Ok(Arc::clone(known)),
            None => self.read(known.as_ref()).await,
        }
    }

    /// The keys with that one among them, if there is one: what is not known yet is looked for before it is
    /// refused. Who makes ids up has the keys read once a second, and waits for it with all who do the same.
    ///
    /// # Errors
    /// When it is not known, and the database can't be asked.
    pub(crate) async fn with(&self, kid: &str) -> Result<Arc<Known>> {
        let asked = Instant::now();
        let known = self.current().await?;
        if known.keys.contains_key(kid) {
            return Ok(known);
        }
        tokio::time::sleep_until((known.read_at + APART).into()).await;
        let _reading = self.reading.lock().await;
        let known = self.known();
        let settles = |known: &&Arc<Known>| known.keys.contains_key(kid) || known.read_at >= asked;
        match known.as_ref().filter(settles) {
            Some(known) => Ok(Arc::clone(known)),
            None => self.read(known.as_ref()).await,
        }
    }

    async fn read(&self, before: Option<&Arc<Known>>) -> Result<Arc<Known>> {
        let read_at = Instant::now();
        let tx = self.db.begin_auth().await?;
        let mut keys = stored::load(&tx).await?;
        let now = tx.now();
        drop(tx);
        if stored::signer(&keys, now).is_none() {
            keys = self.make().await?;
        }
        let unusable = keys
            .iter()
            .filter(|key| key.private.is_none() && !key.is_retired(now))
            .count();
        if unusable > before.map_or(0, |before| before.unusable) {
            tracing::warn!(
                unusable,
                "signing keys are under root keys that ROOT_KEYS lacks, or were changed"
            );
        }
        let keys: HashMap<String, Key> = keys.into_iter().filter_map(|key| usable(key, now)).collect();
        let version = match before {
            None => 0,
            Some(before)
                if before.keys.len() == keys.len()
                    && keys.keys().all(|kid| before.keys.contains_key(kid)) =>
            {
                before.version
            }
            Some(before) => {
                tracing::info!(kids = ?keys.keys().collect::<Vec<_>>(), "the signing keys changed");
                before.version + 1
            }
        };
        let known = Arc::new(Known {
            keys,
            read_at,
            version,
            unusable,
        });
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        Ok(known)
    }

    /// Makes a key unless somebody else has just made one. All there are.
    async fn make(&self) -> Result<Vec<Stored>> {
        let tx = self.db.begin_auth().await?;
        stored::lock(&tx).await?;
        if stored::signer(&stored::load(&tx).await?, tx.now()).is_none() {
            stored::make_now(&tx).await?;
            stored::settle(&tx).await?;
        }
        let keys = stored::load(&tx).await?;
        tx.commit().await?;
        Ok(keys)
    }
}

fn usable(key: Stored, now: DateTime<Utc>) -> Option<(String, Key)> {
    if key.is_retired(now) {
        return None;
    }
    let decoded = Key {
        decoding: DecodingKey::from_ed_der(&key.public),
        encoding: EncodingKey::from_ed_der(&key.private?),
        public: key.public,
        signs_from: key.signs_from,
        retired_at: key.retired_at,
    };
    Some((key.id, decoded))
}
