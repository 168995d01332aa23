//! What an API key looks like: a prefix that names us and the environment, by which secret scanners and people
//! know it, 30 random characters, and a checksum, so that a scanner and we tell a key from a look-alike without
//! asking the database.

use zeroize::Zeroizing;

use crate::config::Environment;
use crate::crypto::{random, sha256};
use crate::error::Result;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Random characters: 178 bits.
const SECRET: usize = 30;
/// Characters of the checksum.
const CHECKSUM: usize = 6;
/// Random characters that are shown for ever, so that its maker tells a key from others; 154 bits stay.
const SHOWN: usize = 4;

/// The text of a key: `crm_live_`, `crm_stag_` or `crm_dev_`, 30 characters of base 62 (digits, capitals, small
/// letters), and the CRC-32 (ISO 3309, as in gzip) of all that in six more.
pub struct KeyText {
    text: Zeroizing<String>,
    environment: Environment,
}

fn prefix(environment: Environment) -> &'static str {
    match environment {
        Environment::Production => "crm_live_",
        Environment::Staging => "crm_stag_",
        Environment::Development => "crm_dev_",
    }
}

impl KeyText {
    /// Whether a credential claims to be an API key, of whatever environment.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("crm_")
    }

    pub(super) fn new(environment: Environment) -> Result<Self> {
        let mut text = Zeroizing::new(String::with_capacity(64));
        text.push_str(prefix(environment));
        let whole = text.len() + SECRET;
        while text.len() < whole {
            let bytes = Zeroizing::new(random::<32>()?);
            for byte in bytes.iter() {
                // 248 is the greatest multiple of 62: beyond it the first digits would come more often.
                if *byte < 248 && text.len() < whole {
                    text.push(char::from(DIGITS[usize::from(byte % 62)]));
                }
            }
        }
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Ok(Self { text, environment })
    }

    /// A key of that environment, well-formed; whether there is such a key is another question.
    pub(super) fn parse(environment: Environment, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(prefix(environment))?;
        if rest.len() != SECRET + CHECKSUM || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (body, given) = text.split_at(text.len() - CHECKSUM);
        (checksum(body) == given).then(|| Self {
            text: Zeroizing::new(text.to_owned()),
            environment,
        })
    }

    /// The whole key, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Its first characters.
    pub(super) fn hint(&self) -> &str {
        &self.text[..prefix(self.environment).len() + SHOWN]
    }

    /// What the database knows of it.
    pub(super) fn hash(&self) -> [u8; 32] {
        sha256(self.text.as_bytes())
    }
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [0; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ALL: [Environment; 3] = [
        Environment::Development,
        Environment::Staging,
        Environment::Production,
    ];

    #[test]
    fn a_key_reads_back_in_its_own_environment_alone() {
        for environment in ALL {
            let key = KeyText::new(environment).unwrap();
            assert!(KeyText::is_meant(key.expose()));
            assert_eq!(key.expose().len(), prefix(environment).len() + 36);
            for other in ALL {
                let read = KeyText::parse(other, key.expose());
                assert_eq!(read.is_some(), other == environment, "{other:?}");
            }
            assert!(key.expose().starts_with(key.hint()));
            assert_eq!(key.hint().len(), prefix(environment).len() + 4);
        }
    }

    #[test]
    fn a_changed_key_is_none() {
        let key = KeyText::new(Environment::Production).unwrap();
        let text = key.expose();
        for place in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(
                KeyText::parse(Environment::Production, &changed).is_none(),
                "{place}"
            );
        }
        for changed in [
            String::new(),
            "crm_live_".to_owned(),
            text[1..].to_owned(),
            format!("{text}A"),
            format!(" {text}"),
            text[..text.len() - 1].to_owned(),
            // Another environment's prefix does not fit the checksum, which is over the prefix too.
            text.replace("crm_live_", "crm_stag_"),
            format!("crm_live_{}", "é".repeat(18)),
        ] {
            assert!(
                KeyText::parse(Environment::Production, &changed).is_none(),
                "{changed}"
            );
        }
    }

    #[test]
    fn the_checksum_is_the_one_of_gzip() {
        // CRC-32 of "123456789" is CBF43926 (the check value of its catalogue entry): 3421780262.
        assert_eq!(checksum("123456789"), "3jZRME");
    }

    #[test]
    fn every_digit_comes_and_no_two_keys_are_equal() {
        let keys: Vec<_> = (0..200)
            .map(|_| KeyText::new(Environment::Development).unwrap())
            .collect();
        let texts: std::collections::HashSet<&str> = keys.iter().map(KeyText::expose).collect();
        assert_eq!(texts.len(), keys.len());
        let random: String = keys.iter().map(|key| &key.expose()[8..38]).collect();
        for digit in DIGITS {
            assert!(random.contains(char::from(*digit)), "{digit}");
        }
    }
}
