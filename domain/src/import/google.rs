//! The CSV files of Google Contacts: from the header row to a [`Layout`] that turns rows into drafts.
//!
//! Columns are known by their names, never by their positions: Google's own files differ in order, and people
//! edit them. Three layouts are known: the older one (until about 2024), the current one, and the template that
//! Google offers for filling in.

mod row;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, HashSet};

use thiserror::Error;

use super::decode::SniffError;
use super::draft::{Draft, NAME_CHARS, Rejection, RejectionCode, clean_line};
use super::table::{Record, RowError, RowErrorKind};
use crate::email_address::EmailAddress;

/// Which of Google's files this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayoutKind {
    /// Exported before about 2024: "Given Name", "Group Membership", "… - Type".
    Older,
    /// Exported since: "First Name", "Labels", "… - Label".
    Current,
    /// Google's template for imports: the current names in another order, without a photo.
    Template,
}

/// Why a file can't be read as Google Contacts at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The file could not be read as text, or there is nothing in it.
    #[error(transparent)]
    File(#[from] SniffError),
    /// The first row has no column names.
    #[error("the first row must hold the names of the columns")]
    NoHeader,
    /// The columns are not those of Google Contacts.
    #[error("these are not the columns of a Google Contacts file: {0}; export again as “Google CSV”")]
    NotGoogle(&'static str),
}

impl HeaderError {
    /// The stable code that clients rely on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::NoHeader => "NO_HEADER",
            Self::NotGoogle(_) => "NOT_GOOGLE",
        }
    }
}

/// What the columns of one file mean.
#[derive(Debug, Clone)]
pub struct Layout {
    kind: LayoutKind,
    /// The names of the columns as the file spells them.
    columns: Vec<String>,
    singles: Vec<(Single, usize)>,
    groups: BTreeMap<(Group, u32), Vec<(Field, usize)>>,
    rest: Vec<usize>,
}

/// A column that occurs once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Single {
    Prefix,
    Given,
    Additional,
    Family,
    Suffix,
    Nickname,
    PhoneticGiven,
    PhoneticFamily,
    FileAs,
    Full,
    Birthday,
    Notes,
    Labels,
}

/// Columns that belong together and may be repeated: `E-mail 1 - Label`, `E-mail 1 - Value`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Group {
    Email,
    Phone,
    Address,
    Organization,
    Website,
    Event,
    Relation,
    Im,
    Custom,
}

/// A column within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Field {
    Label,
    Value,
    Service,
    Formatted,
    Street,
    Extended,
    City,
    PoBox,
    Region,
    PostalCode,
    Country,
    Company,
    Title,
    Department,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    Single(Single),
    Group(Group, u32, Field),
}

impl Layout {
    /// Reads the header row.
    ///
    /// A column that occurs twice is read the first time; the second goes to the rest, as do unknown ones.
    pub fn from_header(header: &Record) -> Result<Self, HeaderError> {
        let cells: Vec<_> = header.iter().map(clean_line).collect();
        if cells
            .iter()
            .flatten()
            .any(|cell| EmailAddress::parse(cell).is_some())
            || cells.iter().all(Option::is_none)
        {
            return Err(HeaderError::NoHeader);
        }
        let names: Vec<_> = cells
            .iter()
            .map(|cell| folded(cell.as_deref().unwrap_or_default()))
            .collect();
        let has = |name: &str| names.iter().any(|other| other == name);
        let older = has("given name") || has("family name") || has("group membership");
        let mut layout = Self {
            kind: match () {
                () if older => LayoutKind::Older,
                () if has("photo") => LayoutKind::Current,
                () => LayoutKind::Template,
            },
            columns: Vec::with_capacity(cells.len()),
            singles: Vec::new(),
            groups: BTreeMap::new(),
            rest: Vec::new(),
        };
        let mut seen = HashSet::new();
        for (index, (cell, name)) in cells.into_iter().zip(&names).enumerate() {
            match role(name).filter(|role| seen.insert(*role)) {
                Some(Role::Single(single)) => layout.singles.push((single, index)),
                Some(Role::Group(group, number, field)) => {
                    layout
                        .groups
                        .entry((group, number))
                        .or_default()
                        .push((field, index));
                }
                None => layout.rest.push(index),
            }
            layout.columns.push(column_name(cell, index));
        }
        layout.check(&names)?;
        Ok(layout)
    }

    /// Which of Google's files this is.
    #[must_use]
    pub fn kind(&self) -> LayoutKind {
        self.kind
    }

    /// The names of the columns as the file spells them.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// What a row says about a person. `default_region` (ISO 3166-1 alpha-2) is where telephone numbers without
    /// a country are from.
    ///
    /// Nothing that the row holds is lost: what has no field of its own, or does not fit it, is in
    /// [`Draft::rest`].
    pub fn draft(&self, record: &Record, default_region: Option<&str>) -> Result<Draft, Rejection> {
        if record
            .iter()
            .skip(self.columns.len())
            .any(|cell| clean_line(cell).is_some())
        {
            return Err(Rejection {
                code: RejectionCode::RowTooWide,
                message: format!(
                    "the row has {} cells, but the header has {}",
                    record.len(),
                    self.columns.len()
                ),
                column: None,
            });
        }
        let draft = row::draft(self, record, default_region);
        let known = draft.name.is_identifying() || !draft.emails.is_empty() || !draft.phones.is_empty();
        if known
            || draft
                .affiliations
                .iter()
                .any(|affiliation| affiliation.company.is_some())
        {
            return Ok(draft);
        }
        let (code, message) = if draft == Draft::default() {
            (RejectionCode::EmptyRow, "the row is empty")
        } else {
            (
                RejectionCode::NoIdentity,
                "the row has no name, valid e-mail address, phone number or company",
            )
        };
        Err(Rejection {
            code,
            message: message.to_owned(),
            column: None,
        })
    }

    /// The report of a row that could not even be cut into cells.
    #[must_use]
    pub fn rejection(&self, error: &RowError) -> Rejection {
        let (code, message, column) = match error.kind {
            RowErrorKind::CellTooLong { column } => (
                RejectionCode::CellTooLong,
                "a cell is too long",
                self.columns.get(column).cloned(),
            ),
            RowErrorKind::TooManyCells => (RejectionCode::TooManyCells, "the row has too many cells", None),
            RowErrorKind::RowTooLong => (RejectionCode::RowTooLong, "the row is too long", None),
            RowErrorKind::UnclosedQuote => (
                RejectionCode::UnclosedQuote,
                "the file ends before a quotation mark is closed",
                None,
            ),
        };
        Rejection {
            code,
            message: message.to_owned(),
            column,
        }
    }

    /// Outlook and LinkedIn also have a "First Name": one column has to be there that only Google writes.
    fn check(&self, names: &[String]) -> Result<(), HeaderError> {
        let person = |single| {
            matches!(
                single,
                Single::Given | Single::Family | Single::Full | Single::Nickname
            )
        };
        if !self.singles.iter().any(|(single, _)| person(*single)) {
            return Err(HeaderError::NotGoogle("no column names a person"));
        }
        let google = |single| matches!(single, Single::FileAs | Single::Labels | Single::PhoneticGiven);
        if self.groups.is_empty() && !self.singles.iter().any(|(single, _)| google(*single)) {
            let outlook = names
                .iter()
                .any(|name| name == "e-mail address" || name == "business street");
            return Err(HeaderError::NotGoogle(if outlook {
                "they look like those of Outlook"
            } else {
                "there are no columns such as “E-mail 1 - Value” or “Labels”"
            }));
        }
        Ok(())
    }
}

fn column_name(cell: Option<String>, index: usize) -> String {
    match cell {
        // A header is repeated in every draft, so it has to stay short.
        Some(name) => name.chars().take(NAME_CHARS).collect(),
        None => format!("Column {}", index + 1),
    }
}

fn folded(name: &str) -> String {
    name.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// The meaning of a column whose name is trimmed and in lower case.
fn role(name: &str) -> Option<Role> {
    let single = match name {
        "name" => Single::Full,
        "first name" | "given name" => Single::Given,
        "middle name" | "additional name" => Single::Additional,
        "last name" | "family name" => Single::Family,
        "name prefix" => Single::Prefix,
        "name suffix" => Single::Suffix,
        "nickname" => Single::Nickname,
        "phonetic first name" | "given name yomi" => Single::PhoneticGiven,
        "phonetic last name" | "family name yomi" => Single::PhoneticFamily,
        "file as" => Single::FileAs,
        "birthday" => Single::Birthday,
        "notes" => Single::Notes,
        "labels" | "group membership" => Single::Labels,
        // The current layout has one organisation and does not number it.
        "organization name" => return Some(Role::Group(Group::Organization, 0, Field::Company)),
        "organization title" => return Some(Role::Group(Group::Organization, 0, Field::Title)),
        "organization department" => return Some(Role::Group(Group::Organization, 0, Field::Department)),
        _ => return grouped(name),
    };
    Some(Role::Single(single))
}

fn grouped(name: &str) -> Option<Role> {
    let (left, field) = name.rsplit_once(" - ")?;
    let (group, number) = left.rsplit_once(' ')?;
    let number = number.parse().ok()?;
    let group = match group {
        "e-mail" | "email" => Group::Email,
        "phone" => Group::Phone,
        "address" => Group::Address,
        "organization" => Group::Organization,
        "website" => Group::Website,
        "event" => Group::Event,
        "relation" => Group::Relation,
        "im" => Group::Im,
        "custom field" => Group::Custom,
        _ => return None,
    };
    let field = match (group, field) {
        (Group::Organization, "name") => Field::Company,
        (Group::Organization, "title") => Field::Title,
        (Group::Organization, "department") => Field::Department,
        (Group::Organization, _) => return None,
        (_, "label" | "type") => Field::Label,
        (Group::Address, "formatted") => Field::Formatted,
        (Group::Address, "street") => Field::Street,
        (Group::Address, "extended address") => Field::Extended,
        (Group::Address, "city") => Field::City,
        (Group::Address, "po box") => Field::PoBox,
        (Group::Address, "region") => Field::Region,
        (Group::Address, "postal code") => Field::PostalCode,
        (Group::Address, "country") => Field::Country,
        (Group::Address, _) => return None,
        (Group::Im, "service") => Field::Service,
        (_, "value") => Field::Value,
        _ => return None,
    };
    Some(Role::Group(group, number, field))
}
