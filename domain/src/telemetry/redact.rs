//! The last net under the rule that nothing private is logged: what looks like an e-mail address, a
//! token, a URL with something in it, or a value quoted by Postgres is taken out of every text.
//!
//! It is no licence to log such things: a name or a note's text looks like any other.

/// What stands where something was.
pub(super) const REMOVED: &str = "[removed]";

/// Fields whose value is never shown, by a part of their name.
const PRIVATE: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "email",
    "phone",
    "body",
    "query_string",
];

/// From this length on, letters mixed with digits are taken for a secret.
const SECRET_LENGTH: usize = 20;

/// Whether a field of this name is never shown.
pub(super) fn is_private(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PRIVATE.iter().any(|part| name.contains(part))
}

/// The text without what looks private.
pub(super) fn scrub(text: &str) -> String {
    let text = without_values(text);
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for character in text.chars() {
        if is_boundary(character) {
            push_word(&mut out, &word);
            word.clear();
            out.push(visible(character));
        } else {
            word.push(character);
        }
    }
    push_word(&mut out, &word);
    out
}

/// Takes out what Postgres quotes of a value: `invalid input syntax for type date: "…"`, `Key (a)=(…)`.
fn without_values(text: &str) -> String {
    let mut out = text.to_owned();
    for (open, close) in [(": \"", '"'), (")=(", ')')] {
        if let Some(at) = out.find(open) {
            let from = at + open.len();
            let to = out.rfind(close).filter(|to| *to >= from).unwrap_or(out.len());
            out.replace_range(from..to, "…");
        }
    }
    out
}

fn is_boundary(character: char) -> bool {
    character.is_whitespace() || character.is_control() || "\"'`<>()[]{},;|\\".contains(character)
}

/// Control characters beyond ASCII and the separators of lines and paragraphs are not escaped by JSON.
fn visible(character: char) -> char {
    match character {
        '\u{2028}' | '\u{2029}' => ' ',
        other if !other.is_ascii() && other.is_control() => ' ',
        other => other,
    }
}

fn push_word(out: &mut String, word: &str) {
    if let Some((scheme, rest)) = word.split_once("://") {
        // Of a URL, whom it names: the rest may be a capability.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        out.push_str(&format!("{scheme}://{host}"));
        if authority.len() < rest.len() {
            out.push_str("/…");
        }
        return;
    }
    if word.trim_matches('@').contains('@') {
        out.push_str(REMOVED);
        return;
    }
    let (path, query) = match word.split_once('?') {
        Some((path, query)) if !query.is_empty() => (path, true),
        _ => (word, false),
    };
    let mut rest = path;
    while let Some(at) = rest.find(['/', ':', '=', '.', '&', '%', '~']) {
        push_part(out, &rest[..at]);
        out.push_str(&rest[at..=at]);
        rest = &rest[at + 1..];
    }
    push_part(out, rest);
    if query {
        out.push_str("?…");
    }
}

fn push_part(out: &mut String, part: &str) {
    out.push_str(if is_secret(part) { REMOVED } else { part });
}

/// Long, letters and digits mixed, and no UUID, which is what ids here are.
fn is_secret(part: &str) -> bool {
    part.len() >= SECRET_LENGTH
        && part.bytes().any(|b| b.is_ascii_digit())
        && part.bytes().any(|b| b.is_ascii_alphabetic())
        && !(part.len() == 36 && uuid::Uuid::try_parse(part).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_private_goes() {
        for (text, expected) in [
            ("mail to ada@example.test failed", "mail to [removed] failed"),
            ("<ada@example.test>", "<[removed]>"),
            (
                "Bearer eyJhbGciOiJFZERTQSJ9abc12.eyJzdWIiOiIxMjM0NTY3ODkwIn0",
                "Bearer [removed].[removed]",
            ),
            ("postgres://crm:hunter2@db:5432/crm?x=1", "postgres://db:5432/…"),
            ("https://a.test", "https://a.test"),
            ("GET /photo?key=abc", "GET /photo?…"),
            (
                "error returned from database: invalid input syntax for type date: \"Ada said \"no\"\"",
                "error returned from database: invalid input syntax for type date: \"…\"",
            ),
            (
                "Key (address)=(Ada L.) already exists.",
                "Key (address)=(…) already exists.",
            ),
            ("/photo/q83vEjRWeJCrze8SNFZ4kKvN", "/photo/[removed]"),
        ] {
            assert_eq!(scrub(text), expected);
        }
    }

    #[test]
    fn what_helps_stays() {
        for text in [
            "relation \"contact\" does not exist",
            "domain::db::connection at domain/src/db/connection.rs:41:9",
            "0192f0c1-9c1b-7cc3-98c4-dc0c0c07398f",
            "tried 3 times, 250ms; why?",
            "SELECT id FROM contact WHERE id = $1",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    #[test]
    fn separators_of_lines_do_not_stay() {
        assert_eq!(scrub("a\u{2028}b\u{85}c"), "a b c");
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_scrubbed(text in ".*") {
            scrub(&text);
        }
    }
}
