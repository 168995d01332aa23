//! What a browser keeps from beginning a sign-in to ending it, so that nobody else can end it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::crypto::{random, sha256};
use crate::error::Result;

/// The secret of one browser: 32 random bytes in a cookie. The database knows its hash.
pub struct BrowserSecret(Zeroizing<[u8; 32]>);

impl BrowserSecret {
    /// A new one.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] without randomness.
    pub fn new() -> Result<Self> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// Reads the cookie's value.
    #[must_use]
    pub fn parse(cookie: &str) -> Option<Self> {
        decode32(cookie).map(Self)
    }

    /// The cookie's value: base64url of 32 bytes.
    #[must_use]
    pub fn to_cookie(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_slice())
    }

    /// What the database knows of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_slice())
    }
}

/// Base64url of exactly 32 bytes.
pub(super) fn decode32(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    if text.len() != 43 {
        return None;
    }
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_reads_back_and_garbage_does_not() -> Result<()> {
        let browser = BrowserSecret::new()?;
        let again = BrowserSecret::parse(&browser.to_cookie());
        assert_eq!(again.map(|again| again.hash()), Some(browser.hash()));
        for text in [
            "",
            "a",
            &"=".repeat(43),
            &"A".repeat(42),
            &"A".repeat(44),
            &"é".repeat(22),
        ] {
            assert!(BrowserSecret::parse(text).is_none(), "{text}");
        }
        Ok(())
    }
}
