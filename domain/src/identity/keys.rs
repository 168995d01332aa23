//! The keys that sign access tokens (Ed25519, RFC 8037): kept in the database, private halves sealed
//! under a root key, made by whoever finds none, and read again every few seconds, so that every copy
//! of the API follows a new or retired key without being told.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use entity::Ciphertext;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::Serialize;

use crate::config::{Config, Environment};
use crate::crypto::{Field, random};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};

/// How long the keys in memory are used before they are read again.
const FRESH: Duration = Duration::from_secs(5);
/// How often a minute an unknown `kid` may have them read out of turn: tokens are made up for nothing.
const UNKNOWN_A_MINUTE: u32 = 6;

const PRIVATE: Field = Field {
    table: "signing_key",
    column: "private_key",
};

/// The signing keys of one process.
pub(crate) struct SigningKeys {
    db: Db,
    environment: Environment,
    state: RwLock<Option<Arc<Known>>>,
    reading: tokio::sync::Mutex<OutOfTurn>,
}

/// The keys that are not retired, as they were read last.
pub(crate) struct Known {
    keys: HashMap<String, Key>,
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
}

struct OutOfTurn {
    since: Instant,
    done: u32,
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
    pub(crate) fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    /// The newest key that signs already.
    pub(crate) fn signer(&self, now: DateTime<Utc>) -> Option<(&str, &Key)> {
        self.keys
            .iter()
            .filter(|(_, key)| key.signs_from <= now)
            .max_by(|a, b| (a.1.signs_from, a.0).cmp(&(b.1.signs_from, b.0)))
            .map(|(kid, key)| (kid.as_str(), key))
    }

    pub(crate) fn public(&self) -> KeySet {
        let mut keys: Vec<_> = self.keys.iter().collect();
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
    pub(crate) fn new(db: &Db, config: &Config) -> Self {
        Self {
            db: db.clone(),
            environment: config.environment,
            state: RwLock::new(None),
            reading: tokio::sync::Mutex::new(OutOfTurn {
                since: Instant::now(),
                done: 0,
            }),
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

    /// The keys with that one among them, reading out of turn for one that is not known yet.
    pub(crate) async fn with(&self, kid: &str) -> Result<Option<Arc<Known>>> {
        let known = self.current().await?;
        if known.get(kid).is_some() {
            return Ok(Some(known));
        }
        let mut turn = self.reading.lock().await;
        let now_known = self.known();
        if let Some(known) = now_known.as_ref().filter(|known| known.get(kid).is_some()) {
            return Ok(Some(Arc::clone(known)));
        }
        if turn.since.elapsed() >= Duration::from_secs(60) {
            *turn = OutOfTurn {
                since: Instant::now(),
                done: 0,
            };
        }
        if turn.done >= UNKNOWN_A_MINUTE {
            return Ok(None);
        }
        turn.done += 1;
        let read = self.read(now_known.as_ref()).await?;
        Ok(read.get(kid).is_some().then_some(read))
    }

    async fn read(&self, before: Option<&Arc<Known>>) -> Result<Arc<Known>> {
        let (mut keys, unusable) = self.load(&self.db.begin_auth().await?).await?;
        if unusable > before.map_or(0, |before| before.unusable) {
            tracing::warn!(
                unusable,
                "signing keys are under root keys that ROOT_KEYS lacks, or were changed"
            );
        }
        let now = self.db.clock().now();
        if !keys.values().any(|key| key.signs_from <= now) {
            keys = self.make().await?;
        }
        let version = match before {
            Some(before)
                if before.keys.len() == keys.len()
                    && keys.keys().all(|kid| before.keys.contains_key(kid)) =>
            {
                before.version
            }
            Some(before) => before.version + 1,
            None => 0,
        };
        let known = Arc::new(Known {
            keys,
            read_at: Instant::now(),
            version,
            unusable,
        });
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        Ok(known)
    }

    /// The keys that are ours, and how many are not: only one whose private half opens is believed, so
    /// that writing into the table makes nobody an issuer of tokens.
    async fn load(&self, tx: &Tx) -> Result<(HashMap<String, Key>, usize)> {
        let rows = tx
            .query(
                "SELECT id, public_key, private_key, root_key, signs_from FROM signing_key \
                 WHERE environment = $1 AND (retired_at IS NULL OR retired_at > $2)",
                [self.environment.as_str().into(), tx.now().into()],
            )
            .await?;
        let mut keys = HashMap::new();
        let mut unusable = 0;
        for row in rows {
            let id: String = row.try_get("", "id")?;
            let sealed: Ciphertext = row.try_get("", "private_key")?;
            let root_key: String = row.try_get("", "root_key")?;
            let public: Vec<u8> = row.try_get("", "public_key")?;
            let opened = tx
                .keyring()
                .open_under_root(&root_key, PRIVATE, &id, &sealed)
                .ok();
            let own = opened.filter(|private| is_pair(private, &public));
            let Some(private) = own else {
                unusable += 1;
                continue;
            };
            let key = Key {
                decoding: DecodingKey::from_ed_der(&public),
                encoding: EncodingKey::from_ed_der(&private),
                public,
                signs_from: row.try_get("", "signs_from")?,
            };
            keys.insert(id, key);
        }
        Ok((keys, unusable))
    }

    /// Makes a key unless somebody else has just made one.
    async fn make(&self) -> Result<HashMap<String, Key>> {
        let tx = self.db.begin_auth().await?;
        tx.run(
            "SELECT pg_advisory_xact_lock(hashtextextended('signing_key', 0))",
            [],
        )
        .await?;
        let (keys, _) = self.load(&tx).await?;
        if keys.values().any(|key| key.signs_from <= tx.now()) {
            return Ok(keys);
        }
        let pair = Ed25519KeyPair::generate().map_err(|_| Error::internal("no Ed25519 key could be made"))?;
        let private = pair
            .to_pkcs8()
            .map_err(|_| Error::internal("an Ed25519 key has no PKCS#8"))?;
        let id = URL_SAFE_NO_PAD.encode(random::<12>()?);
        let (root_key, sealed) = tx.keyring().seal_under_root(PRIVATE, &id, private.as_ref())?;
        tx.run(
            "INSERT INTO signing_key (id, environment, algorithm, public_key, private_key, root_key, created_at, signs_from) \
             VALUES ($1, $2, 'EdDSA', $3, $4, $5, $6, $6)",
            [
                id.as_str().into(),
                self.environment.as_str().into(),
                pair.public_key().as_ref().to_vec().into(),
                sealed.into(),
                root_key.into(),
                tx.now().into(),
            ],
        )
        .await?;
        let (keys, _) = self.load(&tx).await?;
        tx.commit().await?;
        tracing::info!(kid = %id, "made a signing key");
        Ok(keys)
    }
}

fn is_pair(private: &[u8], public: &[u8]) -> bool {
    Ed25519KeyPair::from_pkcs8(private).is_ok_and(|pair| pair.public_key().as_ref() == public)
}
