//! One row of a Google Contacts file to a draft.

use super::value::{is_joined, is_my_contacts, pieces, split, unstarred, web_address};
use super::{Field, Group, Layout, Single};
use crate::email_address::EmailAddress;
use crate::import::draft::{
    DateKind, Draft, DraftAddress, DraftAffiliation, DraftDate, DraftPhone, LIST_ITEMS, Labelled, NAME_CHARS,
    NOTE_CHARS, Name, SHORT_CHARS, clean_line, clean_text,
};
use crate::import::table::Record;
use crate::partial_date::PartialDate;
use crate::phone_number::PhoneNumber;

pub(super) fn draft(layout: &Layout, record: &Record, region: Option<&str>) -> Draft {
    let mut row = Row {
        layout,
        record,
        draft: Draft::default(),
    };
    row.singles();
    for ((group, _), fields) in &layout.groups {
        if fields.iter().all(|(_, index)| record.get(*index).is_empty()) {
            continue;
        }
        match group {
            Group::Email => row.emails(fields),
            Group::Phone => row.phones(fields, region),
            Group::Address => row.addresses(fields),
            Group::Organization => row.affiliations(fields),
            Group::Website => row.links(fields),
            Group::Event => row.events(fields),
            Group::Relation => row.named(fields, "Relation"),
            Group::Im => row.named(fields, "IM"),
            Group::Custom => row.named(fields, ""),
        }
    }
    for index in &layout.rest {
        row.keep(*index, clean_text(record.get(*index)));
    }
    row.draft
}

struct Row<'a> {
    layout: &'a Layout,
    record: &'a Record,
    draft: Draft,
}

/// One of the values of a group, with the columns that it and its label came from.
struct Entry {
    position: usize,
    label: Option<String>,
    value: String,
    label_column: usize,
    column: usize,
}

impl Row<'_> {
    /// Puts a value with the rest, under the name of its column.
    fn keep(&mut self, index: usize, value: Option<String>) {
        if let (Some(value), Some(column)) = (value, self.layout.columns.get(index)) {
            self.draft.rest.push((column.clone(), value));
        }
    }

    /// The value if it has at most `chars` characters; a longer one is moved to the rest, whole.
    fn fitting(&mut self, index: usize, value: Option<String>, chars: usize) -> Option<String> {
        // A character has at least a byte, so most values needn't be counted.
        let long = |text: &String| text.len() > chars && text.chars().count() > chars;
        if value.as_ref().is_some_and(long) {
            self.keep(index, value);
            return None;
        }
        value
    }

    fn singles(&mut self) {
        let mut full = None;
        for (single, index) in &self.layout.singles {
            let raw = self.record.get(*index);
            if raw.is_empty() {
                continue;
            }
            match single {
                Single::Birthday => self.birthday(*index, raw),
                Single::Labels => self.tags(*index, raw),
                Single::Notes => {
                    let notes = self.fitting(*index, clean_text(raw), NOTE_CHARS);
                    self.draft.notes = notes;
                }
                name => {
                    let part = self.fitting(*index, clean_line(raw), NAME_CHARS);
                    match slot(&mut self.draft.name, *name) {
                        Some(slot) => *slot = part,
                        None => full = part.map(|full| (*index, full)),
                    }
                }
            }
        }
        let Some((index, full)) = full else { return };
        let name = &mut self.draft.name;
        if name.given.is_none() && name.additional.is_none() && name.family.is_none() {
            name.full = Some(full);
        } else if !is_joined(&full, &parts(name)) {
            self.keep(index, Some(full));
        }
    }

    fn birthday(&mut self, index: usize, raw: &str) {
        match PartialDate::parse(raw.trim()) {
            Some(date) => self.date(DraftDate {
                kind: DateKind::Birthday,
                label: None,
                date,
            }),
            None => self.keep(index, clean_line(raw)),
        }
    }

    fn date(&mut self, date: DraftDate) {
        if !self.draft.dates.contains(&date) {
            self.draft.dates.push(date);
        }
    }

    fn tags(&mut self, index: usize, raw: &str) {
        for piece in pieces(raw).into_iter().flatten() {
            // The group that every contact is in says nothing.
            let Some(tag) = unstarred(piece).filter(|tag| !is_my_contacts(tag)) else {
                continue;
            };
            let Some(tag) = self.fitting(index, Some(tag), SHORT_CHARS) else {
                continue;
            };
            if self.draft.tags.len() >= LIST_ITEMS {
                self.keep(index, Some(tag));
                continue;
            }
            let folded = tag.to_lowercase();
            let tag = if folded == "starred" { folded.clone() } else { tag };
            if self.draft.tags.iter().all(|other| other.to_lowercase() != folded) {
                self.draft.tags.push(tag);
            }
        }
    }

    /// The values of a group with their labels: as many labels as values are pairs, one label is shared.
    ///
    /// Labels that are left over, having no value, go to the rest.
    fn entries(&mut self, fields: &[(Field, usize)]) -> Vec<Entry> {
        let column = |wanted| {
            fields
                .iter()
                .find(|(field, _)| *field == wanted)
                .map(|(_, index)| *index)
        };
        let label_column = column(Field::Label).unwrap_or(usize::MAX);
        let labels = self.labels(label_column);
        let Some(column) = column(Field::Value) else {
            labels
                .into_iter()
                .for_each(|label| self.keep(label_column, label));
            return Vec::new();
        };
        let values = pieces(self.record.get(column));
        let shared = labels.len() == 1 && values.iter().any(Option::is_some);
        let mut labels = labels.into_iter();
        let common = if shared { labels.next().flatten() } else { None };
        let mut entries = Vec::new();
        for (position, value) in values.into_iter().enumerate() {
            let label = if shared {
                common.clone()
            } else {
                labels.next().flatten()
            };
            match value {
                Some(value) => entries.push(Entry {
                    position,
                    label,
                    value,
                    label_column,
                    column,
                }),
                None if shared => {}
                None => self.keep(label_column, label),
            }
        }
        labels.for_each(|label| self.keep(label_column, label));
        entries
    }

    fn labels(&mut self, column: usize) -> Vec<Option<String>> {
        let labels = pieces(self.record.get(column))
            .into_iter()
            .map(|label| unstarred(label?));
        let labels: Vec<_> = labels.collect();
        labels
            .into_iter()
            .map(|label| self.fitting(column, label, SHORT_CHARS))
            .collect()
    }

    fn keep_entry(&mut self, entry: Entry) {
        self.keep(entry.column, Some(entry.value));
        self.keep(entry.label_column, entry.label);
    }

    fn emails(&mut self, fields: &[(Field, usize)]) {
        for entry in self.entries(fields) {
            let room = self.draft.emails.len() < LIST_ITEMS;
            let Some(address) = EmailAddress::parse(&entry.value).filter(|_| room) else {
                self.keep_entry(entry);
                continue;
            };
            let same =
                |other: &&Labelled<String>| EmailAddress::parse(&other.value).as_ref() == Some(&address);
            match self.draft.emails.iter().find(same) {
                None => {
                    let value = address.as_str().to_owned();
                    self.draft.emails.push(Labelled {
                        label: entry.label,
                        value,
                    });
                }
                // A person has an address once; another spelling or label of it is still not lost.
                Some(first) if first.value != address.as_str() || first.label != entry.label => {
                    self.keep_entry(entry)
                }
                Some(_) => {}
            }
        }
    }

    fn phones(&mut self, fields: &[(Field, usize)], region: Option<&str>) {
        for entry in self.entries(fields) {
            if self.draft.phones.len() >= LIST_ITEMS {
                self.keep_entry(entry);
                continue;
            }
            let (column, label_column) = (entry.column, entry.label_column);
            let Some(raw) = self.fitting(column, Some(entry.value), SHORT_CHARS) else {
                self.keep(label_column, entry.label);
                continue;
            };
            let e164 = PhoneNumber::parse(&raw, region).e164().map(str::to_owned);
            let phone = DraftPhone {
                label: entry.label,
                raw,
                e164,
            };
            if !self.draft.phones.contains(&phone) {
                self.draft.phones.push(phone);
            }
        }
    }

    fn links(&mut self, fields: &[(Field, usize)]) {
        for entry in self.entries(fields) {
            let room = self.draft.links.len() < LIST_ITEMS;
            let link = web_address(&entry.value).filter(|link| room && link.chars().count() <= SHORT_CHARS);
            match link {
                Some(value) => {
                    let link = Labelled {
                        label: entry.label,
                        value,
                    };
                    if !self.draft.links.contains(&link) {
                        self.draft.links.push(link);
                    }
                }
                None => self.keep_entry(entry),
            }
        }
    }

    fn events(&mut self, fields: &[(Field, usize)]) {
        for entry in self.entries(fields) {
            let room = self.draft.dates.len() < LIST_ITEMS;
            let Some(date) = PartialDate::parse(&entry.value).filter(|_| room) else {
                self.keep_entry(entry);
                continue;
            };
            let (kind, label) = match entry.label.as_deref().map(str::to_lowercase).as_deref() {
                Some("birthday") => (DateKind::Birthday, None),
                Some("anniversary") => (DateKind::Anniversary, None),
                _ => (DateKind::Other, entry.label),
            };
            self.date(DraftDate { kind, label, date });
        }
    }

    /// Relations, messengers and custom fields: kept under what they are called.
    fn named(&mut self, fields: &[(Field, usize)], what: &str) {
        let service = fields
            .iter()
            .find(|(field, _)| *field == Field::Service)
            .map(|(_, index)| *index);
        let mut services = service
            .map(|index| pieces(self.record.get(index)))
            .unwrap_or_default();
        for entry in self.entries(fields) {
            let name = match (
                services.get_mut(entry.position).and_then(Option::take),
                entry.label,
            ) {
                (Some(service), Some(label)) => Some(format!("{service} ({label})")),
                (service, label) => service.or(label),
            };
            match name {
                Some(name) if what.is_empty() => self.draft.rest.push((name, entry.value)),
                Some(name) => self.draft.rest.push((format!("{what}: {name}"), entry.value)),
                None => self.keep(entry.column, Some(entry.value)),
            }
        }
        if let Some(service) = service {
            services.into_iter().for_each(|name| self.keep(service, name));
        }
    }

    /// Whether a list is full; then the cells of the group go to the rest as they are.
    fn overflows(&mut self, length: usize, fields: &[(Field, usize)]) -> bool {
        let full = length >= LIST_ITEMS;
        if full {
            fields
                .iter()
                .for_each(|(_, index)| self.keep(*index, clean_text(self.record.get(*index))));
        }
        full
    }

    fn addresses(&mut self, fields: &[(Field, usize)]) {
        if self.overflows(self.draft.addresses.len(), fields) {
            return;
        }
        let mut addresses: Vec<DraftAddress> = Vec::new();
        let mut labels = (usize::MAX, Vec::new());
        for (field, index) in fields {
            if *field == Field::Label {
                labels = (*index, self.labels(*index));
                continue;
            }
            let clean = if matches!(field, Field::Formatted | Field::Street) {
                clean_text
            } else {
                clean_line
            };
            for (position, piece) in split(self.record.get(*index)).enumerate() {
                let Some(part) = self.fitting(*index, clean(piece), SHORT_CHARS) else {
                    continue;
                };
                let address = at(&mut addresses, position);
                let slot = match field {
                    Field::Formatted => &mut address.formatted,
                    Field::Street => &mut address.street,
                    Field::Extended => &mut address.extended,
                    Field::City => &mut address.city,
                    Field::PoBox => &mut address.po_box,
                    Field::Region => &mut address.region,
                    Field::PostalCode => &mut address.postal_code,
                    _ => &mut address.country,
                };
                *slot = Some(part);
            }
        }
        let (column, labels) = labels;
        let shared = labels.len() == 1 && !addresses.is_empty();
        for (position, label) in labels.into_iter().enumerate() {
            let filled = |address: &&mut DraftAddress| **address != DraftAddress::default();
            if shared {
                addresses
                    .iter_mut()
                    .for_each(|address| address.label.clone_from(&label));
            } else if let Some(address) = addresses.get_mut(position).filter(filled) {
                address.label = label;
            } else {
                self.keep(column, label);
            }
        }
        let bare = |label: &Option<String>| DraftAddress {
            label: label.clone(),
            ..DraftAddress::default()
        };
        addresses.retain(|address| *address != bare(&address.label));
        self.draft.addresses.extend(addresses);
    }

    fn affiliations(&mut self, fields: &[(Field, usize)]) {
        if self.overflows(self.draft.affiliations.len(), fields) {
            return;
        }
        let mut affiliations: Vec<DraftAffiliation> = Vec::new();
        for (field, index) in fields {
            for (position, piece) in pieces(self.record.get(*index)).into_iter().enumerate() {
                let Some(part) = self.fitting(*index, piece, SHORT_CHARS) else {
                    continue;
                };
                let affiliation = at(&mut affiliations, position);
                let slot = match field {
                    Field::Company => &mut affiliation.company,
                    Field::Title => &mut affiliation.title,
                    _ => &mut affiliation.department,
                };
                *slot = Some(part);
            }
        }
        affiliations.retain(|affiliation| *affiliation != DraftAffiliation::default());
        for affiliation in affiliations {
            if !self.draft.affiliations.contains(&affiliation) {
                self.draft.affiliations.push(affiliation);
            }
        }
    }
}

fn slot(name: &mut Name, part: Single) -> Option<&mut Option<String>> {
    Some(match part {
        Single::Prefix => &mut name.prefix,
        Single::Given => &mut name.given,
        Single::Additional => &mut name.additional,
        Single::Family => &mut name.family,
        Single::Suffix => &mut name.suffix,
        Single::Nickname => &mut name.nickname,
        Single::PhoneticGiven => &mut name.phonetic_given,
        Single::PhoneticFamily => &mut name.phonetic_family,
        Single::FileAs => &mut name.file_as,
        Single::Full | Single::Birthday | Single::Notes | Single::Labels => return None,
    })
}

fn parts(name: &Name) -> Vec<&str> {
    let parts = [
        &name.prefix,
        &name.given,
        &name.additional,
        &name.family,
        &name.suffix,
    ];
    parts.into_iter().filter_map(Option::as_deref).collect()
}

fn at<T: Default>(items: &mut Vec<T>, position: usize) -> &mut T {
    if items.len() <= position {
        items.resize_with(position + 1, T::default);
    }
    &mut items[position]
}
