//! What a row calls its person, and what it is looked for by.

use crate::contact::name::{NameParts, display_name};
use crate::email_address::EmailAddress;
use crate::import::draft::Draft;

/// Characters of a tag at most.
const TAG_CHARS: usize = 200;
/// Google's label for favourites, as the reader spells it.
pub(super) const STARRED: &str = "starred";

/// What a row calls its person.
pub(in crate::import) struct Called {
    /// What they are shown as, unless that is only an address or a number.
    pub(in crate::import) name: Option<String>,
    /// What they are shown as.
    pub(super) display_name: Option<String>,
}

/// What a row calls its person.
pub(in crate::import) fn called(draft: &Draft) -> Called {
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
pub(in crate::import) fn keys(draft: &Draft) -> Vec<String> {
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
pub(in crate::import) fn tags(draft: &Draft) -> impl Iterator<Item = &str> {
    let tags = draft.tags.iter().map(String::as_str);
    tags.filter(|tag| *tag != STARRED && tag.chars().count() <= TAG_CHARS)
}

pub(super) fn overlong_tags(draft: &Draft) -> impl Iterator<Item = &str> {
    let tags = draft.tags.iter().map(String::as_str);
    tags.filter(|tag| tag.chars().count() > TAG_CHARS)
}

pub(super) fn canonical(address: &str) -> Option<String> {
    EmailAddress::parse(address).map(|address| address.canonical().to_owned())
}
