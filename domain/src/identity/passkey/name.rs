//! What a passkey is called when its user does not say: by the browser and the system it was made in, so
//! that it is recognised later.

use chrono::{DateTime, Utc};

/// Browsers by what their `User-Agent` contains; the more particular ones first, as most claim to be others
/// too.
const BROWSERS: [(&str, &str); 6] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "Mac"),
    ("Windows", "Windows"),
    ("Linux", "Linux"),
];

/// A name for a passkey that is made now by that browser.
pub(super) fn suggested(user_agent: Option<&str>, now: DateTime<Utc>) -> String {
    let agent = user_agent.unwrap_or_default();
    let among = |known: &[(&str, &'static str)]| {
        let mut known = known.iter();
        known
            .find(|(part, _)| agent.contains(part))
            .map(|(_, name)| *name)
    };
    match (among(&BROWSERS), among(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => format!("Passkey of {}", now.format("%-d %B %Y")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gives_the_name() {
        let now = "2026-03-01T10:00:00Z".parse().unwrap();
        for (agent, name) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36 Edg/142.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1 (KHTML, like Gecko) Version/26.0 Safari/605.1",
                "Safari on Mac",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on Linux",
            ),
            ("curl/8", "Passkey of 1 March 2026"),
            ("", "Passkey of 1 March 2026"),
        ] {
            assert_eq!(suggested(Some(agent), now), name);
        }
        assert_eq!(suggested(None, now), "Passkey of 1 March 2026");
    }
}
