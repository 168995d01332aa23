//! What we are to an authenticator (WebAuthn, "Relying Party"): the host of our public URL, and that URL's
//! origin alone.

use serde::Deserialize;
use url::Url;
use webauthn_rs::prelude::{Webauthn, WebauthnBuilder};

use crate::error::{Error, Result};

/// What people see as our name while their device asks them.
const NAME: &str = "Personal CRM";

/// Whether passkeys can be had at that URL: an authenticator knows sites by their domain, not by an address.
#[must_use]
pub fn available(public_url: &Url) -> bool {
    public_url.domain().is_some()
}

/// The relying party of that URL.
pub(super) fn relying_party(public_url: &Url) -> Result<Webauthn> {
    let host = public_url
        .domain()
        .ok_or_else(|| Error::unavailable("passkeys need a PUBLIC_URL with a domain"))?;
    WebauthnBuilder::new(host, public_url)
        .and_then(|builder| builder.rp_name(NAME).build())
        .map_err(Error::internal)
}

/// The client's own account of the ceremony (`CollectedClientData`): the part that is looked at here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<String>,
}

/// Whether one of our own pages asked the authenticator, and not from within another site's. The library
/// compares parsed URLs, and lets a framed page present a passkey; browsers write exactly one text.
pub(super) fn is_from_our_page(client_data: &[u8], public_url: &Url) -> bool {
    let own = public_url.origin().ascii_serialization();
    serde_json::from_slice::<ClientData>(client_data)
        .is_ok_and(|data| data.origin == own && !data.cross_origin && data.top_origin.is_none())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_page_is_ours() {
        let own = Url::parse("https://crm.example").unwrap();
        let ours = |json: &str| is_from_our_page(json.as_bytes(), &own);
        assert!(ours(r#"{"origin":"https://crm.example"}"#));
        assert!(ours(r#"{"origin":"https://crm.example","crossOrigin":false}"#));
        for json in [
            "",
            "{}",
            r#"{"origin":"https://crm.example/"}"#,
            r#"{"origin":"https://crm.example:443"}"#,
            r#"{"origin":"https://CRM.example"}"#,
            r#"{"origin":"http://crm.example"}"#,
            r#"{"origin":"https://app.crm.example"}"#,
            r#"{"origin":"https://crm.example","crossOrigin":true}"#,
            r#"{"origin":"https://crm.example","topOrigin":"https://evil.example"}"#,
        ] {
            assert!(!ours(json), "{json}");
        }
    }

    #[test]
    fn an_address_has_no_passkeys() {
        for (url, can) in [
            ("https://crm.example", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.1:8080", false),
            ("https://[::1]", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(
                (available(&url), relying_party(&url).is_ok()),
                (can, can),
                "{url}"
            );
        }
    }
}
