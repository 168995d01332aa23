//! Signing in at a provider: the form that sends a browser there, and the address where it comes back.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use domain::identity::browser::BrowserSecret;
use domain::identity::sso::{self, Answer, Finished, Purpose, Refusal};
use domain::{Error, Result, Viewer};
use serde::Deserialize;

use super::guard::page_viewer;
use super::identity::{
    BROWSER, BROWSER_AGE, Identity, arrive, browser_of, cookie, forms, signing_in, value_of,
};
use super::pages::{Policy, failure, page, problem};
use super::settings::{redirect, refused};
use super::sign_in::foreign;
use super::{client, origin};

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/sign-in/with/{provider}")
                .app_data(forms())
                .route(web::post().to(begin)),
        )
        .service(web::resource("/sign-in/with/{provider}/callback").route(web::get().to(callback)));
}

#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    return_to: String,
}

async fn begin(
    request: HttpRequest,
    identity: Data<Identity>,
    provider: Path<String>,
    wish: Form<Wish>,
) -> HttpResponse {
    if !origin::is_own_form(&request, identity.origin(), false) {
        return foreign();
    }
    let return_to = identity.return_to(&wish.return_to).map(String::from);
    let purpose = Purpose::SignIn(return_to.as_deref().unwrap_or_default());
    send(&request, &identity, &provider, purpose)
        .await
        .unwrap_or_else(|error| failed(&error))
}

/// Sends a browser to a provider.
pub(super) async fn send(
    request: &HttpRequest,
    identity: &Identity,
    provider: &str,
    purpose: Purpose<'_>,
) -> Result<HttpResponse> {
    let browser = browser_of(request)?;
    let begun = sso::begin(
        &identity.db,
        &identity.limits,
        &identity.providers,
        provider,
        &browser,
        purpose,
        client::address(request, &identity.trusted_proxies),
    );
    match begun.await? {
        Ok(url) => Ok(HttpResponse::SeeOther()
            .insert_header((LOCATION, url.as_str()))
            .insert_header((CACHE_CONTROL, "no-store"))
            .cookie(cookie(BROWSER, browser.to_cookie(), BROWSER_AGE))
            .finish()),
        Err(refusal) => {
            let signed_in = matches!(purpose, Purpose::Link(_));
            Ok(turned_away(identity, provider, refusal, signed_in))
        }
    }
}

async fn callback(
    request: HttpRequest,
    identity: Data<Identity>,
    provider: Path<String>,
    answer: Option<Query<Answer>>,
) -> HttpResponse {
    // Something that is said twice says nothing.
    let answer = answer.map(Query::into_inner).unwrap_or_default();
    end(&request, &identity, &provider, &answer)
        .await
        .unwrap_or_else(|error| failed(&error))
}

async fn end(
    request: &HttpRequest,
    identity: &Identity,
    provider: &str,
    answer: &Answer,
) -> Result<HttpResponse> {
    let browser = value_of(request, BROWSER).and_then(|value| BrowserSecret::parse(&value));
    let client = signing_in(request, identity)?;
    let viewer = viewer(request, identity).await?;
    let finished = sso::finish(
        &identity.db,
        &identity.limits,
        &identity.providers,
        provider,
        answer,
        browser.as_ref(),
        &client,
        viewer.as_ref(),
    );
    match finished.await? {
        Ok(Finished::Arrived(outcome)) => Ok(arrive(request, identity, &outcome, &client).await),
        Ok(Finished::Linked) => Ok(redirect("/settings/sign-in?changed=provider-added")),
        Err(refusal) => Ok(turned_away(identity, provider, refusal, viewer.is_some())),
    }
}

/// Who is signed in, if anybody is.
async fn viewer(request: &HttpRequest, identity: &Identity) -> Result<Option<Viewer>> {
    match page_viewer(request, identity).await {
        Ok(viewer) => Ok(Some(viewer)),
        Err(Error::Unauthenticated) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The answer to an error that is not the provider's.
fn failed(error: &Error) -> HttpResponse {
    match error {
        Error::NotFound => problem(
            StatusCode::NOT_FOUND,
            "There is no such provider",
            "Please choose one of those that the page for signing in offers.",
        ),
        Error::Unauthenticated => refused(error, "/settings/sign-in"),
        error => failure(error),
    }
}

#[derive(Template)]
#[template(path = "turned_away.html")]
struct TurnedAway<'a> {
    title: &'a str,
    text: &'a str,
    signed_in: bool,
}

/// The page that says why a sign-in at a provider came to nothing.
fn turned_away(identity: &Identity, provider: &str, refusal: Refusal, signed_in: bool) -> HttpResponse {
    let label = identity.providers.label(provider);
    let (status, title, text) = explain(label, refusal);
    let page_of = TurnedAway {
        title: &title,
        text: &text,
        signed_in,
    };
    // The address holds what the provider answered.
    let policy = Policy {
        secret_address: true,
        ..Policy::PLAIN
    };
    page(status, &page_of, &policy)
}

fn explain(label: &str, refusal: Refusal) -> (StatusCode, String, String) {
    match refusal {
        Refusal::Away => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{label} does not answer"),
            format!(
                "{label} can't be reached at the moment, or takes too long. Nothing was changed. Please try again in \
                 a minute, or sign in another way."
            ),
        ),
        Refusal::Denied => (
            StatusCode::FORBIDDEN,
            format!("You said no at {label}"),
            "Nothing was changed. You can try again, or sign in another way.".to_owned(),
        ),
        Refusal::Stale => (
            StatusCode::GONE,
            "This sign-in is over".to_owned(),
            "It was finished already, took too long, or was begun in another browser. Please begin again."
                .to_owned(),
        ),
        Refusal::Refused => (
            StatusCode::FORBIDDEN,
            "This did not work".to_owned(),
            format!("What {label} answered can't be accepted. Please try again, or sign in another way."),
        ),
        Refusal::Unproven => (
            StatusCode::FORBIDDEN,
            "Please sign in another way first".to_owned(),
            format!(
                "You have not signed in here with {label} before, and {label} does not vouch for an e-mail address \
                 by which we could find or make your account. Sign in with a mailed link first, then add {label} in \
                 the settings."
            ),
        ),
        Refusal::Taken => (
            StatusCode::CONFLICT,
            format!("This {label} account opens another account"),
            format!(
                "Nothing was changed. To use it here, sign in with {label}, and remove it from that account first."
            ),
        ),
        Refusal::TooMany => (
            StatusCode::CONFLICT,
            "That is one too many".to_owned(),
            "An account has at most 20 of these. Please remove one first.".to_owned(),
        ),
    }
}
