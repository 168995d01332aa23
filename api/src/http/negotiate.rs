//! What a client of `/graphql` may send and accept, and how a refusal looks on the wire.
//!
//! Follows the GraphQL-over-HTTP specification (<https://graphql.github.io/graphql-over-http/draft/>): the answer
//! is `application/graphql-response+json` for those who accept it and `application/json` for the rest, and the
//! status of a refused request depends on which of the two it is.

use std::{borrow::Cow, time::Duration};

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName},
    },
};
use async_graphql::{Pos, ServerError, Value};
use domain::Error;
use serde::Serialize;

/// The media type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/graphql-response+json`: a request that was not executed is a 4xx without `data`.
    GraphqlResponse,
    /// `application/json`, the legacy type: such a request is a 200, or old clients throw the errors away.
    Json,
}

impl Format {
    /// The `Content-Type` of the answer.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }
}

/// Chooses the answer's format from the `Accept` header (RFC 9110, 12.5.1); `None` is a 406.
///
/// A missing header and `*/*` mean the legacy type, as the specification has it. Where both are named, the
/// greater weight wins, and the newer type a tie.
pub(crate) fn answer_format(headers: &HeaderMap) -> Option<Format> {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    if ranges.peek().is_none() {
        return Some(Format::Json);
    }
    let (mut modern, mut legacy) = (Weight::default(), Weight::default());
    for range in ranges {
        let (name, q) = media_range(range);
        match name.as_str() {
            "application/graphql-response+json" => modern.put(3, q),
            "application/json" => legacy.put(3, q),
            // A wildcard asks for nothing in particular: the legacy type, which everybody reads.
            "application/*" => legacy.put(2, q),
            "*/*" => legacy.put(1, q),
            _ => {}
        }
    }
    match (modern.q, legacy.q) {
        (0, 0) => None,
        (modern, legacy) if modern >= legacy => Some(Format::GraphqlResponse),
        _ => Some(Format::Json),
    }
}

/// The weight of the most precise range that names a type, in thousandths.
#[derive(Default)]
struct Weight {
    precision: u8,
    q: u16,
}

impl Weight {
    fn put(&mut self, precision: u8, q: u16) {
        if precision > self.precision {
            *self = Self { precision, q };
        } else if precision == self.precision {
            self.q = self.q.max(q);
        }
    }
}

/// A media range in lower case, and its weight in thousandths. A charset other than UTF-8 has no weight.
fn media_range(range: &str) -> (String, u16) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut weight = 1000;
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        match key.trim().to_ascii_lowercase().as_str() {
            "q" => {
                weight = value
                    .trim()
                    .parse::<f32>()
                    .map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16)
            }
            "charset" if !is_utf8(value) => return (name, 0),
            _ => {}
        }
    }
    (name, weight)
}

fn is_utf8(charset: &str) -> bool {
    let charset = charset.trim().trim_matches('"');
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// The bodies that are read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyType {
    /// `application/json` in UTF-8.
    Json,
    /// `multipart/form-data`, for uploads.
    Multipart {
        /// What stands between the parts.
        boundary: String,
    },
}

/// What the body claims to be; `None` is a 415.
///
/// Nothing else is ever read: JSON sent as `text/plain` or as a form needs no CORS preflight, and would be a hole
/// for cross-site requests. A compressed body is refused as well, so that no small body becomes a big one.
pub(crate) fn body_type(headers: &HeaderMap) -> Option<BodyType> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return None;
    }
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let name = value.split(';').next().unwrap_or_default().trim();
    if name.eq_ignore_ascii_case("multipart/form-data") {
        return multer::parse_boundary(value)
            .ok()
            .map(|boundary| BodyType::Multipart { boundary });
    }
    let charset = value
        .split(';')
        .skip(1)
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("charset"));
    let utf8 = charset.is_none_or(|(_, charset)| is_utf8(charset));
    (name.eq_ignore_ascii_case("application/json") && utf8).then_some(BodyType::Json)
}

/// `extensions.code` of the errors that this layer makes itself. Clients rely on the code, never on the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// No, or no valid, credential.
    Unauthenticated,
    /// A valid credential that may not do this at all.
    Forbidden,
    /// A person who has to show again who they are.
    StepUpRequired,
    /// There is no such thing for who asks.
    NotFound,
    /// Too much in too short a time.
    RateLimited,
    /// A part that is needed to answer does not.
    Unavailable,
    /// Not a request as the specification describes one.
    BadRequest,
    /// Several operations in one array.
    BatchingNotSupported,
    /// Another method than GET and POST, or a write over GET.
    MethodNotAllowed,
    /// Neither answer format is accepted.
    NotAcceptable,
    /// The body, or one of its parts, is bigger than allowed.
    PayloadTooLarge,
    /// The body is not of a type that is read.
    UnsupportedMediaType,
    /// The client sent nothing for too long.
    RequestTimeout,
    /// An upload without the header that forces a CORS preflight.
    PreflightRequired,
    /// The document is not GraphQL.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// The operation to execute is not in the document, or can't be served here.
    OperationResolutionFailure,
    /// A variable or an argument has a value that its type does not allow.
    BadUserInput,
    /// A limit on the document is passed; `extensions.limit` and `extensions.maximum` say which.
    QueryTooComplex,
    /// The schema is not shown here.
    IntrospectionDisabled,
    /// What the application refuses, with the application's own code.
    Application(&'static str),
    /// Our own failure; `extensions.id` stands in the log.
    Internal,
}

impl Code {
    /// The code as clients see it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::StepUpRequired => "STEP_UP_REQUIRED",
            Self::NotFound => "NOT_FOUND",
            Self::RateLimited => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
            Self::BadRequest => "BAD_REQUEST",
            Self::BatchingNotSupported => "BATCHING_NOT_SUPPORTED",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::NotAcceptable => "NOT_ACCEPTABLE",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::PreflightRequired => "PREFLIGHT_REQUIRED",
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::IntrospectionDisabled => "INTROSPECTION_DISABLED",
            Self::Application(code) => code,
            Self::Internal => "INTERNAL",
        }
    }

    /// The status of a request refused with this code. What is wrong with the HTTP request has its status in both
    /// formats; what is wrong with the GraphQL in it is a 200 in the legacy one.
    pub(crate) fn status(self, format: Format) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::StepUpRequired | Self::PreflightRequired => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadRequest | Self::BatchingNotSupported | Self::Application(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ParseFailed
            | Self::ValidationFailed
            | Self::OperationResolutionFailure
            | Self::BadUserInput
            | Self::QueryTooComplex
            | Self::IntrospectionDisabled => match format {
                Format::GraphqlResponse => StatusCode::BAD_REQUEST,
                Format::Json => StatusCode::OK,
            },
        }
    }
}

/// A request that is not executed, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: Code,
    errors: Vec<ServerError>,
    headers: Vec<(HeaderName, Cow<'static, str>)>,
}

impl Refusal {
    /// Refuses with one error.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::of(code, vec![ServerError::new(message, None)])
    }

    /// Refuses with several errors of one code, such as those of a validation.
    pub(crate) fn of(code: Code, mut errors: Vec<ServerError>) -> Self {
        for error in &mut errors {
            error
                .extensions
                .get_or_insert_default()
                .set("code", code.as_str());
        }
        let headers = match code {
            Code::Unauthenticated => vec![(header::WWW_AUTHENTICATE, Cow::Borrowed("Bearer"))],
            _ => Vec::new(),
        };
        Self {
            code,
            errors,
            headers,
        }
    }

    /// Refuses the method, naming those that work.
    pub(crate) fn method(allowed: &'static str, message: &'static str) -> Self {
        Self::new(Code::MethodNotAllowed, message).header(header::ALLOW, allowed)
    }

    /// Says where in the document.
    #[must_use]
    pub(crate) fn at(mut self, locations: impl IntoIterator<Item = Pos>) -> Self {
        if let Some(error) = self.errors.first_mut() {
            error.locations = locations.into_iter().collect();
        }
        self
    }

    /// Adds an entry to the error's `extensions`.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(error) = self.errors.first_mut() {
            error.extensions.get_or_insert_default().set(name, value);
        }
        self
    }

    /// Tells the client when it is worth while to come again.
    #[must_use]
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        // Rounded up: a client that comes a little too early is refused again.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(header::RETRY_AFTER, seconds.max(1).to_string())
    }

    fn header(mut self, name: HeaderName, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The code.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Puts what the refusal says in headers into another answer to the same request.
    pub(crate) fn add_headers(&self, response: &mut HttpResponse) {
        for (name, value) in &self.headers {
            if let Ok(value) = header::HeaderValue::from_str(value) {
                response.headers_mut().insert(name.clone(), value);
            }
        }
    }

    /// The answer: errors and no `data`, because nothing was executed.
    pub(crate) fn respond(&self, format: Format) -> HttpResponse {
        #[derive(Serialize)]
        struct Body<'a> {
            errors: &'a [ServerError],
        }
        let mut response = respond(format, self.code.status(format), &Body { errors: &self.errors });
        self.add_headers(&mut response);
        response
    }
}

/// What an error of the application is over HTTP, here and in no other place; pages say it in their own words.
impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        match error {
            Error::Unauthenticated => Self::new(Code::Unauthenticated, "a valid bearer token is needed"),
            Error::Forbidden => Self::new(Code::Forbidden, "this is not allowed"),
            Error::StepUpRequired => Self::new(Code::StepUpRequired, "sign in again first"),
            Error::RateLimited(wait) => Self::new(Code::RateLimited, "too many requests").retry_after(*wait),
            Error::Unavailable(cause) => {
                tracing::warn!(error = %cause, "unavailable");
                Self::new(Code::Unavailable, "try again in a moment")
            }
            Error::Internal(cause) => super::graphql::internal(cause),
            Error::Invalid(errors) => match errors.first() {
                Some(first) => Self::new(Code::Application(first.code.as_str()), first.message.clone()),
                None => Self::new(Code::Application(error.class()), "invalid input"),
            },
            Error::NotFound => Self::new(Code::NotFound, "not found"),
            Error::TooLarge => Self::new(Code::Application(error.class()), "too much at once"),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

/// Writes an answer. It belongs to one viewer, so no cache on the way may keep it.
pub(crate) fn respond(format: Format, status: StatusCode, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(json) => HttpResponse::build(status)
            .insert_header((header::CONTENT_TYPE, format.content_type()))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(json),
        Err(error) => {
            tracing::error!(%error, "an answer can't be written as JSON");
            HttpResponse::InternalServerError().finish()
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
