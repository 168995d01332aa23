//! What one row of an imported file says about a person, before it touches the database.

use serde::Serialize;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::partial_date::PartialDate;

/// Characters of one part of a name.
pub const NAME_CHARS: usize = 200;
/// Characters of any other short text.
pub const SHORT_CHARS: usize = 500;
/// Characters of notes.
pub const NOTE_CHARS: usize = 60_000;
/// Entries of each list of a draft but the rest, which takes what is over.
pub const LIST_ITEMS: usize = 100;

/// A person as a file describes them. Texts are trimmed, in NFC, without control characters and never empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Draft {
    /// What they are called.
    pub name: Name,
    /// Valid addresses, each once, as [`crate::email_address::EmailAddress::as_str`] shows them.
    pub emails: Vec<Labelled<String>>,
    /// Telephone numbers.
    pub phones: Vec<DraftPhone>,
    /// Postal addresses.
    pub addresses: Vec<DraftAddress>,
    /// Web addresses (http or https).
    pub links: Vec<Labelled<String>>,
    /// Birthday and other dates.
    pub dates: Vec<DraftDate>,
    /// Where they work or belong.
    pub affiliations: Vec<DraftAffiliation>,
    /// Labels of the person, each once whatever its case.
    pub tags: Vec<String>,
    /// Free text with line feeds.
    pub notes: Option<String>,
    /// Everything else that the row holds, as the name of its column or its label, and its value.
    pub rest: Vec<(String, String)>,
}

/// The parts of a name. Any of them may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are what vCard (RFC 6350, N) calls them")]
pub struct Name {
    pub prefix: Option<String>,
    pub given: Option<String>,
    pub additional: Option<String>,
    pub family: Option<String>,
    pub suffix: Option<String>,
    pub nickname: Option<String>,
    pub phonetic_given: Option<String>,
    pub phonetic_family: Option<String>,
    /// How the person is sorted or shown, when the owner of the file has chosen that.
    pub file_as: Option<String>,
    /// The joined name, only when the row has it and neither given, additional nor family name.
    pub full: Option<String>,
}

impl Name {
    /// Whether there is something to call the person by; "Dr." alone is not.
    #[must_use]
    pub fn is_identifying(&self) -> bool {
        let calling = [
            &self.given,
            &self.additional,
            &self.family,
            &self.nickname,
            &self.full,
            &self.file_as,
        ];
        calling
            .into_iter()
            .chain([&self.phonetic_given, &self.phonetic_family])
            .any(Option::is_some)
    }
}

/// A value and what its owner calls it ("Work", "Mobile", …).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Labelled<T> {
    /// As in the file, without Google's leading `* `.
    pub label: Option<String>,
    /// The value itself.
    pub value: T,
}

/// A telephone number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DraftPhone {
    /// What its owner calls it.
    pub label: Option<String>,
    /// As in the file.
    pub raw: String,
    /// ITU-T E.164, when it is certain which number is meant; see [`crate::phone_number::PhoneNumber`].
    pub e164: Option<String>,
}

/// A postal address; `formatted` may be all there is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are what vCard (RFC 6350, ADR) calls them")]
pub struct DraftAddress {
    pub label: Option<String>,
    pub formatted: Option<String>,
    pub street: Option<String>,
    pub extended: Option<String>,
    pub city: Option<String>,
    pub po_box: Option<String>,
    pub region: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<String>,
}

/// What a date is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DateKind {
    /// The person's birthday.
    Birthday,
    /// An anniversary, mostly of a wedding.
    Anniversary,
    /// Something that only its label says.
    #[default]
    Other,
}

/// A date in a person's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DraftDate {
    /// What it is about.
    pub kind: DateKind,
    /// What its owner calls it; nothing when the kind says it all.
    pub label: Option<String>,
    /// The date, of which the year may be unknown.
    pub date: PartialDate,
}

/// A company and what the person does there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DraftAffiliation {
    pub company: Option<String>,
    pub title: Option<String>,
    pub department: Option<String>,
}

/// Why a row does not become a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RejectionCode {
    /// Every cell is blank.
    EmptyRow,
    /// There is no name, e-mail, phone or company to know the person by.
    NoIdentity,
    /// More cells with content than the header has columns: the row is broken, most often by a stray quote.
    RowTooWide,
    /// A cell is longer than permitted.
    CellTooLong,
    /// More cells than permitted.
    TooManyCells,
    /// The whole row is longer than permitted.
    RowTooLong,
    /// The file ends inside a quoted cell.
    UnclosedQuote,
}

impl RejectionCode {
    /// The stable code that clients rely on; the same as it is serialised.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyRow => "EMPTY_ROW",
            Self::NoIdentity => "NO_IDENTITY",
            Self::RowTooWide => "ROW_TOO_WIDE",
            Self::CellTooLong => "CELL_TOO_LONG",
            Self::TooManyCells => "TOO_MANY_CELLS",
            Self::RowTooLong => "ROW_TOO_LONG",
            Self::UnclosedQuote => "UNCLOSED_QUOTE",
        }
    }
}

/// A row that does not become a person, for the report of the import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// What is wrong.
    pub code: RejectionCode,
    /// The same for people to read.
    pub message: String,
    /// The column that is to blame, if it is one.
    pub column: Option<String>,
}

/// A text of one line: NFC, without control characters, breaks turned into spaces, trimmed.
#[must_use]
pub fn clean_line(raw: &str) -> Option<String> {
    let line = clean_text(raw)?;
    if !line.contains(['\n', '\t']) {
        return Some(line);
    }
    let pieces: Vec<_> = line
        .split(['\n', '\t'])
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .collect();
    Some(pieces.join(" "))
}

/// A text of several lines: NFC, without control characters but tab and line feed, trimmed.
#[must_use]
pub fn clean_text(raw: &str) -> Option<String> {
    let raw = raw.trim();
    let plain = !raw
        .bytes()
        .any(|byte| (byte < b' ' && byte != b'\n' && byte != b'\t') || byte == 0x7f);
    let mut text = if plain {
        raw.to_owned()
    } else {
        without_controls(raw)
    };
    if is_nfc_quick(text.chars()) != IsNormalized::Yes {
        text = text.nfc().collect();
    }
    let trimmed = text.trim();
    if trimmed.len() != text.len() {
        text = trimmed.to_owned();
    }
    (!text.is_empty()).then_some(text)
}

fn without_controls(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut after_cr = false;
    for c in raw.chars() {
        match c {
            '\r' => text.push('\n'),
            '\n' if after_cr => {}
            '\n' | '\t' => text.push(c),
            '\0'..='\u{1f}' | '\u{7f}' => {}
            _ => text.push(c),
        }
        after_cr = c == '\r';
    }
    text
}

impl Draft {
    /// An unambiguous, stable serialisation, for a digest by which a row is known again.
    ///
    /// Equal people give equal bytes whatever the order of columns, addresses and tags in their files. Every text
    /// is preceded by its length and every list by its count (u64, big end first); lists are sorted by their
    /// bytes. The first bytes are a version: another layout gets another version.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let name = &self.name;
        let mut out = Canon(b"draft\x01".to_vec());
        for part in [
            &name.prefix,
            &name.given,
            &name.additional,
            &name.family,
            &name.suffix,
            &name.nickname,
        ] {
            out.maybe(part.as_deref());
        }
        for part in [
            &name.phonetic_given,
            &name.phonetic_family,
            &name.file_as,
            &name.full,
            &self.notes,
        ] {
            out.maybe(part.as_deref());
        }
        for list in [&self.emails, &self.links] {
            out.list(list, |out, item| {
                out.maybe(item.label.as_deref());
                out.text(&item.value);
            });
        }
        out.list(&self.phones, |out, phone| {
            out.maybe(phone.label.as_deref());
            // E.164 follows from the text and the importer's region, which is no part of the row.
            out.text(&phone.raw);
        });
        out.list(&self.addresses, |out, a| {
            for part in [
                &a.label,
                &a.formatted,
                &a.street,
                &a.extended,
                &a.city,
                &a.po_box,
                &a.region,
            ] {
                out.maybe(part.as_deref());
            }
            out.maybe(a.postal_code.as_deref());
            out.maybe(a.country.as_deref());
        });
        out.list(&self.dates, |out, date| {
            out.text(match date.kind {
                DateKind::Birthday => "birthday",
                DateKind::Anniversary => "anniversary",
                DateKind::Other => "other",
            });
            out.maybe(date.label.as_deref());
            out.text(&date.date.to_string());
        });
        out.list(&self.affiliations, |out, affiliation| {
            for part in [&affiliation.company, &affiliation.title, &affiliation.department] {
                out.maybe(part.as_deref());
            }
        });
        out.list(&self.tags, |out, tag| out.text(tag));
        out.list(&self.rest, |out, (column, value)| {
            out.text(column);
            out.text(value);
        });
        out.0
    }
}

struct Canon(Vec<u8>);

impl Canon {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn maybe(&mut self, text: Option<&str>) {
        self.0.push(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        let encode = |item| {
            let mut bytes = Self(Vec::new());
            write(&mut bytes, item);
            bytes.0
        };
        let mut items: Vec<_> = items.iter().map(encode).collect();
        items.sort_unstable();
        self.0.extend_from_slice(&(items.len() as u64).to_be_bytes());
        self.0.extend(items.into_iter().flatten());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cleans_texts() {
        assert_eq!(
            clean_line(" Jo\u{308}rg\r\n \tMu\0ller\u{7} ").unwrap(),
            "Jörg Muller"
        );
        assert_eq!(clean_text("\r\n a\r\n\rb\tc \n").unwrap(), "a\n\nb\tc");
        assert_eq!(clean_line(" \0\r\n\u{1}\t "), None);
    }

    #[test]
    fn canonical_bytes_ignore_order_and_nothing_else() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let one = Draft {
            rest: vec![pair("a", "b"), pair("c", "d")],
            tags: vec!["x".into()],
            ..Draft::default()
        };
        let two = Draft {
            rest: vec![pair("c", "d"), pair("a", "b")],
            ..one.clone()
        };
        assert_eq!(one.canonical_bytes(), two.canonical_bytes());
        let moved = Draft {
            rest: vec![pair("ab", ""), pair("c", "d")],
            ..one.clone()
        };
        assert_ne!(one.canonical_bytes(), moved.canonical_bytes());
        let given = Draft {
            name: Name {
                given: Some("A".into()),
                ..Name::default()
            },
            ..Draft::default()
        };
        let family = Draft {
            name: Name {
                family: Some("A".into()),
                ..Name::default()
            },
            ..Draft::default()
        };
        assert_ne!(given.canonical_bytes(), family.canonical_bytes());
    }

    proptest! {
        #[test]
        fn cleaning_is_stable(raw in "(\\PC|[\0\r\n\t ]){0,30}") {
            if let Some(text) = clean_text(&raw) {
                prop_assert_eq!(clean_text(&text).unwrap(), text);
            }
            if let Some(line) = clean_line(&raw) {
                prop_assert!(!line.contains(['\r', '\n', '\0', '\t']));
                prop_assert_eq!(clean_line(&line).unwrap(), line);
            }
        }
    }
}
