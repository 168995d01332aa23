//! Where the pages and calls of the sign-in are found, what they need, and their cookies.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::identity::browser::BrowserSecret;
use domain::identity::ceremony::VALID;
use domain::identity::return_to;
use domain::identity::session as sessions;
use domain::identity::session::{ClientInfo, End};
use domain::identity::sign_in::Outcome;
use domain::identity::sso::Providers;
use domain::identity::token::Tokens;
use domain::limit::Limits;
use domain::network::Network;
use domain::{Config, Db, Error, Result};
use url::Url;

use super::{client, pages, passkey, second_factor, session, settings, sign_in, sso};

/// The refresh token's cookie. The prefix keeps other hosts of the domain from planting one.
pub(super) const SESSION: &str = "__Host-session";
/// The cookie of a browser that began to sign in.
pub(super) const BROWSER: &str = "__Host-browser";
/// For how long it is remembered, in seconds: well beyond what it began.
pub(super) const BROWSER_AGE: i64 = 3600;

/// The cookie by which a browser is known again, for two years.
pub(super) const DEVICE: &str = "__Host-device";
/// The length of its value.
pub(super) const DEVICE_LENGTH: usize = 43;
const DEVICE_AGE: i64 = 2 * 365 * 24 * 3600;
/// The cookie of a browser that has yet to present a second factor: the ceremony's handle.
pub(super) const SECOND_FACTOR: &str = "__Host-second-factor";

/// What the sign-in needs, as `web::Data`.
pub struct Identity {
    /// The database.
    pub db: Db,
    /// The rate limits.
    pub limits: Limits,
    /// The maker and verifier of access tokens.
    pub tokens: Tokens,
    /// Where else people may sign in.
    pub providers: Providers,
    pub(super) public_url: Url,
    pub(super) frontend_origins: Vec<String>,
    pub(super) trusted_proxies: Vec<Network>,
}

impl Identity {
    /// With that configuration.
    #[must_use]
    pub fn new(config: &Config, db: Db, limits: Limits, tokens: Tokens, providers: Providers) -> Self {
        Self {
            db,
            limits,
            tokens,
            providers,
            public_url: config.public_url.clone(),
            frontend_origins: config.frontend_origins.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
        }
    }

    /// Our own origin, as a browser writes it.
    pub(super) fn origin(&self) -> &str {
        self.tokens.issuer()
    }

    /// The origins that a form may lead to which begins a sign-in at a provider: theirs, and where a browser goes
    /// that is signed in there already and so comes back at once.
    pub(super) fn leads_to(&self) -> Vec<String> {
        let mut origins = self.providers.origins();
        if !origins.is_empty() {
            origins.extend(self.frontend_origins.iter().cloned());
        }
        origins.sort();
        origins.dedup();
        origins
    }

    /// Where a browser may go after signing in, if that is where it wants to.
    pub(super) fn return_to(&self, text: &str) -> Option<Url> {
        return_to::allowed(text, &self.public_url, &self.frontend_origins)
    }
}

/// Registers every page and call of the sign-in.
pub fn configure(config: &mut web::ServiceConfig) {
    sign_in::configure(config);
    sso::configure(config);
    passkey::configure(config);
    second_factor::configure(config);
    session::configure(config);
    settings::configure(config);
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

/// The secret by which a browser that begins a sign-in is known when it ends it; a new one if it has none.
pub(super) fn browser_of(request: &HttpRequest) -> Result<BrowserSecret> {
    let known = value_of(request, BROWSER).and_then(|value| BrowserSecret::parse(&value));
    known.map_or_else(BrowserSecret::new, Ok)
}

/// The client of a sign-in, which has a device by which it will be known again.
pub(super) fn signing_in(request: &HttpRequest, identity: &Identity) -> Result<ClientInfo> {
    let mut client = client::info(request, &identity.trusted_proxies);
    if client.device.is_none() {
        client.device = Some(BrowserSecret::new()?.to_cookie());
    }
    Ok(client)
}

/// How the forms of our pages are read.
pub(super) fn forms() -> web::FormConfig {
    web::FormConfig::default().limit(8192).error_handler(|error, _| {
        let answer = pages::failure(&Error::Invalid(Vec::new()));
        actix_web::error::InternalError::from_response(error, answer).into()
    })
}

/// Where a browser goes after what it did to sign in, and the cookies that it takes along.
pub(super) struct Arrival {
    pub(super) to: String,
    pub(super) cookies: Vec<Cookie<'static>>,
}

/// What a sign-in came to. A new session, whatever the browser held before: what it held is ended, so that
/// nobody who planted it shares the session. Or the page for the second factor.
pub(super) async fn arrival(
    request: &HttpRequest,
    identity: &Identity,
    outcome: &Outcome,
    client: &ClientInfo,
) -> Arrival {
    let signed_in = match outcome {
        Outcome::SignedIn(signed_in) => signed_in,
        Outcome::SecondFactor(handle) => {
            return Arrival {
                to: "/sign-in/second-factor".to_owned(),
                cookies: vec![cookie(SECOND_FACTOR, handle.to_text(), VALID.num_seconds())],
            };
        }
    };
    if let Some(before) = value_of(request, SESSION)
        && let Err(error) = sessions::end_by_token(&identity.db, &before, client, End::Replaced).await
    {
        tracing::warn!(%error, "the session before could not be ended");
    }
    let session = &signed_in.session;
    let age = (session.idle_until - identity.db.clock().now()).num_seconds();
    let to = signed_in
        .return_to
        .as_deref()
        .and_then(|text| identity.return_to(text));
    let mut cookies = vec![
        cookie(SESSION, session.refresh_token.to_cookie(), age),
        without(BROWSER),
        without(SECOND_FACTOR),
    ];
    if let Some(device) = &client.device {
        cookies.push(cookie(DEVICE, device.clone(), DEVICE_AGE));
    }
    Arrival {
        to: to.map_or_else(|| "/sign-in/done".to_owned(), String::from),
        cookies,
    }
}

/// The same, to a browser that posted a form or came back from elsewhere.
pub(super) async fn arrive(
    request: &HttpRequest,
    identity: &Identity,
    outcome: &Outcome,
    client: &ClientInfo,
) -> HttpResponse {
    let arrival = arrival(request, identity, outcome, client).await;
    let mut response = HttpResponse::SeeOther();
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((LOCATION, arrival.to));
    for cookie in arrival.cookies {
        response.cookie(cookie);
    }
    response.finish()
}

/// A cookie's value.
pub(super) fn value_of(request: &HttpRequest, name: &str) -> Option<String> {
    request.cookie(name).map(|cookie| cookie.value().to_owned())
}
