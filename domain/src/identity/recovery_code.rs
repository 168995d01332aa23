//! Recovery codes: 120 random bits each, so that a plain hash is enough to keep (ASVS 6.5.2 asks 112), written
//! for people to copy: Crockford's base 32, which leaves out what is mistaken for something else.

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::crypto::{random, sha256};
use crate::error::Result;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BYTES: usize = 15;
/// Digits of five bits each.
const LENGTH: usize = BYTES * 8 / 5;
/// So many stand together.
const GROUP: usize = 4;

/// A recovery code. Who has it is let in once.
pub struct RecoveryCode(Zeroizing<[u8; BYTES]>);

impl RecoveryCode {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// Reads what a person typed: in any case, with or without dashes and spaces, and with letters that look
    /// like digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bits: u128 = 0;
        let mut digits = 0;
        for character in text.chars() {
            if character.is_whitespace() || "-‐‑‒–—_.".contains(character) {
                continue;
            }
            let digit = match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = DIGITS.iter().position(|known| char::from(*known) == digit)?;
            digits += 1;
            if digits > LENGTH {
                return None;
            }
            bits = (bits << 5) | value as u128;
        }
        if digits != LENGTH {
            return None;
        }
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes.copy_from_slice(&bits.to_be_bytes()[16 - BYTES..]);
        Some(Self(bytes))
    }

    /// As it is shown: six groups of four, such as `7K3M-…`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bits = self
            .0
            .iter()
            .fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
        let mut text = String::with_capacity(LENGTH + LENGTH / GROUP);
        for place in 0..LENGTH {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            let digit = (bits >> (5 * (LENGTH - 1 - place))) & 31;
            text.push(char::from(DIGITS[digit as usize]));
        }
        text
    }

    /// What the database knows of a user's code.
    pub(super) fn hash(&self, user: Uuid) -> [u8; 32] {
        sha256(&[b"recovery-code", user.as_bytes().as_slice(), self.0.as_slice()].concat())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_however_it_is_typed() {
        for bytes in [[0; BYTES], [255; BYTES], *b"recovery codes!"] {
            let code = RecoveryCode(Zeroizing::new(bytes));
            let text = code.to_text();
            assert_eq!(text.len(), 29, "{text}");
            for typed in [
                text.clone(),
                text.to_lowercase(),
                text.replace('-', ""),
                text.replace('-', " "),
                format!("\t{}\n", text.replace('-', "–")),
                text.replace('0', "o").replace('1', "l"),
                text.replace('0', "O").replace('1', "I"),
            ] {
                assert_eq!(*RecoveryCode::parse(&typed).unwrap().0, bytes, "{typed}");
            }
        }
    }

    #[test]
    fn what_is_no_code_is_none() {
        let text = RecoveryCode::new().unwrap().to_text();
        for typed in [
            "",
            "-",
            &text[1..],
            &format!("{text}0"),
            &format!("U{}", &text[1..]),
            &"0".repeat(10_000),
        ] {
            assert!(RecoveryCode::parse(typed).is_none(), "{typed}");
        }
    }

    #[test]
    fn a_code_is_its_users_own() {
        let code = RecoveryCode::new().unwrap();
        assert_ne!(code.hash(Uuid::from_u128(1)), code.hash(Uuid::from_u128(2)));
        assert_ne!(code.to_text(), RecoveryCode::new().unwrap().to_text());
    }
}
