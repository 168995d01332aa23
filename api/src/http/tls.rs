//! TLS by the binary itself (1.2 and 1.3): a certificate and its key from PEM files, read again when they
//! change. Connections that are open stay open; new ones get the new certificate.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use domain::config::TlsFiles;
use domain::crypto::sha256;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

/// How often the files are looked at. They are small, and their contents are compared: a file that was put in
/// place by renaming or through a link may well keep its time.
const EVERY: Duration = Duration::from_secs(5);

/// The certificate that is served.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    current: RwLock<Arc<CertifiedKey>>,
    /// Digest of what was read last, good or not.
    seen: Mutex<[u8; 32]>,
}

/// Why files make no certificate. Never with their contents.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that can't be read.
    #[error("{0} can't be read")]
    Unreadable(&'static str, #[source] std::io::Error),
    /// A file without what it should hold.
    #[error("{0} holds no {1} in PEM")]
    Malformed(&'static str, &'static str),
    /// The two don't belong together, or aren't of a kind that is known.
    #[error("TLS_CERT_FILE and TLS_KEY_FILE can't be used together: {0}")]
    Mismatch(#[source] rustls::Error),
}

/// What a look at the files found.
#[derive(Debug)]
pub enum Look {
    /// The same as before.
    Unchanged,
    /// A new certificate, served from now on.
    Renewed,
    /// Something that can't be used: the old certificate is served on.
    Broken(TlsError),
}

struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read =
            |variable, path| std::fs::read(path).map_err(|error| TlsError::Unreadable(variable, error));
        Ok(Self {
            certificate: read("TLS_CERT_FILE", &files.certificate)?,
            key: read("TLS_KEY_FILE", &files.key)?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        sha256(&[sha256(&self.certificate), sha256(&self.key)].concat())
    }

    fn certified(&self) -> Result<CertifiedKey, TlsError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or(TlsError::Malformed("TLS_CERT_FILE", "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::Malformed("TLS_KEY_FILE", "private key"))?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(TlsError::Mismatch)
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// When they can't be used.
    pub fn load(files: &TlsFiles) -> Result<Arc<Self>, TlsError> {
        let contents = Contents::read(files)?;
        Ok(Arc::new(Self {
            files: files.clone(),
            current: RwLock::new(Arc::new(contents.certified()?)),
            seen: Mutex::new(contents.digest()),
        }))
    }

    /// What the listener is given.
    #[must_use]
    pub fn server_config(self: &Arc<Self>) -> ServerConfig {
        // The listener adds the protocols that it speaks: h2 and http/1.1.
        ServerConfig::builder_with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>)
    }

    /// Looks whether the files have changed.
    pub fn look(&self) -> Look {
        let contents = match Contents::read(&self.files) {
            Ok(contents) => contents,
            Err(error) => return Look::Broken(error),
        };
        let digest = contents.digest();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == digest {
            return Look::Unchanged;
        }
        // Read as the one file was new and the other not yet: then the next look finds another change.
        *seen = digest;
        match contents.certified() {
            Ok(certified) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                Look::Renewed
            }
            Err(error) => Look::Broken(error),
        }
    }

    /// Looks every few seconds, for ever.
    pub async fn watch(self: Arc<Self>) {
        let mut unreadable = false;
        loop {
            tokio::time::sleep(EVERY).await;
            let certificates = Arc::clone(&self);
            let Ok(look) = tokio::task::spawn_blocking(move || certificates.look()).await else {
                continue;
            };
            let is_unreadable = matches!(look, Look::Broken(TlsError::Unreadable(..)));
            match look {
                Look::Unchanged => {}
                Look::Renewed => tracing::info!("serving a new TLS certificate"),
                // A file that stays away is told once.
                Look::Broken(_) if is_unreadable && unreadable => {}
                Look::Broken(error) => tracing::error!(%error, "serving the old TLS certificate on"),
            }
            unreadable = is_unreadable;
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.current.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}
