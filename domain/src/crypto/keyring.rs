//! Each owner's data keys: made with the owner, kept wrapped in the database, unwrapped when needed and
//! forgotten soon after.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::root::{Purpose, RootKeys, mac};
use super::{random, sealed};
use crate::config::{Config, Environment};
use crate::db::Tx;
use crate::error::{Error, Result};
use entity::Ciphertext;

/// How long an unwrapped key is kept in memory.
const KEPT: Duration = Duration::from_secs(300);
/// How many at most; then all are forgotten.
const MOST: usize = 10_000;

/// An encrypted column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The table's name.
    pub table: &'static str,
    /// The column's name.
    pub column: &'static str,
}

type Key = Zeroizing<[u8; 32]>;

/// Owner, purpose, and the version that was asked for; none for the newest.
type Asked = (Uuid, &'static str, Option<i32>);

/// The root keys, and the data keys that are unwrapped at the moment.
pub struct Keyring {
    environment: Environment,
    root: RootKeys,
    unwrapped: Mutex<HashMap<Asked, (i32, Key, Instant)>>,
}

impl Keyring {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            environment: config.environment,
            root: config.root_keys.clone(),
            unwrapped: Mutex::default(),
        }
    }

    /// The environment that every sealed value is bound to.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// The root keys.
    #[must_use]
    pub fn root(&self) -> &RootKeys {
        &self.root
    }

    /// Seals a secret of the product itself, one that belongs to no owner, under the newest root key.
    /// Returns the root key's id beside it.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn seal_under_root(&self, field: Field, row: &str, plaintext: &[u8]) -> Result<(String, Ciphertext)> {
        let id = self.root.newest().to_owned();
        let key = self.wrapping_key(&id)?;
        let sealed = sealed::seal(&key, 0, &self.system_aad(field, row), plaintext)?;
        Ok((id, Ciphertext::from_sealed(sealed)))
    }

    /// Opens what [`Keyring::seal_under_root`] sealed.
    ///
    /// # Errors
    /// [`Error::Internal`] when the root key is not ours or the value was moved or changed.
    pub fn open_under_root(
        &self,
        root_key: &str,
        field: Field,
        row: &str,
        value: &Ciphertext,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let key = self.wrapping_key(root_key)?;
        sealed::open(&key, &self.system_aad(field, row), value.as_bytes())
    }

    fn wrapping_key(&self, id: &str) -> Result<Key> {
        self.root
            .derive(id, Purpose::Wrap)
            .ok_or_else(|| Error::internal(format!("ROOT_KEYS lacks the key {id}")))
    }

    fn system_aad(&self, field: Field, row: &str) -> Vec<u8> {
        [self.environment.as_str(), field.table, field.column, row]
            .join("\0")
            .into_bytes()
    }

    fn aad(&self, field: Field, owner: Uuid, row: Uuid) -> Vec<u8> {
        let mut aad = [self.environment.as_str(), field.table, field.column, ""]
            .join("\0")
            .into_bytes();
        aad.extend_from_slice(owner.as_bytes());
        aad.extend_from_slice(row.as_bytes());
        aad
    }

    fn remembered(&self, owner: Uuid, purpose: &'static str, version: Option<i32>) -> Option<(i32, Key)> {
        let unwrapped = self.unwrapped.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, key, since) = unwrapped.get(&(owner, purpose, version))?;
        (since.elapsed() < KEPT).then(|| (*version, key.clone()))
    }

    fn remember(&self, owner: Uuid, purpose: &'static str, asked: Option<i32>, version: i32, key: &Key) {
        let mut unwrapped = self.unwrapped.lock().unwrap_or_else(PoisonError::into_inner);
        unwrapped.retain(|_, (_, _, since)| since.elapsed() < KEPT);
        if unwrapped.len() >= MOST {
            unwrapped.clear();
        }
        unwrapped.insert((owner, purpose, asked), (version, key.clone(), Instant::now()));
    }
}

const WRAPPED: Field = Field {
    table: "data_key",
    column: "wrapped",
};

fn key_row(owner: Uuid, purpose: &str, version: i32) -> String {
    format!("{owner}/{purpose}/{version}")
}

/// Makes a new owner's first keys, in the transaction that makes the owner.
///
/// # Errors
/// When the database refuses.
pub async fn create_owner_keys(tx: &Tx, owner: Uuid) -> Result<()> {
    for purpose in ["seal", "index"] {
        let key = Zeroizing::new(random::<32>()?);
        let (root_key, wrapped) =
            tx.keyring()
                .seal_under_root(WRAPPED, &key_row(owner, purpose, 1), key.as_slice())?;
        tx.run(
            "INSERT INTO data_key (owner_id, purpose, version, wrapped, root_key, created_at) VALUES ($1, $2, 1, $3, $4, $5)",
            [owner.into(), purpose.into(), wrapped.into(), root_key.into(), tx.now().into()],
        )
        .await?;
    }
    Ok(())
}

impl Tx {
    /// Seals `plaintext` for that column of that row, under the owner's newest data key.
    ///
    /// # Errors
    /// When the owner has no key, or the database is gone.
    pub async fn seal(&self, field: Field, row: Uuid, plaintext: &[u8]) -> Result<Ciphertext> {
        let owner = self.owner()?;
        let (version, key) = self.data_key("seal", None).await?;
        let version = u32::try_from(version).map_err(Error::internal)?;
        let sealed = sealed::seal(&key, version, &self.keyring().aad(field, owner, row), plaintext)?;
        Ok(Ciphertext::from_sealed(sealed))
    }

    /// Opens what [`Tx::seal`] sealed for the same column of the same row.
    ///
    /// # Errors
    /// [`Error::Internal`] when the value was moved or changed.
    pub async fn open(&self, field: Field, row: Uuid, value: &Ciphertext) -> Result<Zeroizing<Vec<u8>>> {
        let owner = self.owner()?;
        let version = i32::try_from(sealed::version(value.as_bytes())?).map_err(Error::internal)?;
        let (_, key) = self.data_key("seal", Some(version)).await?;
        sealed::open(&key, &self.keyring().aad(field, owner, row), value.as_bytes())
    }

    /// The owner's key for digests that are compared but never opened.
    ///
    /// # Errors
    /// As [`Tx::seal`].
    pub async fn digest_key(&self) -> Result<DigestKey> {
        Ok(DigestKey(self.data_key("index", None).await?.1))
    }

    /// A data key: of that version, or the newest.
    async fn data_key(&self, purpose: &'static str, version: Option<i32>) -> Result<(i32, Key)> {
        let owner = self.owner()?;
        if let Some(found) = self.keyring().remembered(owner, purpose, version) {
            return Ok(found);
        }
        let row = self
            .query_one_row(
                "SELECT version, wrapped, root_key FROM data_key \
                 WHERE purpose = $1 AND ($2::integer IS NULL OR version = $2) ORDER BY version DESC LIMIT 1",
                [purpose.into(), Value::Int(version)],
            )
            .await?
            .ok_or_else(|| Error::internal("the owner has no such data key"))?;
        let found: i32 = row.try_get("", "version")?;
        let wrapped: Ciphertext = row.try_get("", "wrapped")?;
        let root_key: String = row.try_get("", "root_key")?;
        let opened =
            self.keyring()
                .open_under_root(&root_key, WRAPPED, &key_row(owner, purpose, found), &wrapped)?;
        let bytes: [u8; 32] = opened.as_slice().try_into().map_err(Error::internal)?;
        let key = Zeroizing::new(bytes);
        self.keyring().remember(owner, purpose, version, found, &key);
        Ok((found, key))
    }
}

/// A key for digests of one owner's data.
pub struct DigestKey(Key);

impl DigestKey {
    /// HMAC-SHA-256 of `message`.
    #[must_use]
    pub fn digest(&self, message: &[u8]) -> [u8; 32] {
        mac(self.0.as_slice(), message)
    }
}
