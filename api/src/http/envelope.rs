//! What every request goes through, whatever answers it: its id, its span, its line in the log, a limit
//! to its time, security headers and CORS, and an answer even to a panic.

use std::future::{Future, Ready, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use domain::clock::{Clock, new_id};
use domain::network::Network;
use domain::{Config, telemetry};
use futures::FutureExt;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::cors::{self, Origins};
use super::headers::Security;
use super::health;
use super::https::HttpsOnly;

/// The header that a request's id comes and goes in.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a handler has until its answer begins.
pub const TIME: Duration = Duration::from_secs(30);
/// How long one has that reads a file: longer than the reader of uploads waits, so that it can say what was
/// wrong.
pub const UPLOAD_TIME: Duration = Duration::from_mins(31);

/// The longest id that is taken from a proxy.
const ID_LENGTH: usize = 64;

/// The middleware; wrapped around the whole application, outermost.
#[derive(Clone)]
pub struct Envelope(Arc<Settings>);

struct Settings {
    clock: Clock,
    proxies: Vec<Network>,
    https: HttpsOnly,
    origins: Origins,
    security: Security,
    time: Duration,
    upload_time: Duration,
}

impl Envelope {
    /// The one of this configuration.
    #[must_use]
    pub fn new(config: &Config, clock: Clock) -> Self {
        Self::with_times(config, clock, TIME, UPLOAD_TIME)
    }

    /// With other limits of time: for requests, and for those that bring a file.
    #[must_use]
    pub fn with_times(config: &Config, clock: Clock, time: Duration, upload_time: Duration) -> Self {
        Self(Arc::new(Settings {
            clock,
            proxies: config.trusted_proxies.clone(),
            https: HttpsOnly::new(config),
            origins: Origins::new(&config.frontend_origins),
            security: Security::new(config.environment),
            time,
            upload_time,
        }))
    }
}

/// What the envelope leaves with the request.
#[derive(Clone)]
struct Mark {
    id: String,
    span: Span,
}

/// The request's id, which its log lines and its answer carry.
#[must_use]
pub fn request_id(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<Mark>().map(|mark| mark.id.clone())
}

/// Says who the request is from, for its log lines, its span and its error reports. For the guard, once
/// it knows.
pub fn identify(request: &HttpRequest, user: Uuid) {
    if let Some(mark) = request.extensions().get::<Mark>() {
        mark.span.record("user_id", tracing::field::display(user));
    }
}

/// An error that no resolver answers, in the form of a GraphQL error, so that clients know one form.
#[must_use]
pub fn error_response(status: StatusCode, code: &str, message: &str, request_id: &str) -> HttpResponse {
    HttpResponse::build(status).json(serde_json::json!({
        "errors": [{ "message": message, "extensions": { "code": code, "requestId": request_id } }]
    }))
}

impl<S, B> Transform<S, ServiceRequest> for Envelope
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = Enveloped<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Enveloped {
            service: Rc::new(service),
            settings: Arc::clone(&self.0),
        }))
    }
}

/// A service within its envelope.
pub struct Enveloped<S> {
    service: Rc<S>,
    settings: Arc<Settings>,
}

type Answer = Result<ServiceResponse<BoxBody>, Error>;

impl<S, B> Service<ServiceRequest> for Enveloped<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Answer>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let settings = Arc::clone(&self.settings);
        let service = Rc::clone(&self.service);
        let facts = Facts::of(&request, &settings);
        let span = facts.span(&request, &settings);
        // Not a clone of the request itself: the router needs it alone.
        request.extensions_mut().insert(Mark {
            id: facts.id.clone(),
            span: span.clone(),
        });
        let entered = span.clone();
        let work = async move {
            let answer = if facts.preflight {
                Ok(request.into_response(HttpResponse::NoContent().finish()))
            } else if let Some(elsewhere) = settings.https.instead_of(&request, &facts.id) {
                Ok(request.into_response(elsewhere))
            } else {
                answer(&*service, request, &facts).await
            };
            facts.close(answer, &settings, &span)
        };
        Box::pin(work.instrument(entered))
    }
}

/// The service's answer, or one in place of a panic or of what took too long.
async fn answer<S, B>(service: &S, request: ServiceRequest, facts: &Facts) -> Answer
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    // Whatever the handler held is dropped, its transaction rolled back; what it shares with others is
    // behind locks that survive a panic.
    let work = AssertUnwindSafe(async { service.call(request).await }).catch_unwind();
    match tokio::time::timeout(facts.time, work).await {
        Ok(Ok(answer)) => answer.map(ServiceResponse::map_into_boxed_body),
        // The panic itself has been logged and reported where it happened.
        Ok(Err(_)) => Err(facts.failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "Something went wrong on our side.",
        )),
        Err(_) => {
            tracing::warn!("a request took too long and was given up");
            Err(facts.failure(
                StatusCode::SERVICE_UNAVAILABLE,
                "UNAVAILABLE",
                "This took too long, and was given up.",
            ))
        }
    }
}

/// What is known of a request before anything looks at it.
struct Facts {
    id: String,
    method: &'static str,
    route: Option<String>,
    began: Instant,
    time: Duration,
    preflight: bool,
    quiet: bool,
    cors: cors::Answer,
}

impl Facts {
    fn of(request: &ServiceRequest, settings: &Settings) -> Self {
        let headers = request.headers();
        let id = trusted(request, settings)
            .then(|| headers.get(REQUEST_ID)?.to_str().ok().filter(|id| is_id(id)))
            .flatten()
            .map_or_else(|| new_id(settings.clock.now()).to_string(), str::to_owned);
        let multipart = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"multipart/form-data"));
        Self {
            id,
            method: method_name(request.method()),
            route: request.match_pattern(),
            began: Instant::now(),
            time: if multipart {
                settings.upload_time
            } else {
                settings.time
            },
            preflight: settings.origins.is_preflight(request),
            quiet: health::is_health(request.path()),
            cors: settings.origins.answer(request),
        }
    }

    /// Named as OpenTelemetry's semantic conventions for HTTP servers name things. The path itself is left
    /// out: what the route does not say of it is an id, a capability or somebody's typing.
    fn span(&self, request: &ServiceRequest, settings: &Settings) -> Span {
        let name = match &self.route {
            Some(route) => format!("{} {route}", self.method),
            None => self.method.to_owned(),
        };
        let span = tracing::info_span!(
            "http.request",
            otel.name = name,
            otel.kind = "server",
            otel.status_code = tracing::field::Empty,
            request_id = self.id,
            user_id = tracing::field::Empty,
            http.request.method = self.method,
            http.route = self.route,
            http.response.status_code = tracing::field::Empty,
        );
        let parent = request.headers().get("traceparent");
        if let Some(parent) = parent.and_then(|value| value.to_str().ok())
            && trusted(request, settings)
        {
            telemetry::set_parent(&span, parent);
        }
        span
    }

    /// Gives the answer its headers, and the request its line.
    fn close(self, answer: Answer, settings: &Settings, span: &Span) -> Answer {
        match answer {
            Ok(mut response) => {
                let status = response.status();
                self.seal(response.headers_mut(), settings);
                self.log(status, span);
                Ok(response)
            }
            Err(error) => {
                let mut response = error.error_response();
                let status = response.status();
                if status.is_server_error() && error.as_error::<InternalError<&str>>().is_none() {
                    tracing::error!(%error, "a request failed");
                }
                self.seal(response.headers_mut(), settings);
                self.log(status, span);
                Err(InternalError::from_response("answered", response).into())
            }
        }
    }

    fn seal(&self, headers: &mut HeaderMap, settings: &Settings) {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(REQUEST_ID, id);
        }
        settings.security.apply(headers);
        self.cors.apply(headers);
    }

    fn log(&self, status: StatusCode, span: &Span) {
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        let duration_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.quiet && status.is_success() {
            tracing::debug!(target: "access", duration_ms, "request");
        } else {
            tracing::info!(target: "access", duration_ms, "request");
        }
    }

    fn failure(&self, status: StatusCode, code: &str, message: &str) -> Error {
        let response = error_response(status, code, message, &self.id);
        InternalError::from_response("answered", response).into()
    }
}

/// Whether the peer is a proxy of ours, whose word is taken.
fn trusted(request: &ServiceRequest, settings: &Settings) -> bool {
    is_from(request, &settings.proxies)
}

/// Whether the peer is in one of these networks.
pub(super) fn is_from(request: &ServiceRequest, networks: &[Network]) -> bool {
    let within = |peer: std::net::SocketAddr| networks.iter().any(|network| network.contains(peer.ip()));
    request.peer_addr().is_some_and(within)
}

fn is_id(text: &str) -> bool {
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=ID_LENGTH).contains(&text.len()) && text.bytes().all(sane)
}

/// The method, or what the conventions call one that is not known: a client could send any word.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_token_is_an_id() {
        for id in ["a", "01J-x_y.z", &"a".repeat(64)] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "a b", "a\nb", "é", "a\"", &"a".repeat(65)] {
            assert!(!is_id(id), "{id}");
        }
    }
}
