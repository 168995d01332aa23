//! The type of an encrypted column: plaintext can't be written into it by accident.

use sea_orm::entity::prelude::*;

/// Sealed bytes, as `domain::crypto` makes and opens them. There is deliberately no conversion from
/// text or from plain bytes other than the one named for it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct Ciphertext(Vec<u8>);

impl Ciphertext {
    /// Wraps what a cipher produced.
    #[must_use]
    pub fn from_sealed(sealed: Vec<u8>) -> Self {
        Self(sealed)
    }

    /// The sealed bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
