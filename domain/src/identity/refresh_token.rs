//! Refresh tokens: what a browser's session cookie holds, and how one follows from the one before.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::crypto::{Purpose, RootKeys, equal, sha256};

/// `ROOT_KEY_ID.BASE64URL(session, generation, secret, mark)`: 16, 4, 32 and 16 bytes. The mark is a
/// truncated HMAC by which a token is known to be ours without a look into the database.
pub struct RefreshToken {
    root_key: String,
    body: Zeroizing<[u8; BODY]>,
    mark: [u8; MARK],
}

const BODY: usize = 16 + 4 + 32;
const MARK: usize = 16;

impl RefreshToken {
    pub(super) fn new(
        root: &RootKeys,
        root_key: &str,
        session: Uuid,
        generation: i32,
        secret: &[u8; 32],
    ) -> Option<Self> {
        let mut body = Zeroizing::new([0; BODY]);
        body[..16].copy_from_slice(session.as_bytes());
        body[16..20].copy_from_slice(&generation.to_be_bytes());
        body[20..].copy_from_slice(secret);
        let mark = mark(root, root_key, &body)?;
        Some(Self {
            root_key: root_key.to_owned(),
            body,
            mark,
        })
    }

    /// A token of ours; none for anything else.
    pub(super) fn parse(root: &RootKeys, text: &str) -> Option<Self> {
        if text.len() > 200 {
            return None;
        }
        let (root_key, encoded) = text.split_once('.')?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).ok()?);
        let (body, given) = bytes.split_at_checked(BODY)?;
        let body: Zeroizing<[u8; BODY]> = Zeroizing::new(body.try_into().ok()?);
        let mark = mark(root, root_key, &body)?;
        equal(&mark, given).then(|| Self {
            root_key: root_key.to_owned(),
            body,
            mark,
        })
    }

    /// The cookie's value.
    #[must_use]
    pub fn to_cookie(&self) -> String {
        let bytes = Zeroizing::new([self.body.as_slice(), &self.mark].concat());
        format!("{}.{}", self.root_key, URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }

    /// The id of the root key that it was made under.
    pub(super) fn root_key(&self) -> &str {
        &self.root_key
    }

    pub(super) fn session(&self) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.body[..16]);
        Uuid::from_bytes(bytes)
    }

    pub(super) fn generation(&self) -> i32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.body[16..20]);
        i32::from_be_bytes(bytes)
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        sha256(&self.body[20..])
    }

    /// The token that follows this one, under that root key.
    pub(super) fn successor(&self, root: &RootKeys, root_key: &str) -> Option<Self> {
        let message = Zeroizing::new([b"next".as_slice(), self.body.as_slice()].concat());
        let secret = Zeroizing::new(root.mac(root_key, Purpose::RefreshToken, &message)?);
        Self::new(
            root,
            root_key,
            self.session(),
            self.generation().checked_add(1)?,
            &secret,
        )
    }
}

fn mark(root: &RootKeys, root_key: &str, body: &[u8; BODY]) -> Option<[u8; MARK]> {
    let message = Zeroizing::new([b"ours".as_slice(), body.as_slice()].concat());
    let mac = root.mac(root_key, Purpose::RefreshToken, &message)?;
    mac.first_chunk::<MARK>().copied()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const NEW: &str = "b:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
    const OLD: &str = "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn token(root: &RootKeys) -> RefreshToken {
        RefreshToken::new(root, root.newest(), Uuid::from_u128(7), 3, &[9; 32]).unwrap()
    }

    #[test]
    fn a_token_reads_back() {
        let root = RootKeys::parse(NEW, true).unwrap();
        let read = RefreshToken::parse(&root, &token(&root).to_cookie()).unwrap();
        assert_eq!((read.session(), read.generation()), (Uuid::from_u128(7), 3));
        assert_eq!(read.hash(), sha256(&[9; 32]));
    }

    #[test]
    fn a_changed_token_is_not_ours() {
        let root = RootKeys::parse(NEW, true).unwrap();
        let cookie = token(&root).to_cookie();
        for place in 0..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(RefreshToken::parse(&root, &changed).is_none(), "{place}");
        }
        for text in [
            "",
            ".",
            "b.",
            "b.AAAA",
            &cookie[..cookie.len() - 1],
            &format!("{cookie}A"),
        ] {
            assert!(RefreshToken::parse(&root, text).is_none(), "{text}");
        }
        assert!(RefreshToken::parse(&RootKeys::parse(OLD, true).unwrap(), &cookie).is_none());
    }

    #[test]
    fn a_successor_is_always_the_same_and_moves_to_the_newest_root_key() {
        let both = RootKeys::parse(&format!("{NEW},{OLD}"), true).unwrap();
        let old = token(&RootKeys::parse(OLD, true).unwrap());
        let next = old.successor(&both, both.newest()).unwrap();
        assert_eq!(next.to_cookie(), old.successor(&both, "b").unwrap().to_cookie());
        assert_eq!(next.generation(), 4);
        assert!(next.to_cookie().starts_with("b."));
        assert_ne!(next.hash(), old.successor(&both, "a").unwrap().hash());
    }
}
