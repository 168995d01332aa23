//! What a contact of the database has, in the form in which a row is compared with it.

use super::Person;
use crate::import::draft::{DateKind, DraftAffiliation, DraftDate, Name};
use crate::import::lookup::Stored;

impl Person {
    /// A contact of the database.
    pub(in crate::import) fn stored(stored: Stored) -> Self {
        let digests = stored.digests().collect();
        let next = Positions {
            email: next(stored.emails.iter().map(|item| item.position)),
            phone: next(stored.phones.iter().map(|item| item.position)),
            link: next(stored.links.iter().map(|item| item.position)),
            address: next(stored.addresses.iter().map(|item| item.position)),
            date: next(stored.dates.iter().map(|item| item.position)),
            affiliation: next(stored.affiliations.iter().map(|item| item.position)),
        };
        let names = Name {
            prefix: stored.name_prefix,
            given: stored.given_name,
            additional: stored.additional_name,
            family: stored.family_name,
            suffix: stored.name_suffix,
            nickname: stored.nickname,
            phonetic_given: stored.phonetic_given_name,
            phonetic_family: stored.phonetic_family_name,
            file_as: stored.file_as,
            full: None,
        };
        let shown = &stored.display_name;
        let nameless = !names.is_identifying()
            && names.suffix.is_none()
            && (stored.emails.iter().any(|email| email.address == *shown)
                || stored.phones.iter().any(|phone| phone.raw == *shown));
        Self {
            id: stored.id,
            is_new: false,
            is_changed: false,
            starred: false,
            name: (!nameless).then_some(stored.folded),
            display_name: stored.display_name,
            names,
            emails: stored.emails.into_iter().map(|email| email.canonical).collect(),
            phones: stored
                .phones
                .into_iter()
                .map(|phone| phone.e164.unwrap_or(phone.raw))
                .collect(),
            links: stored.links.into_iter().map(|link| link.url).collect(),
            addresses: stored
                .addresses
                .into_iter()
                .map(|address| address.parts)
                .collect(),
            dates: stored
                .dates
                .into_iter()
                .map(|date| KnownDate {
                    label: date.label.filter(|_| date.kind == "other"),
                    kind: date.kind,
                    parts: [date.year, date.month.map(i16::from), date.day.map(i16::from)],
                })
                .collect(),
            affiliations: stored
                .affiliations
                .into_iter()
                .map(|place| KnownAffiliation {
                    company: place.company,
                    title: place.title,
                    department: place.department,
                })
                .collect(),
            tags: stored.tags.into_iter().collect(),
            digests,
            next,
        }
    }
}

/// The next free position of each list.
#[derive(Default)]
pub(super) struct Positions {
    pub(super) email: i32,
    pub(super) phone: i32,
    pub(super) link: i32,
    pub(super) address: i32,
    pub(super) date: i32,
    pub(super) affiliation: i32,
}

impl Positions {
    pub(super) fn take(position: &mut i32) -> i32 {
        let taken = *position;
        *position = position.saturating_add(1);
        taken
    }
}

fn next(positions: impl Iterator<Item = i32>) -> i32 {
    positions.max().map_or(0, |last| last.saturating_add(1))
}

pub(super) fn kind(kind: DateKind) -> &'static str {
    match kind {
        DateKind::Birthday => "birthday",
        DateKind::Anniversary => "anniversary",
        DateKind::Other => "other",
    }
}

fn date_parts(date: &DraftDate) -> [Option<i16>; 3] {
    let date = date.date;
    [
        date.year(),
        date.month().map(i16::from),
        date.day().map(i16::from),
    ]
}

pub(super) struct KnownDate {
    kind: String,
    label: Option<String>,
    parts: [Option<i16>; 3],
}

impl KnownDate {
    pub(super) fn of(date: &DraftDate) -> Self {
        Self {
            kind: kind(date.kind).to_owned(),
            label: date.label.clone(),
            parts: date_parts(date),
        }
    }

    /// Whether it says all that `date` says; a date without its year is less than one with it.
    pub(super) fn says(&self, date: &DraftDate) -> bool {
        let covers = |(ours, theirs): (&Option<i16>, &Option<i16>)| theirs.is_none() || ours == theirs;
        self.kind == kind(date.kind)
            && self.label == date.label
            && self.parts.iter().zip(&date_parts(date)).all(covers)
    }
}

pub(super) struct KnownAffiliation {
    company: Option<String>,
    title: Option<String>,
    department: Option<String>,
}

impl KnownAffiliation {
    pub(super) fn of(company: Option<&str>, place: &DraftAffiliation) -> Self {
        Self {
            company: company.map(str::to_owned),
            title: place.title.clone(),
            department: place.department.clone(),
        }
    }

    /// Whether it says all that `place` says.
    pub(super) fn says(&self, company: Option<&str>, place: &DraftAffiliation) -> bool {
        let covers = |ours: &Option<String>, theirs: &Option<String>| theirs.is_none() || ours == theirs;
        (company.is_none() || self.company.as_deref() == company)
            && covers(&self.title, &place.title)
            && covers(&self.department, &place.department)
    }
}
