//! The headers that tell a browser how little it may do with an answer.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use domain::Environment;

/// On every answer, in place of what a handler set.
static ALWAYS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    (
        header::PERMISSIONS_POLICY,
        "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), \
         payment=(), usb=()",
    ),
];

/// Where the handler has not said otherwise: an answer is data, loads nothing, and is kept by nobody.
static UNLESS_SET: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
];

/// Two years, as browsers' preload lists ask.
const HTTPS_ONLY: &str = "max-age=63072000; includeSubDomains";

/// Which of them an environment wants.
pub(super) struct Security {
    https_only: bool,
}

impl Security {
    pub(super) fn new(environment: Environment) -> Self {
        Self {
            https_only: !environment.is_development(),
        }
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        // A page with a form may keep its referrer to ourselves: without one a browser posts `Origin: null`.
        let own_referrer = headers
            .get(header::REFERRER_POLICY)
            .is_some_and(|value| value == "same-origin");
        for (name, value) in &ALWAYS {
            if own_referrer && *name == header::REFERRER_POLICY {
                continue;
            }
            headers.insert(name.clone(), HeaderValue::from_static(value));
        }
        for (name, value) in &UNLESS_SET {
            if !headers.contains_key(name) {
                headers.insert(name.clone(), HeaderValue::from_static(value));
            }
        }
        // RFC 8259 knows no other encoding, and scanners want it said.
        if headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value == "application/json")
        {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json; charset=utf-8"),
            );
        }
        if self.https_only {
            let value = HeaderValue::from_static(HTTPS_ONLY);
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
        }
    }
}
