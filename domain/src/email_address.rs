//! E-mail addresses: which texts are accepted, how they are shown, and when two are the same.

use std::hash::{Hash, Hasher};

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

/// RFC 5321 4.5.3.1.1, in octets.
const LOCAL_MAX: usize = 64;
/// What is left of RFC 5321's 256 octet path without its angle brackets.
const TOTAL_MAX: usize = 254;

/// An address that mail can be sent to: a dot-atom local part (RFC 5321, with UTF-8 by RFC 6531) and a domain
/// of at least two labels. Quoted local parts, comments and address literals are refused.
///
/// Two addresses are equal when their canonical forms are.
#[derive(Debug, Clone)]
pub struct EmailAddress {
    text: String,
    canonical: String,
}

impl EmailAddress {
    /// Reads an address; spaces around it are ignored, and a line break anywhere refuses it, because an address
    /// ends up in mail headers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.trim_matches(' ').split_once('@')?;
        let local: String = local.nfc().collect();
        let domain = canonical_domain(domain)?;
        // Lower-casing can undo composition, hence the second pass.
        let folded = local
            .nfkc()
            .collect::<String>()
            .to_lowercase()
            .nfkc()
            .collect::<String>();
        // Compatibility forms can hide what is refused in plain sight: U+FF20 becomes `@`.
        if !is_local_part(&local) || !is_local_part(&folded) {
            return None;
        }
        let text = format!("{local}@{domain}");
        let canonical = format!("{folded}@{domain}");
        (text.len() <= TOTAL_MAX && canonical.len() <= TOTAL_MAX).then_some(Self { text, canonical })
    }

    /// The address as it is shown and written to: the local part as typed (NFC), the domain in ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the text itself is what equality is judged by, but for its case. Of two addresses that are
    /// equal here but not to every mail server, at most one is plain.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let local = self.text.split_once('@').map_or("", |(local, _)| local);
        local.nfkc().eq(local.chars())
    }

    /// The form by which equality is judged: the local part in NFKC and lower case, the domain in ASCII.
    ///
    /// Letters of other scripts stay what they are, so `аnn@` with a Cyrillic `а` is not `ann@`.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// The address as [`EmailAddress::as_str`] shows it, or nothing if the text isn't one.
#[must_use]
pub fn normalise_email(text: &str) -> Option<String> {
    EmailAddress::parse(text).map(|address| address.text)
}

impl PartialEq for EmailAddress {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for EmailAddress {}

impl Hash for EmailAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

fn is_local_part(local: &str) -> bool {
    (1..=LOCAL_MAX).contains(&local.len())
        && local.split('.').all(|atom| !atom.is_empty())
        && local.chars().all(|c| {
            !c.is_whitespace() && !c.is_control() && !is_invisible(c) && !r#"@"(),:;<>[]\"#.contains(c)
        })
}

/// Characters that change nothing on the screen, so that two addresses would look the same and differ.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{e0000}'..='\u{e0fff}'
    )
}

fn canonical_domain(domain: &str) -> Option<String> {
    let ascii = Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Verify,
        )
        .ok()?;
    let (_, top) = ascii.rsplit_once('.')?;
    // `127.0.0.1` is an address of a machine, not a domain.
    (!top.bytes().all(|byte| byte.is_ascii_digit())).then(|| ascii.into_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shows_what_was_typed_and_compares_what_is_meant() {
        let typed = EmailAddress::parse(" Ann.O'Neil+crm@BÜCHER.Example ").unwrap();
        assert_eq!(typed.as_str(), "Ann.O'Neil+crm@xn--bcher-kva.example");
        assert_eq!(typed.canonical(), "ann.o'neil+crm@xn--bcher-kva.example");
        assert_eq!(
            typed,
            EmailAddress::parse("ann.o'neil+CRM@bücher.example").unwrap()
        );
        let decomposed = EmailAddress::parse("jose\u{301}@example.org").unwrap();
        assert_eq!(decomposed.as_str(), "jos\u{e9}@example.org");
    }

    #[test]
    fn a_look_alike_is_somebody_else() {
        let ann = EmailAddress::parse("ann@example.org").unwrap();
        assert_eq!(EmailAddress::parse("ａｎｎ@example.org").unwrap(), ann);
        for other in [
            "\u{430}nn@example.org",
            "ann@ex\u{430}mple.org",
            "\u{e1}nn@example.org",
            "aηn@example.org",
        ] {
            assert_ne!(EmailAddress::parse(other).unwrap(), ann, "{other:?}");
        }
        assert_ne!(
            EmailAddress::parse("İ@example.org"),
            EmailAddress::parse("i@example.org")
        );
    }

    #[test]
    fn refuses_what_is_no_address() {
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_total = format!("{}@{}.example.org", "a".repeat(60), "b.".repeat(95) + "c");
        for text in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "ann@example",
            "a@b@example.org",
            "ann@example.org\r\nBcc: x@y.org",
            "ann@example.org\n",
            "\tann@example.org",
            "an n@example.org",
            "ann@exam ple.org",
            ".ann@example.org",
            "a..b@example.org",
            "ann.@example.org",
            "ann@.org",
            "ann@example..org",
            "ann@example.org.",
            "ann@-example.org",
            "ann@[127.0.0.1]",
            "ann@127.0.0.1",
            "Ann <ann@example.org>",
            "\"ann\"@example.org",
            "a\u{200b}nn@example.org",
            "a＠b@example.org",
            "ann@exa_mple.org",
            "ann\0@example.org",
            &long_local,
            &long_total,
        ] {
            assert_eq!(EmailAddress::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn both_forms_are_stable(local in "\\PC{1,12}", domain in "\\PC{1,8}|[a-zäß]{1,8}") {
            if let Some(address) = EmailAddress::parse(&format!("{local}@{domain}.org")) {
                let shown = EmailAddress::parse(address.as_str()).unwrap();
                prop_assert_eq!(shown.as_str(), address.as_str());
                let again = EmailAddress::parse(address.canonical()).unwrap();
                prop_assert_eq!(again.canonical(), address.canonical());
            }
        }
    }

    #[test]
    fn a_compatible_form_is_not_plain() {
        for (text, plain) in [
            ("fiona@corp.example", true),
            ("Fiona@corp.example", true),
            ("zo\u{eb}@corp.example", true),
            ("\u{fb01}ona@corp.example", false),
            ("\u{17f}ue@corp.example", false),
            ("\u{ff41}da@corp.example", false),
        ] {
            assert_eq!(EmailAddress::parse(text).unwrap().is_plain(), plain, "{text}");
        }
    }
}
