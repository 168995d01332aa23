//! One person in the memory of a batch: what they have, and what a row adds.

mod called;
mod known;

use std::collections::HashSet;

use uuid::Uuid;

use self::called::{STARRED, canonical, overlong_tags};
use self::known::{KnownAffiliation, KnownDate, Positions, kind};
use super::draft::{Draft, DraftAddress, DraftAffiliation, DraftDate, DraftPhone, LIST_ITEMS, Name};
use super::lookup::Folded;
use super::write::Writing;
use crate::crypto::DigestKey;
use crate::error::{Error, Result};

pub(super) use self::called::{called, keys, tags};

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
        let mut over = Surplus::default();
        let reached = self.absorb_reach(draft, writing, &mut over)?;
        let placed = self.absorb_affiliations(&draft.affiliations, folded, writing, &mut over)?;
        let dated = self.absorb_dates(&draft.dates, writing, &mut over);
        let tagged = self.absorb_tags(draft, folded, writing, &mut over)?;
        let noted = self.absorb_texts(draft, &over, key, writing);
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

    fn absorb_reach(&mut self, draft: &Draft, writing: &mut Writing<'_>, over: &mut Surplus) -> Result<bool> {
        let mut changed = false;
        for email in &draft.emails {
            let canonical =
                canonical(&email.value).ok_or_else(|| Error::internal("a draft with a bad address"))?;
            if self.emails.contains(&canonical) {
                continue;
            }
            if over.takes(self.emails.len(), "E-mail", || email.value.clone()) {
                continue;
            }
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
            if over.takes(self.phones.len(), "Phone", || phone.raw.clone()) {
                continue;
            }
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
            if over.takes(self.links.len(), "Website", || link.value.clone()) {
                continue;
            }
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
            let text = || {
                parts(address)
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            if over.takes(self.addresses.len(), "Address", text) {
                continue;
            }
            self.addresses.insert(parts(address));
            writing.address(self.id, Positions::take(&mut self.next.address), address);
            changed = true;
        }
        Ok(changed)
    }

    fn absorb_dates(&mut self, dates: &[DraftDate], writing: &mut Writing<'_>, over: &mut Surplus) -> bool {
        let new: Vec<_> = dates
            .iter()
            .filter(|date| !self.dates.iter().any(|known| known.says(date)))
            .collect();
        let mut changed = false;
        for date in new {
            let text = || format!("{} {}", date.label.as_deref().unwrap_or_default(), date.date);
            if over.takes(self.dates.len(), "Date", text) {
                continue;
            }
            changed = true;
            self.dates.push(KnownDate::of(date));
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
        over: &mut Surplus,
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
        let mut changed = false;
        for (company, place) in new {
            let text = || {
                let parts = [&place.company, &place.title, &place.department];
                parts
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            if over.takes(self.affiliations.len(), "Organization", text) {
                continue;
            }
            changed = true;
            self.affiliations.push(KnownAffiliation::of(company, place));
            let position = Positions::take(&mut self.next.affiliation);
            writing.affiliation(self.id, position, company, place);
        }
        Ok(changed)
    }

    fn absorb_tags(
        &mut self,
        draft: &Draft,
        folded: &Folded,
        writing: &mut Writing<'_>,
        over: &mut Surplus,
    ) -> Result<bool> {
        let mut changed = false;
        for tag in tags(draft) {
            let folded = folded.get(tag)?;
            if self.tags.contains(folded) || over.takes(self.tags.len(), "Label", || tag.to_owned()) {
                continue;
            }
            if self.tags.insert(folded.to_owned()) {
                writing.tag(self.id, folded, tag);
                changed = true;
            }
        }
        Ok(changed)
    }

    fn absorb_texts(
        &mut self,
        draft: &Draft,
        over: &Surplus,
        key: &DigestKey,
        writing: &mut Writing<'_>,
    ) -> bool {
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
        let rest = rest.chain(over.0.iter().map(|(list, value)| (*list, value.as_str())));
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

/// What a person's full lists have no room for; it goes into a note.
#[derive(Default)]
struct Surplus(Vec<(&'static str, String)>);

impl Surplus {
    /// Takes an item if its list is full.
    fn takes(&mut self, length: usize, list: &'static str, item: impl FnOnce() -> String) -> bool {
        let full = length >= LIST_ITEMS;
        if full {
            self.0.push((list, item()));
        }
        full
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
