//! Telephone numbers: kept as typed, and in E.164 when it is certain which number is meant.

use std::str::FromStr;

use phonenumber::{Mode, country};
use unicode_normalization::UnicodeNormalization;

/// ITU-T E.164: at most fifteen digits. The lower bound keeps short codes out, which mean nothing abroad.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// Longer than any number; longer texts aren't looked at.
const RAW_MAX: usize = 64;

/// A telephone number as somebody typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumber {
    raw: String,
    e164: Option<String>,
}

impl PhoneNumber {
    /// Keeps `raw` and works out the E.164 form, if the text starts with a `+` or is a valid national number of
    /// `default_region` (ISO 3166-1 alpha-2).
    ///
    /// A number with an extension, pause, star code or letters has no E.164 form: cutting these off would make
    /// everybody behind one switchboard the same person.
    #[must_use]
    pub fn parse(raw: &str, default_region: Option<&str>) -> Self {
        Self {
            raw: raw.to_owned(),
            e164: e164(raw, default_region),
        }
    }

    /// The text as typed.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// `+` and the digits with the country calling code (ITU-T E.164).
    #[must_use]
    pub fn e164(&self) -> Option<&str> {
        self.e164.as_deref()
    }
}

fn e164(raw: &str, default_region: Option<&str>) -> Option<String> {
    let dialled = dialled(raw)?;
    let international = dialled.starts_with('+');
    let region = if international {
        None
    } else {
        Some(default_region?)
    };
    let region = region
        .map(|region| country::Id::from_str(&region.to_ascii_uppercase()))
        .transpose()
        .ok()?;
    let number = phonenumber::parse(region, &dialled).ok()?;
    // With a `+` the writer has said which country is meant, and numbering plans change faster than a library's
    // tables; without one the country is our guess, and the number has to fit it.
    if !international && !number.is_valid() {
        return None;
    }
    let text = number.format().mode(Mode::E164).to_string();
    let digits = text.strip_prefix('+')?;
    (E164_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// The digits with a leading `+`, or nothing if the text holds more than a number and its punctuation.
fn dialled(raw: &str) -> Option<String> {
    if raw.len() > RAW_MAX {
        return None;
    }
    let text: String = raw.nfkc().collect();
    let text = text.strip_prefix("tel:").unwrap_or(&text);
    let mut dialled = String::with_capacity(text.len());
    // Between a `+49` and the rest, `(0)` is the trunk prefix for callers at home.
    let plus = text
        .trim_start_matches(|c: char| c.is_whitespace() || is_direction_mark(c))
        .starts_with('+');
    let text = if plus {
        text.replacen("(0)", " ", 1)
    } else {
        text.to_owned()
    };
    for c in text.chars() {
        match c {
            '0'..='9' => dialled.push(c),
            '\u{660}'..='\u{669}' => dialled.extend(char::from_digit(u32::from(c) - 0x660, 10)),
            '\u{6f0}'..='\u{6f9}' => dialled.extend(char::from_digit(u32::from(c) - 0x6f0, 10)),
            '+' if dialled.is_empty() => dialled.push('+'),
            '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {}
            _ if c.is_whitespace() || is_direction_mark(c) => {}
            _ => return None,
        }
    }
    (dialled.len() > 1).then_some(dialled)
}

/// Invisible marks that telephones wrap around numbers when they are copied.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{200b}')
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_a_number_by_its_plus_or_its_region() {
        for (raw, region, expected) in [
            ("+1 202-555-0143", None, Some("+12025550143")),
            ("(202) 555-0143", Some("US"), Some("+12025550143")),
            ("(202) 555-0143", None, None),
            ("020 7946 0123", Some("gb"), Some("+442079460123")),
            ("+44 (0)20 7946 0123", Some("DE"), Some("+442079460123")),
            ("030/23125-101", Some("DE"), Some("+493023125101")),
            ("0049 30 23125 101", Some("DE"), Some("+493023125101")),
            (
                "\u{202a}+49 30 23125\u{a0}101\u{202c}",
                None,
                Some("+493023125101"),
            ),
            ("tel:+49-30-23125-101", None, Some("+493023125101")),
            ("＋４９ 30 23125 101", None, Some("+493023125101")),
            ("+٤٩٣٠٢٣١٢٥١٠١", None, Some("+493023125101")),
        ] {
            assert_eq!(
                PhoneNumber::parse(raw, region).e164(),
                expected,
                "{raw:?} in {region:?}"
            );
        }
    }

    #[test]
    fn keeps_the_text_of_what_it_can_not_place() {
        for raw in [
            "",
            "+",
            "+1",
            "110",
            "+49 110",
            "n/a",
            "+1 202-555-0143 ext. 5",
            "+1 202-555-0143;ext=5",
            "1-800-FLOWERS",
            "*100#",
            "+999 123456789",
            "+1 202 555 0143 / +1 202 555 0144",
            "12",
            "+1 2 3",
        ] {
            let number = PhoneNumber::parse(raw, Some("US"));
            assert_eq!((number.raw(), number.e164()), (raw, None));
        }
        assert_eq!(PhoneNumber::parse("(202) 555-0143", Some("nowhere")).e164(), None);
    }

    proptest! {
        #[test]
        fn never_panics_and_is_stable(raw in "[+0-9 ()/-]{0,20}|\\PC{0,20}", region in "US|GB|DE|JP|IT|XX") {
            if let Some(e164) = PhoneNumber::parse(&raw, Some(&region)).e164() {
                prop_assert!(E164_DIGITS.contains(&(e164.len() - 1)));
                let again = PhoneNumber::parse(e164, None);
                prop_assert_eq!(again.e164().unwrap(), e164);
            }
        }
    }
}
