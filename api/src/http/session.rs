//! What a front end calls to stay signed in and to sign out, and the public keys for whoever verifies
//! access tokens.

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, LOCATION};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use domain::identity::session::{self, End, NewSession};
use domain::identity::token::LIFETIME;
use domain::limit::{Bucket, client_key};
use domain::{Error, Result};
use serde_json::json;

use super::identity::{Identity, SESSION, cookie, value_of, without};
use super::negotiate::{Format, Refusal};
use super::{client, envelope, origin};

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/session/token").route(web::post().to(token)))
        .service(web::resource("/session/end").route(web::post().to(end)))
        .service(
            web::resource("/.well-known/jwks.json")
                .route(web::get().to(key_set))
                .route(web::head().to(key_set)),
        );
}

/// An access token for the session in the cookie, whose refresh token changes with it. That a front end
/// of another origin may read the answer is said with all that is CORS.
async fn token(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    if !origin::is_caller(&request, identity.origin(), &identity.frontend_origins) {
        return failure(&request, &Error::Forbidden);
    }
    match refreshed(&request, &identity).await {
        Ok((session, token)) => {
            let age = (session.idle_until - identity.db.clock().now()).num_seconds();
            answer(StatusCode::OK)
                .cookie(cookie(SESSION, session.refresh_token.to_cookie(), age))
                .json(json!({
                    "accessToken": token,
                    "expiresIn": LIFETIME.num_seconds(),
                    "tokenType": "Bearer",
                }))
        }
        Err(error) => failure(&request, &error),
    }
}

async fn refreshed(request: &HttpRequest, identity: &Identity) -> Result<(NewSession, String)> {
    let client = client::info(request, &identity.trusted_proxies);
    let key = client_key(client.address);
    identity.limits.take(Bucket::RefreshPerClient, &key, 1).await?;
    let cookie = value_of(request, SESSION).ok_or(Error::Unauthenticated)?;
    let session = session::refresh(&identity.db, &cookie, &client).await?;
    let token = identity.tokens.issue(&session.subject).await?;
    Ok((session, token))
}

/// Signs out, from a script or from a page's form.
async fn end(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    if !origin::is_caller(&request, identity.origin(), &identity.frontend_origins) {
        return failure(&request, &Error::Forbidden);
    }
    let client = client::info(&request, &identity.trusted_proxies);
    if let Some(cookie) = value_of(&request, SESSION)
        && let Err(error) = session::end_by_token(&identity.db, &cookie, &client, End::SignedOut).await
    {
        return failure(&request, &error);
    }
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let is_page = accept.is_some_and(|accept| accept.contains("text/html"));
    let status = if is_page {
        StatusCode::SEE_OTHER
    } else {
        StatusCode::NO_CONTENT
    };
    let mut response = answer(status);
    if is_page {
        response.insert_header((LOCATION, "/sign-in/out"));
    }
    response.cookie(without(SESSION)).finish()
}

/// The keys by which access tokens may be signed. Kept for a minute only, so that a retired key goes.
async fn key_set(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    match identity.tokens.key_set().await {
        Ok(keys) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "public, max-age=60"))
            .json(keys),
        Err(error) => failure(&request, &error),
    }
}

/// An answer that nobody keeps.
fn answer(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}

/// An error in the form that clients know from GraphQL.
pub(super) fn failure(request: &HttpRequest, error: &Error) -> HttpResponse {
    let id = envelope::request_id(request).unwrap_or_default();
    Refusal::from(error).with("requestId", id).respond(Format::Json)
}
