//! Which page sent a request that changes something: `Sec-Fetch-Site` (Fetch Metadata) and `Origin`
//! (RFC 6454) are written by the browser and out of a page's reach.

use actix_web::HttpRequest;

/// Whether one of our own pages posted this form. `hidden` allows an `Origin: null` from a browser without
/// Fetch Metadata, which is what it sends from a page that hides its address; only for a form whose
/// contents no other site can know.
pub(super) fn is_own_form(request: &HttpRequest, own: &str, hidden: bool) -> bool {
    let (Ok(site), Ok(origin)) = (one(request, "sec-fetch-site"), one(request, "origin")) else {
        return false;
    };
    match (site, origin) {
        (Some("same-origin"), None | Some("null")) => true,
        (Some("same-origin") | None, Some(origin)) => origin == own || (hidden && origin == "null"),
        _ => false,
    }
}

/// Whether a script of a known front end calls us, or a page of our own: one that hides its address is known
/// by Fetch Metadata alone.
pub(super) fn is_caller(request: &HttpRequest, own: &str, front_ends: &[String]) -> bool {
    let known = |origin: &str| origin == own || front_ends.iter().any(|known| known == origin);
    matches!(one(request, "origin"), Ok(Some(origin)) if known(origin)) || is_own_form(request, own, false)
}

/// A header that may be there once.
fn one<'a>(request: &'a HttpRequest, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = request.headers().get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const OWN: &str = "https://crm.example";

    fn request(site: Option<&str>, origins: &[&str]) -> HttpRequest {
        let mut request = TestRequest::post();
        if let Some(site) = site {
            request = request.append_header(("Sec-Fetch-Site", site));
        }
        for origin in origins {
            request = request.append_header(("Origin", *origin));
        }
        request.to_http_request()
    }

    #[test]
    fn a_form_comes_from_our_own_page() {
        let ours = |site, origins: &[&str]| is_own_form(&request(site, origins), OWN, false);
        assert!(ours(Some("same-origin"), &[OWN]));
        assert!(ours(Some("same-origin"), &["null"]));
        assert!(ours(None, &[OWN]));
        for site in ["cross-site", "same-site", "none", "Same-Origin"] {
            assert!(!ours(Some(site), &[OWN]), "{site}");
        }
        assert!(!ours(None, &[]));
        assert!(!ours(None, &["null"]));
        assert!(!ours(None, &["https://crm.example.evil.example"]));
        assert!(!ours(Some("same-origin"), &["https://evil.example"]));
        assert!(!ours(None, &[OWN, "https://evil.example"]));
        assert!(is_own_form(&request(None, &["null"]), OWN, true));
        assert!(!is_own_form(&request(Some("cross-site"), &["null"]), OWN, true));
    }

    #[test]
    fn a_script_comes_from_a_known_front_end() {
        let known = ["https://app.example".to_owned()];
        let caller = |site, origins: &[&str]| is_caller(&request(site, origins), OWN, &known);
        for (site, origins) in [
            (None, &[OWN][..]),
            (Some("same-origin"), &[OWN]),
            (Some("same-origin"), &["null"]),
            (None, &["https://app.example"]),
            (Some("same-site"), &["https://app.example"]),
        ] {
            assert!(caller(site, origins), "{site:?} {origins:?}");
        }
        for (site, origins) in [
            (None, &[][..]),
            (None, &["null"]),
            (Some("cross-site"), &["null"]),
            (None, &["https://evil.example"]),
            (Some("same-origin"), &["https://evil.example"]),
            (None, &[OWN, OWN]),
        ] {
            assert!(!caller(site, origins), "{site:?} {origins:?}");
        }
    }
}
