//! The form of a sealed value: format (1 byte), key version (4 bytes, big-endian), nonce (12 bytes),
//! ciphertext and tag.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

const FORMAT: u8 = 1;
const HEADER: usize = 1 + 4 + 12;

fn key(bytes: &[u8; 32]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| Error::internal("a key of the wrong size"))?;
    Ok(LessSafeKey::new(key))
}

/// Seals `plaintext` under `key_bytes`, which is of that version.
pub(super) fn seal(key_bytes: &[u8; 32], version: u32, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
    let nonce: [u8; 12] = super::random()?;
    let mut out = Vec::with_capacity(HEADER + plaintext.len() + 16);
    out.push(FORMAT);
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plaintext);
    let tag = key(key_bytes)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut out[HEADER..],
        )
        .map_err(|_| Error::internal("sealing failed"))?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

/// The version of the key that a value was sealed under.
pub(super) fn version(sealed: &[u8]) -> Result<u32> {
    match sealed {
        [FORMAT, a, b, c, d, ..] if sealed.len() >= HEADER + 16 => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(Error::internal("no sealed value")),
    }
}

/// Opens what [`seal`] made with the same key and associated data.
pub(super) fn open(key_bytes: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    version(sealed)?;
    let nonce =
        Nonce::try_assume_unique_for_key(&sealed[5..HEADER]).map_err(|_| Error::internal("no nonce"))?;
    let mut buffer = Zeroizing::new(sealed[HEADER..].to_vec());
    let length = key(key_bytes)?
        .open_in_place(nonce, Aad::from(aad), &mut buffer)
        .map_err(|_| {
            Error::internal("a sealed value does not open: it was moved, changed or is of another key")
        })?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_data_alone() {
        let sealed = seal(&[7; 32], 3, b"here", b"hello").unwrap();
        assert_eq!(version(&sealed).unwrap(), 3);
        assert_eq!(open(&[7; 32], b"here", &sealed).unwrap().as_slice(), b"hello");
        assert!(open(&[8; 32], b"here", &sealed).is_err());
        assert!(open(&[7; 32], b"there", &sealed).is_err());
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let sealed = seal(&[7; 32], 3, b"here", b"hello").unwrap();
        for index in (0..sealed.len()).filter(|i| !(1..5).contains(i)) {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(open(&[7; 32], b"here", &changed).is_err(), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert!(
                open(&[7; 32], b"here", &sealed[..length]).is_err(),
                "{length} bytes"
            );
        }
    }
}
