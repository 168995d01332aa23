//! The texts within the cells of a Google Contacts file: joined values, starred labels, joined names, links.

use url::Url;

use crate::import::draft::{LIST_ITEMS, clean_line};

/// How Google joins several values in one cell.
const JOINT: &str = " ::: ";

/// Whether the joined name only repeats the parts, in whatever order and with whatever between them.
pub(super) fn is_joined(full: &str, parts: &[&str]) -> bool {
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
    }
    if words(full).all(|word| {
        parts
            .iter()
            .flat_map(|part| words(part))
            .any(|other| other == word)
    }) {
        return true;
    }
    // Names without spaces between their parts: 山田太郎.
    let letters = |text: &str| {
        let mut letters: Vec<char> = text
            .chars()
            .filter(|c| !c.is_whitespace() && !",.、・".contains(*c))
            .collect();
        letters.sort_unstable();
        letters
    };
    parts.iter().all(|part| full.contains(part)) && letters(full) == letters(&parts.concat())
}

/// The values that Google joined; empty ones keep their places, since labels are paired by them.
pub(super) fn split(raw: &str) -> impl Iterator<Item = &str> {
    // A blank first or last value leaves half a joint at the edge once somebody has trimmed the cell.
    let raw = raw.trim();
    let (before, raw) = match raw.strip_prefix(":::") {
        Some(rest) if rest.starts_with(' ') => (Some(""), rest.strip_prefix(' ').unwrap_or(rest)),
        _ => (None, raw),
    };
    let raw = raw.strip_suffix(" :::").unwrap_or(raw);
    before.into_iter().chain(raw.splitn(LIST_ITEMS, JOINT))
}

pub(super) fn pieces(raw: &str) -> Vec<Option<String>> {
    if raw.is_empty() {
        Vec::new()
    } else {
        split(raw).map(clean_line).collect()
    }
}

/// A label without Google's mark for chosen and system labels.
pub(super) fn unstarred(label: String) -> Option<String> {
    match label.strip_prefix('*') {
        Some("") => None,
        Some(rest) if rest.starts_with(' ') => clean_line(rest),
        _ => Some(label),
    }
}

pub(super) fn is_my_contacts(tag: &str) -> bool {
    tag.eq_ignore_ascii_case("mycontacts") || tag.eq_ignore_ascii_case("my contacts")
}

/// An http or https address; `https://` is put before one without a scheme.
pub(super) fn web_address(text: &str) -> Option<String> {
    // Older exports escape the colon.
    let text = text.replacen("\\:", ":", 1);
    if text.contains(char::is_whitespace) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let text = if lower.starts_with("http://") || lower.starts_with("https://") {
        text
    } else {
        let host = text.split(['/', '?', '#']).next().unwrap_or_default();
        // `javascript:…` and `ann@example.org` are no hosts.
        if !host.contains('.') || host.contains([':', '@']) {
            return None;
        }
        format!("https://{text}")
    };
    Url::parse(&text).ok().filter(Url::has_host).map(|_| text)
}
