//! Root keys: the only secrets that come from outside, newest first. Each use derives a key of its own
//! from them (HKDF-SHA-256, RFC 5869), so that no two uses share one.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Wraps data keys and signing keys.
    Wrap,
    /// Makes the token of a mailed sign-in link from its id.
    SignInLink,
    /// Makes the next refresh token from the one before, and marks those that are ours.
    RefreshToken,
    /// Makes what a browser's cookie must say for a sign-in that it began.
    Browser,
    /// Names rate-limit buckets, so that Redis holds no address in clear.
    Limit,
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Wrap => b"crm/wrap",
            Self::SignInLink => b"crm/sign-in-link",
            Self::RefreshToken => b"crm/refresh-token",
            Self::Browser => b"crm/browser",
            Self::Limit => b"crm/limit",
        }
    }
}

/// The root keys, newest first.
#[derive(Clone)]
pub struct RootKeys(Vec<(String, Zeroizing<[u8; 32]>)>);

struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

impl RootKeys {
    /// Parses `id:base64,id:base64`; each key has 32 bytes. `strict` refuses keys that can't be random.
    ///
    /// # Errors
    /// What is wrong, without any key.
    pub fn parse(text: &str, strict: bool) -> Result<Self, String> {
        let mut keys: Vec<(String, Zeroizing<[u8; 32]>)> = Vec::new();
        for (index, part) in text.split(',').map(str::trim).enumerate() {
            let place = index + 1;
            let (id, encoded) = part
                .split_once(':')
                .ok_or_else(|| format!("key {place} must be ID:BASE64"))?;
            if id.is_empty() || id.len() > 32 || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Err(format!(
                    "the id of key {place} must be 1 to 32 letters, digits or dashes"
                ));
            }
            if keys.iter().any(|(other, _)| other == id) {
                return Err(format!("two keys have the id {id}"));
            }
            let bytes = Zeroizing::new(
                STANDARD
                    .decode(encoded)
                    .map_err(|_| format!("key {place} is no base64"))?,
            );
            let key: [u8; 32] = bytes
                .as_slice()
                .try_into()
                .map_err(|_| format!("key {place} must have 32 bytes"))?;
            let distinct = key.iter().collect::<std::collections::HashSet<_>>().len();
            if strict && distinct < 8 {
                return Err(format!("key {place} is not random"));
            }
            keys.push((id.to_owned(), Zeroizing::new(key)));
        }
        Ok(Self(keys))
    }

    /// The id of the key that new secrets are made under.
    #[must_use]
    pub fn newest(&self) -> &str {
        self.0.first().map_or("", |(id, _)| id)
    }

    /// The key for one purpose, derived from the root key of that id; none if it is not ours any more.
    #[must_use]
    pub fn derive(&self, id: &str, purpose: Purpose) -> Option<Zeroizing<[u8; 32]>> {
        let (_, root) = self.0.iter().find(|(known, _)| known == id)?;
        let mut out = Zeroizing::new([0; 32]);
        let prk = Salt::new(HKDF_SHA256, b"personal-crm").extract(root.as_slice());
        prk.expand(&[purpose.info()], Bytes32)
            .ok()?
            .fill(out.as_mut_slice())
            .ok()?;
        Some(out)
    }

    /// HMAC-SHA-256 under the key for one purpose.
    #[must_use]
    pub fn mac(&self, id: &str, purpose: Purpose, message: &[u8]) -> Option<[u8; 32]> {
        let key = self.derive(id, purpose)?;
        Some(mac(key.as_slice(), message))
    }
}

/// HMAC-SHA-256 (RFC 2104).
pub(crate) fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const TWO: &str =
        "b:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=,a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn purposes_and_keys_never_share_a_derived_key() {
        let keys = RootKeys::parse(TWO, true).unwrap();
        assert_eq!(keys.newest(), "b");
        let mut seen = std::collections::HashSet::new();
        for id in ["a", "b"] {
            for purpose in [
                Purpose::Wrap,
                Purpose::SignInLink,
                Purpose::RefreshToken,
                Purpose::Browser,
                Purpose::Limit,
            ] {
                assert!(seen.insert(keys.derive(id, purpose).unwrap().to_vec()));
            }
        }
        assert!(keys.derive("c", Purpose::Wrap).is_none());
    }

    #[test]
    fn bad_lists_are_refused() {
        for text in [
            "",
            "a",
            "a:",
            "a:AAAA",
            ":AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            &format!("{TWO},{TWO}"),
        ] {
            assert!(RootKeys::parse(text, false).is_err(), "{text}");
        }
    }
}
