//! What a person is called in a list.

/// The parts of a name, as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameParts<'a> {
    /// "Ada".
    pub given: Option<&'a str>,
    /// Names between the two.
    pub additional: Option<&'a str>,
    /// "Lovelace".
    pub family: Option<&'a str>,
    /// "Jr.".
    pub suffix: Option<&'a str>,
    /// A name that came joined, without its parts.
    pub full: Option<&'a str>,
    /// What friends say.
    pub nickname: Option<&'a str>,
}

/// Given, additional and family name and suffix; else the joined name, the nickname, or the first of
/// `fallback` (company, e-mail address, phone number). None if all are empty.
pub fn display_name<'a>(parts: NameParts<'a>, fallback: impl Iterator<Item = &'a str>) -> Option<String> {
    let some = |part: Option<&'a str>| part.map(str::trim).filter(|part| !part.is_empty());
    let joined = [parts.given, parts.additional, parts.family, parts.suffix]
        .into_iter()
        .filter_map(some);
    let joined = joined.collect::<Vec<_>>().join(" ");
    if !joined.is_empty() {
        return Some(joined);
    }
    [parts.full, parts.nickname]
        .into_iter()
        .chain(fallback.map(Some))
        .find_map(some)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_known_name_is_shown() {
        let parts = NameParts {
            given: Some("Ada"),
            family: Some(" Lovelace "),
            nickname: Some("A"),
            ..NameParts::default()
        };
        assert_eq!(
            display_name(parts, std::iter::empty()).as_deref(),
            Some("Ada Lovelace")
        );
        let nick = NameParts {
            nickname: Some("A"),
            ..NameParts::default()
        };
        assert_eq!(display_name(nick, ["Acme"].into_iter()).as_deref(), Some("A"));
        assert_eq!(
            display_name(NameParts::default(), ["", "Acme"].into_iter()).as_deref(),
            Some("Acme")
        );
        assert_eq!(display_name(NameParts::default(), std::iter::empty()), None);
    }
}
