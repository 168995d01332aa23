//! Where a browser goes after signing in: one of our front ends or ourselves, and nowhere else.

use url::Url;

/// Longer than any address of ours; longer ones are not kept.
const LONGEST: usize = 2000;

/// The absolute URL that `text` means, if it lies within `own` or one of `origins` (scheme, host and
/// port). `text` is an absolute URL, or a path of our own beginning with one slash.
///
/// What browsers read differently from what stands there is refused before it is parsed: control
/// characters are dropped by them, a backslash is a slash to them, and two slashes begin a host.
#[must_use]
pub fn allowed(text: &str, own: &Url, origins: &[String]) -> Option<Url> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.is_empty() || text.len() > LONGEST || text.contains(odd) {
        return None;
    }
    let url = if text.starts_with('/') {
        if text.starts_with("//") || hides_a_host(text) {
            return None;
        }
        own.join(text).ok()?
    } else {
        if !text.starts_with("https://") && !text.starts_with("http://") {
            return None;
        }
        Url::parse(text).ok()?
    };
    let origin = url.origin().ascii_serialization();
    let plain = url.username().is_empty() && url.password().is_none();
    let known = origin == own.origin().ascii_serialization() || origins.contains(&origin);
    (plain && known).then_some(url)
}

/// Whether a path becomes `//host` or `/\host` when a proxy or a front end decodes it once more.
fn hides_a_host(path: &str) -> bool {
    let start: String = path.chars().take(8).collect::<String>().to_ascii_lowercase();
    let rest = start.trim_start_matches('/');
    rest.starts_with("%2f") || rest.starts_with("%5c") || rest.starts_with("%09") || rest.starts_with("%0")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(text: &str) -> Option<String> {
        let own = Url::parse("https://crm.example").unwrap();
        let origins = [
            "https://app.example".to_owned(),
            "http://localhost:3000".to_owned(),
        ];
        allowed(text, &own, &origins).map(Into::into)
    }

    #[test]
    fn ours_and_the_front_ends_are_allowed() {
        for (text, url) in [
            ("/", "https://crm.example/"),
            ("/a?b=//c#d", "https://crm.example/a?b=//c#d"),
            ("https://crm.example/x", "https://crm.example/x"),
            ("https://app.example", "https://app.example/"),
            ("https://APP.example:443/x?y=%2f", "https://app.example/x?y=%2f"),
            ("http://localhost:3000/x", "http://localhost:3000/x"),
        ] {
            assert_eq!(check(text).as_deref(), Some(url), "{text:?}");
        }
    }

    #[test]
    fn everywhere_else_is_refused() {
        for text in [
            "",
            "evil.example",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\r\nLocation: https://evil.example",
            "/x\r\nSet-Cookie: a=b",
            " https://app.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "%2f%2fevil.example",
            "/%2fevil.example",
            "/%2Fevil.example",
            "/%5cevil.example",
            "/%09/evil.example",
            "/%0d%0aevil",
            "https://evil.example",
            "https://app.example.evil.example",
            "https://app.example@evil.example",
            "https://user@app.example",
            "https://user:pass@app.example",
            "https://app.example:8443",
            "http://app.example",
            "http://localhost:3001",
            "https://app.example\\@evil.example",
            "https://app.example\u{2028}",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://app.example",
            &format!("/{}", "a".repeat(2000)),
        ] {
            assert_eq!(check(text), None, "{text:?}");
        }
    }
}
