//! What the script of our pages calls, so that an authenticator is asked: JSON in, JSON out, and for our own
//! pages alone.

use actix_web::error::{InternalError, JsonPayloadError};
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::identity::browser::BrowserSecret;
use domain::identity::ceremony::Handle;
use domain::identity::passkey::{self, Challenge};
use domain::{Code, Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::identity::{
    Arrival, BROWSER, BROWSER_AGE, Identity, arrival, browser_of, cookie, signing_in, value_of,
};
use super::{client, envelope, origin, session};

const SCRIPT: &str = include_str!("../../templates/passkey.js");
/// Longer than any authenticator's answer, with a chain of certificates in it.
const LONGEST: usize = 64 * 1024;

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/assets/passkey.js")
                .route(web::get().to(script))
                .route(web::head().to(script)),
        )
        .service(call("/sign-in/passkey/begin").route(web::post().to(begin)))
        .service(call("/sign-in/passkey/finish").route(web::post().to(finish)));
}

async fn script() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(SCRIPT)
}

/// A path that a script calls with JSON, and that no form can post to.
pub(super) fn call(path: &str) -> actix_web::Resource {
    let json = web::JsonConfig::default()
        .limit(LONGEST)
        .error_handler(|error, request| {
            let (status, message) = match &error {
                JsonPayloadError::ContentType => {
                    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json")
                }
                JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
                    (StatusCode::PAYLOAD_TOO_LARGE, "this is too long")
                }
                _ => (StatusCode::BAD_REQUEST, "this is not what is expected here"),
            };
            let id = envelope::request_id(request).unwrap_or_default();
            let answer = envelope::error_response(status, "BAD_REQUEST", message, &id);
            InternalError::from_response(error, answer).into()
        });
    web::resource(path).app_data(json)
}

/// What an authenticator answered, and to which challenge.
#[derive(Deserialize)]
pub(super) struct Answer {
    ceremony: String,
    pub(super) credential: Value,
    /// What a new passkey is to be called.
    #[serde(default)]
    pub(super) name: String,
}

impl Answer {
    /// The challenge.
    pub(super) fn handle(&self) -> Result<Handle> {
        Handle::parse(&self.ceremony)
            .ok_or_else(|| Error::invalid("", Code::LinkInvalid, "This took too long. Please try again."))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    #[serde(default)]
    return_to: String,
}

/// Asks for a passkey, of whoever has one: to sign in, or as the second factor.
async fn begin(request: HttpRequest, identity: Data<Identity>, wish: Json<Wish>) -> HttpResponse {
    let asked = async {
        assert_own(&request, &identity)?;
        let to = identity.return_to(&wish.return_to).map(String::from);
        let browser = browser_of(&request)?;
        let address = client::address(&request, &identity.trusted_proxies);
        let (db, limits) = (&identity.db, &identity.limits);
        let challenge =
            passkey::begin_sign_in(db, limits, &browser, &to.unwrap_or_default(), address).await?;
        Ok(asked(&challenge, &browser))
    };
    asked.await.unwrap_or_else(|error| failure(&request, &error))
}

async fn finish(request: HttpRequest, identity: Data<Identity>, answer: Json<Answer>) -> HttpResponse {
    let arrived = async {
        assert_own(&request, &identity)?;
        let handle = answer.handle()?;
        let browser = presented_browser(&request);
        let client = signing_in(&request, &identity)?;
        let (db, limits) = (&identity.db, &identity.limits);
        let credential = answer.0.credential;
        let outcome = passkey::sign_in(db, limits, &handle, credential, browser.as_ref(), &client).await?;
        Ok(arrived(arrival(&request, &identity, &outcome, &client).await))
    };
    arrived.await.unwrap_or_else(|error| failure(&request, &error))
}

/// Only a page of ours calls.
pub(super) fn assert_own(request: &HttpRequest, identity: &Identity) -> Result<()> {
    if origin::is_own_form(request, identity.origin(), false) {
        Ok(())
    } else {
        Err(Error::Forbidden)
    }
}

/// The secret of a browser that has begun something.
pub(super) fn presented_browser(request: &HttpRequest) -> Option<BrowserSecret> {
    value_of(request, BROWSER).and_then(|value| BrowserSecret::parse(&value))
}

/// What the authenticator is to be asked.
pub(super) fn asked(challenge: &Challenge, browser: &BrowserSecret) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .cookie(cookie(BROWSER, browser.to_cookie(), BROWSER_AGE))
        .json(json!({ "ceremony": challenge.handle.to_text(), "publicKey": challenge.options }))
}

/// Where the page goes now.
pub(super) fn arrived(arrival: Arrival) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "no-store"));
    for cookie in arrival.cookies {
        response.cookie(cookie);
    }
    response.json(json!({ "redirectTo": arrival.to }))
}

/// An error that the page tells its reader, in the form that clients know from GraphQL.
pub(super) fn failure(request: &HttpRequest, error: &Error) -> HttpResponse {
    let first = match error {
        Error::Invalid(errors) => errors.first(),
        _ => None,
    };
    let Some(first) = first else {
        return session::failure(request, error);
    };
    let id = envelope::request_id(request).unwrap_or_default();
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    envelope::error_response(status, first.code.as_str(), &first.message, &id)
}
