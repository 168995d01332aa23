//! Envelope encryption: root keys from the environment wrap each owner's data keys, and those seal what
//! is private. AES-256-GCM throughout (NIST SP 800-38D), with random 96-bit nonces.
//!
//! A sealed value is bound by its associated data to environment, table, column, owner and row: moved
//! elsewhere, it does not open.

mod keyring;
mod root;
mod sealed;

pub use keyring::{DigestKey, Field, Keyring, create_owner_keys};
pub(crate) use root::mac;
pub use root::{Purpose, RootKeys};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::error::{Error, Result};

/// Makes aws-lc-rs what rustls uses in this process; the first thing that `main` does. Calling it again
/// changes nothing.
pub fn install_crypto_provider() {
    // Fails only when one is installed already.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
}

/// That many bytes from the system's generator.
///
/// # Errors
/// [`Error::Internal`] when the system has none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::internal("no randomness"))?;
    Ok(bytes)
}

/// SHA-256: what is kept of a secret that is itself random.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// Whether two byte strings are equal, in a time that does not tell where they differ.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
