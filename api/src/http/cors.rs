//! Which web front ends may call from a browser (the Fetch standard's CORS protocol): those whose origin
//! is listed, to the letter. Cookies travel only to `/session/…`; everything else takes a bearer token.

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

const METHODS: &str = "GET, POST";
const HEADERS: &str = "authorization, content-type, graphql-require-preflight, traceparent";
const EXPOSED: &str = "x-request-id, retry-after";
const MAX_AGE: &str = "600";

/// The origins that are listed; none: no header of CORS on any answer.
pub(super) struct Origins(Vec<HeaderValue>);

/// What an answer says of it.
pub(super) struct Answer {
    /// Whether answers differ by origin at all.
    varies: bool,
    allowed: Option<HeaderValue>,
    credentials: bool,
    preflight: bool,
}

impl Origins {
    pub(super) fn new(origins: &[String]) -> Self {
        let values = origins.iter().filter_map(|text| HeaderValue::from_str(text).ok());
        Self(values.collect())
    }

    /// Whether a browser only asks what it may send. With an empty list there is nobody to answer, and
    /// the request is like any other.
    pub(super) fn is_preflight(&self, request: &ServiceRequest) -> bool {
        let headers = request.headers();
        !self.0.is_empty()
            && *request.method() == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    pub(super) fn answer(&self, request: &ServiceRequest) -> Answer {
        let origin = request.headers().get(header::ORIGIN);
        let allowed = origin.filter(|origin| self.0.contains(origin)).cloned();
        Answer {
            varies: !self.0.is_empty(),
            allowed,
            credentials: request.path().starts_with("/session/"),
            preflight: self.is_preflight(request),
        }
    }
}

impl Answer {
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = &self.allowed else {
            return;
        };
        let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
        if self.preflight {
            say(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            say(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            say(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        } else {
            say(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        if self.credentials {
            say(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.remove(header::CROSS_ORIGIN_RESOURCE_POLICY);
    }
}
