//! Outside development nothing is answered over plain http but health checks: a page is led to `PUBLIC_URL`,
//! whatever the request says of its host; what carries something secret is refused, so that the mistake is seen.

use std::io;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use domain::network::Network;
use domain::{Config, Environment};

use super::envelope::{error_response, is_from};
use super::headers::Security;
use super::health;
use super::server::Listening;

/// The header in which a proxy says how its client came.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// What keeps plain http out.
pub(super) struct HttpsOnly {
    enforced: bool,
    public: String,
    proxies: Vec<Network>,
}

impl HttpsOnly {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            enforced: !config.environment.is_development(),
            public: config.public_url.origin().ascii_serialization(),
            proxies: config.trusted_proxies.clone(),
        }
    }

    /// What is answered instead, to a request that came by plain http.
    pub(super) fn instead_of(&self, request: &ServiceRequest, request_id: &str) -> Option<HttpResponse> {
        if !self.enforced || health::is_health(request.path()) || !self.is_plain(request) {
            return None;
        }
        let elsewhere = to_https(&self.public, request.method(), request.headers(), request.uri());
        Some(elsewhere.unwrap_or_else(|| refused(request_id)))
    }

    /// A trusted proxy says how its client came, and that its own word is missing is no word for http. Nobody
    /// else is believed: what did not come by TLS came by http.
    fn is_plain(&self, request: &ServiceRequest) -> bool {
        if is_from(request, &self.proxies) {
            let mut said = request.headers().get_all(FORWARDED_PROTO).peekable();
            // Several proxies one after the other: one that speaks TLS to the client is enough.
            return said.peek().is_some() && said.all(says_http);
        }
        !request.app_config().secure()
    }
}

fn says_http(value: &HeaderValue) -> bool {
    value
        .to_str()
        .is_ok_and(|text| text.split(',').all(|one| one.trim().eq_ignore_ascii_case("http")))
}

/// The same page at our own address; none for a request that has shown its credentials or its content to the
/// whole network, and would do so again.
fn to_https(public: &str, method: &Method, headers: &HeaderMap, uri: &Uri) -> Option<HttpResponse> {
    let harmless =
        matches!(*method, Method::GET | Method::HEAD) && !headers.contains_key(header::AUTHORIZATION);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // Not by resolving it against the URL, where `//elsewhere` would be another host.
    let to = HeaderValue::from_str(&format!("{public}{path}")).ok()?;
    harmless.then(|| {
        HttpResponse::build(StatusCode::PERMANENT_REDIRECT)
            .insert_header((header::LOCATION, to))
            .finish()
    })
}

fn refused(request_id: &str) -> HttpResponse {
    error_response(
        StatusCode::FORBIDDEN,
        "HTTPS_REQUIRED",
        "Use https. What was just sent could be read on its way: replace any token or key in it.",
        request_id,
    )
}

/// Binds `address`, and leads plain http from there to `PUBLIC_URL`, until `stop` is ready.
///
/// # Errors
/// When the address can't be bound.
pub fn redirect<S>(address: &str, config: &Config, stop: S) -> io::Result<Listening>
where
    S: Future<Output = ()> + Send + 'static,
{
    let public = config.public_url.origin().ascii_serialization();
    let server = HttpServer::new(move || {
        let public = public.clone();
        let handler = move |request: HttpRequest| {
            let elsewhere = to_https(&public, request.method(), request.headers(), request.uri());
            let mut response = elsewhere.unwrap_or_else(|| refused(""));
            // Of a plain answer browsers take no HSTS (RFC 6797, section 8.1).
            Security::new(Environment::Development).apply(response.headers_mut());
            std::future::ready(response)
        };
        App::new().default_service(web::to(handler))
    })
    .workers(1)
    .max_connections(1024)
    .shutdown_timeout(1)
    .shutdown_signal(stop)
    .bind(address)?;
    let addresses = server.addrs();
    Ok(Listening {
        server: server.run(),
        addresses,
    })
}

/// Whether clients can reach this configuration by https.
///
/// # Errors
/// What is missing, to be read by who starts the process.
pub fn check(config: &Config) -> Result<(), &'static str> {
    if config.environment.is_development() || config.tls.is_some() || !config.trusted_proxies.is_empty() {
        return Ok(());
    }
    Err(
        "outside development the API needs TLS_CERT_FILE and TLS_KEY_FILE, or in TRUSTED_PROXIES the proxy that \
         speaks TLS for it: nothing is answered over plain http",
    )
}
