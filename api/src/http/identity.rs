//! Where the pages and calls of the sign-in are found, what they need, and their cookies.

use std::net::IpAddr;

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, web};
use domain::identity::return_to;
use domain::identity::token::Tokens;
use domain::limit::Limits;
use domain::{Config, Db};
use url::Url;

use super::{pages, session, sign_in};

/// The refresh token's cookie. The prefix keeps other hosts of the domain from planting one.
pub(super) const SESSION: &str = "__Host-session";
/// The cookie of a browser that asked for a link.
pub(super) const BROWSER: &str = "__Host-browser";

/// What the sign-in needs, as `web::Data`.
pub struct Identity {
    /// The database.
    pub db: Db,
    /// The rate limits.
    pub limits: Limits,
    /// The maker and verifier of access tokens.
    pub tokens: Tokens,
    pub(super) public_url: Url,
    pub(super) frontend_origins: Vec<String>,
    pub(super) trusted_proxies: Vec<IpAddr>,
}

impl Identity {
    /// With that configuration.
    #[must_use]
    pub fn new(config: &Config, db: Db, limits: Limits, tokens: Tokens) -> Self {
        Self {
            db,
            limits,
            tokens,
            public_url: config.public_url.clone(),
            frontend_origins: config.frontend_origins.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
        }
    }

    /// Our own origin, as a browser writes it.
    pub(super) fn origin(&self) -> &str {
        self.tokens.issuer()
    }

    /// Where a browser may go after signing in, if that is where it wants to.
    pub(super) fn return_to(&self, text: &str) -> Option<Url> {
        return_to::allowed(text, &self.public_url, &self.frontend_origins)
    }
}

/// Registers every page and call of the sign-in.
pub fn configure(config: &mut web::ServiceConfig) {
    sign_in::configure(config);
    session::configure(config);
    pages::configure(config);
}

/// A cookie that only we read, and only over TLS (or on the developer's own machine).
pub(super) fn cookie(name: &'static str, value: String, seconds: i64) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(Duration::seconds(seconds.max(0)))
        .finish()
}

/// Takes a cookie away.
pub(super) fn without(name: &'static str) -> Cookie<'static> {
    cookie(name, String::new(), 0)
}

/// A cookie's value.
pub(super) fn value_of(request: &HttpRequest, name: &str) -> Option<String> {
    request.cookie(name).map(|cookie| cookie.value().to_owned())
}
