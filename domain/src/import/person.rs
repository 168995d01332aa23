//! One person in the memory of a batch: what they have, and what a row adds.

use std::collections::HashSet;

use uuid::Uuid;

use super::draft::{DateKind, Draft, DraftAddress, DraftAffiliation, DraftDate, DraftPhone, Name};
use super::lookup::{Folded, Stored};
use super::write::Writing;
use crate::contact::name::{NameParts, display_name};
use crate::crypto::DigestKey;
use crate::email_address::EmailAddress;
use crate::error::{Error, Result};

/// Characters of a tag at most.
const TAG_CHARS: usize = 200;
/// Google's label for favourites, as the reader spells it.
const STARRED: &str = "starred";

/// What a row calls its person.
pub(super) struct Called {
    /// What they are shown as, unless that is only an address or a number.
    pub(super) name: Option<String>,
    /// What they are shown as.
    display_name: Option<String>,
}

/// What a row calls its person.
pub(super) fn called(draft: &Draft) -> Called {
    let name = &draft.name;
    let parts = NameParts {
        given: name.given.as_deref(),
        additional: name.additional.as_deref(),
        family: name.family.as_deref(),
        suffix: name.suffix.as_deref(),
        full: name.full.as_deref(),
        nickname: name.nickname.as_deref(),
    };
    let phonetic = [name.phonetic_given.as_deref(), name.phonetic_family.as_deref()];
    let phonetic: Vec<_> = phonetic.into_iter().flatten().collect();
    let phonetic = phonetic.join(" ");
    let companies = draft
        .affiliations
        .iter()
        .filter_map(|place| place.company.as_deref());
    let others = name.file_as.as_deref().into_iter().chain([&*phonetic]);
    let name = display_name(parts, others.chain(companies));
    let reached = draft.emails.iter().map(|email| &email.value);
    let reached = reached.chain(draft.phones.iter().map(|phone| &phone.raw)).next();
    Called {
        display_name: name.clone().or_else(|| reached.cloned()),
        name,
    }
}

/// What a row is looked for by.
pub(super) fn keys(draft: &Draft) -> Vec<String> {
    let emails: Vec<_> = draft
        .emails
        .iter()
        .filter_map(|email| canonical(&email.value))
        .collect();
    if emails.is_empty() {
        return draft
            .phones
            .iter()
            .filter_map(|phone| phone.e164.clone())
            .collect();
    }
    emails
}

/// The labels that become tags; the rest are [`overlong_tags`] and the star.
pub(super) fn tags(draft: &Draft) -> impl Iterator<Item = &str> {
    let tags = draft.tags.iter().map(String::as_str);
    tags.filter(|tag| *tag != STARRED && tag.chars().count() <= TAG_CHARS)
}

fn overlong_tags(draft: &Draft) -> impl Iterator<Item = &str> {
    let tags = draft.tags.iter().map(String::as_str);
    tags.filter(|tag| tag.chars().count() > TAG_CHARS)
}

fn canonical(address: &str) -> Option<String> {
    EmailAddress::parse(address).map(|address| address.canonical().to_owned())
}

/// A person, before and after the rows of a batch.
pub(super) struct Person {
    pub(super) id: Uuid,
    pub(super) is_new: bool,
    /// Whether a row has added something.
    pub(super) is_changed: bool,
    pub(super) starred: bool,
    /// Folded; nothing while they are nameless.
    pub(super) name: Option<String>,
    pub(super) display_name: String,
    pub(super) names: Name,
    emails: HashSet<String>,
    phones: HashSet<String>,
    links: HashSet<String>,
    addresses: HashSet<[Option<String>; 8]>,
    dates: Vec<KnownDate>,
    affiliations: Vec<KnownAffiliation>,
    tags: HashSet<String>,
    digests: HashSet<[u8; 32]>,
    next: Positions,
}

/// The next free position of each list.
#[derive(Default)]
struct Positions {
    email: i32,
    phone: i32,
    link: i32,
    address: i32,
    date: i32,
    affiliation: i32,
}

impl Positions {
    fn take(position: &mut i32) -> i32 {
        let taken = *position;
        *position = position.saturating_add(1);
        taken
    }
}

fn next(positions: impl Iterator<Item = i32>) -> i32 {
    positions.max().map_or(0, |last| last.saturating_add(1))
}

impl Person {
    /// Somebody of whom nothing is known yet.
    pub(super) fn new(id: Uuid) -> Self {
        Self {
            id,
            is_new: true,
            is_changed: false,
            starred: false,
            name: None,
            display_name: String::new(),
            names: Name::default(),
            emails: HashSet::new(),
            phones: HashSet::new(),
            links: HashSet::new(),
            addresses: HashSet::new(),
            dates: Vec::new(),
            affiliations: Vec::new(),
            tags: HashSet::new(),
            digests: HashSet::new(),
            next: Positions::default(),
        }
    }

    /// A contact of the database.
    pub(super) fn stored(stored: Stored) -> Self {
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

    /// What rows are found by.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        // Numbers that are not certain are kept as they are written, and found by nobody.
        let numbers = self
            .phones
            .iter()
            .filter(|phone| is_e164(phone))
            .map(String::as_str);
        self.emails.iter().map(String::as_str).chain(numbers)
    }

    /// Takes what the row has and the person lacks; tells whether that was anything.
    ///
    /// Compared is with what was there before the row: two numbers that differ only by their labels are
    /// both kept when one row brings them.
    pub(super) fn absorb(
        &mut self,
        draft: &Draft,
        folded: &Folded,
        key: &DigestKey,
        writing: &mut Writing<'_>,
    ) -> Result<bool> {
        let named = self.absorb_name(draft, folded)?;
        let reached = self.absorb_reach(draft, writing)?;
        let placed = self.absorb_affiliations(&draft.affiliations, folded, writing)?;
        let dated = self.absorb_dates(&draft.dates, writing);
        let tagged = self.absorb_tags(draft, folded, writing)?;
        let noted = self.absorb_texts(draft, key, writing);
        let changed = named || reached || placed || dated || tagged || noted;
        self.is_changed |= changed;
        Ok(changed)
    }

    fn absorb_name(&mut self, draft: &Draft, folded: &Folded) -> Result<bool> {
        let called = called(draft);
        let before = self.names.clone();
        let (ours, theirs) = (&mut self.names, &draft.name);
        if [&ours.given, &ours.additional, &ours.family, &ours.suffix]
            .into_iter()
            .all(Option::is_none)
        {
            ours.given.clone_from(&theirs.given);
            ours.additional.clone_from(&theirs.additional);
            ours.family.clone_from(&theirs.family);
            ours.suffix.clone_from(&theirs.suffix);
        }
        for (ours, theirs) in [
            (&mut ours.prefix, &theirs.prefix),
            (&mut ours.nickname, &theirs.nickname),
            (&mut ours.phonetic_given, &theirs.phonetic_given),
            (&mut ours.phonetic_family, &theirs.phonetic_family),
            (&mut ours.file_as, &theirs.file_as),
        ] {
            if ours.is_none() {
                ours.clone_from(theirs);
            }
        }
        if self.is_new && !self.is_changed {
            self.starred = draft.tags.iter().any(|tag| tag == STARRED);
        }
        if self.name.is_none() && called.name.is_some() {
            let name = called.name.as_deref().map(|name| folded.get(name)).transpose()?;
            self.name = name.map(str::to_owned);
            self.display_name = called.display_name.unwrap_or_default();
            return Ok(true);
        }
        if self.display_name.is_empty() {
            self.display_name = called
                .display_name
                .ok_or_else(|| Error::internal("a person without any name"))?;
        }
        Ok(before != self.names)
    }

    fn absorb_reach(&mut self, draft: &Draft, writing: &mut Writing<'_>) -> Result<bool> {
        let mut changed = false;
        for email in &draft.emails {
            let canonical =
                canonical(&email.value).ok_or_else(|| Error::internal("a draft with a bad address"))?;
            if self.emails.insert(canonical.clone()) {
                writing.email(self.id, Positions::take(&mut self.next.email), email, canonical);
                changed = true;
            }
        }
        let known = |phone: &DraftPhone| phone.e164.clone().unwrap_or_else(|| phone.raw.clone());
        let new: Vec<_> = draft
            .phones
            .iter()
            .filter(|phone| !self.phones.contains(&known(phone)))
            .collect();
        for phone in new {
            self.phones.insert(known(phone));
            writing.phone(self.id, Positions::take(&mut self.next.phone), phone);
            changed = true;
        }
        let new: Vec<_> = draft
            .links
            .iter()
            .filter(|link| !self.links.contains(&link.value))
            .collect();
        for link in new {
            self.links.insert(link.value.clone());
            writing.link(self.id, Positions::take(&mut self.next.link), link);
            changed = true;
        }
        let new: Vec<_> = draft
            .addresses
            .iter()
            .filter(|address| !self.addresses.contains(&parts(address)))
            .collect();
        for address in new {
            self.addresses.insert(parts(address));
            writing.address(self.id, Positions::take(&mut self.next.address), address);
            changed = true;
        }
        Ok(changed)
    }

    fn absorb_dates(&mut self, dates: &[DraftDate], writing: &mut Writing<'_>) -> bool {
        let new: Vec<_> = dates
            .iter()
            .filter(|date| !self.dates.iter().any(|known| known.says(date)))
            .collect();
        let changed = !new.is_empty();
        for date in new {
            self.dates.push(KnownDate {
                kind: kind(date.kind).to_owned(),
                label: date.label.clone(),
                parts: date_parts(date),
            });
            writing.date(
                self.id,
                Positions::take(&mut self.next.date),
                kind(date.kind),
                date,
            );
        }
        changed
    }

    fn absorb_affiliations(
        &mut self,
        places: &[DraftAffiliation],
        folded: &Folded,
        writing: &mut Writing<'_>,
    ) -> Result<bool> {
        let mut new = Vec::new();
        for place in places {
            let company = place
                .company
                .as_deref()
                .map(|name| folded.get(name))
                .transpose()?;
            if !self.affiliations.iter().any(|known| known.says(company, place)) {
                new.push((company, place));
            }
        }
        let changed = !new.is_empty();
        for (company, place) in new {
            self.affiliations.push(KnownAffiliation {
                company: company.map(str::to_owned),
                title: place.title.clone(),
                department: place.department.clone(),
            });
            let position = Positions::take(&mut self.next.affiliation);
            writing.affiliation(self.id, position, company, place);
        }
        Ok(changed)
    }

    fn absorb_tags(&mut self, draft: &Draft, folded: &Folded, writing: &mut Writing<'_>) -> Result<bool> {
        let mut changed = false;
        for tag in tags(draft) {
            let folded = folded.get(tag)?;
            if self.tags.insert(folded.to_owned()) {
                writing.tag(self.id, folded, tag);
                changed = true;
            }
        }
        Ok(changed)
    }

    fn absorb_texts(&mut self, draft: &Draft, key: &DigestKey, writing: &mut Writing<'_>) -> bool {
        let mut changed = false;
        if let Some(notes) = &draft.notes
            && self.is_news(key, "", notes, writing)
        {
            writing.note(self.id, notes.clone());
            changed = true;
        }
        let rest = draft
            .rest
            .iter()
            .map(|(column, value)| (column.as_str(), value.as_str()));
        let rest = rest.chain(overlong_tags(draft).map(|tag| ("Label", tag)));
        let new: Vec<_> = rest
            .filter(|(column, value)| self.is_news(key, column, value, writing))
            .collect();
        if !new.is_empty() {
            writing.rest(self.id, &new);
            changed = true;
        }
        changed
    }

    fn is_news(&mut self, key: &DigestKey, column: &str, text: &str, writing: &mut Writing<'_>) -> bool {
        let mut message = b"text\x01".to_vec();
        message.extend_from_slice(self.id.as_bytes());
        message.extend_from_slice(&(column.len() as u64).to_be_bytes());
        message.extend_from_slice(column.as_bytes());
        message.extend_from_slice(text.as_bytes());
        let digest = key.digest(&message);
        let news = self.digests.insert(digest);
        if news {
            writing.remember(self.id, digest);
        }
        news
    }
}

fn is_e164(phone: &str) -> bool {
    let digits = phone.strip_prefix('+').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn parts(address: &DraftAddress) -> [Option<String>; 8] {
    [
        address.formatted.clone(),
        address.street.clone(),
        address.extended.clone(),
        address.city.clone(),
        address.po_box.clone(),
        address.region.clone(),
        address.postal_code.clone(),
        address.country.clone(),
    ]
}

fn kind(kind: DateKind) -> &'static str {
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

struct KnownDate {
    kind: String,
    label: Option<String>,
    parts: [Option<i16>; 3],
}

impl KnownDate {
    /// Whether it says all that `date` says; a date without its year is less than one with it.
    fn says(&self, date: &DraftDate) -> bool {
        let covers = |(ours, theirs): (&Option<i16>, &Option<i16>)| theirs.is_none() || ours == theirs;
        self.kind == kind(date.kind)
            && self.label == date.label
            && self.parts.iter().zip(&date_parts(date)).all(covers)
    }
}

struct KnownAffiliation {
    company: Option<String>,
    title: Option<String>,
    department: Option<String>,
}

impl KnownAffiliation {
    /// Whether it says all that `place` says.
    fn says(&self, company: Option<&str>, place: &DraftAffiliation) -> bool {
        let covers = |ours: &Option<String>, theirs: &Option<String>| theirs.is_none() || ours == theirs;
        (company.is_none() || self.company.as_deref() == company)
            && covers(&self.title, &place.title)
            && covers(&self.department, &place.department)
    }
}
