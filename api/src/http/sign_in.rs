//! The pages of signing in by a mailed link. Looking at the link spends nothing, because mail scanners
//! and previews look at it first: its page has a button that posts.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{Data, Form, Query};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::identity::browser::BrowserSecret;
use domain::identity::{link, passkey};
use domain::{Code, Error};
use serde::Deserialize;
use uuid::Uuid;

use super::identity::{
    BROWSER, BROWSER_AGE, Identity, arrive, browser_of, cookie, forms, signing_in, value_of,
};
use super::pages::{self, Policy, failure, page, problem};
use super::{client, origin};

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/sign-in")
                .app_data(forms())
                .route(web::get().to(show_form))
                .route(web::head().to(show_form))
                .route(web::post().to(ask)),
        )
        .service(shown("/sign-in/sent", || {
            page(StatusCode::OK, &pages::Sent, &Policy::PLAIN)
        }))
        .service(shown("/sign-in/done", || {
            page(StatusCode::OK, &pages::SignedIn, &Policy::PLAIN)
        }))
        .service(shown("/sign-in/out", || {
            page(StatusCode::OK, &pages::SignedOut, &Policy::PLAIN)
        }))
        .service(
            web::resource("/sign-in/link")
                .app_data(forms())
                .route(web::get().to(show_link))
                .route(web::head().to(show_link))
                .route(web::post().to(redeem)),
        );
}

fn shown(path: &'static str, page: fn() -> HttpResponse) -> actix_web::Resource {
    let handler = move || async move { page() };
    web::resource(path)
        .route(web::get().to(handler))
        .route(web::head().to(handler))
}

#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    return_to: String,
    /// Whether somebody who is signed in has to show again who they are.
    #[serde(default)]
    again: bool,
}

async fn show_form(identity: Data<Identity>, wish: Option<Query<Wish>>) -> HttpResponse {
    let again = wish.as_ref().is_some_and(|wish| wish.again);
    let return_to = wish.and_then(|wish| identity.return_to(&wish.return_to));
    let form = pages::SignIn {
        email: "",
        return_to: return_to.as_ref().map_or("", |url| url.as_str()),
        again,
        problem: None,
        passkeys: passkey::available(&identity.public_url),
        providers: identity.providers.choices().collect(),
    };
    page(StatusCode::OK, &form, &leads_on(&identity.leads_to()))
}

/// The form leads to the providers as well.
fn leads_on(origins: &[String]) -> Policy<'_> {
    Policy {
        leads_to: origins,
        ..Policy::SCRIPTED
    }
}

#[derive(Deserialize)]
struct Asked {
    email: String,
    #[serde(default)]
    return_to: String,
}

async fn ask(request: HttpRequest, identity: Data<Identity>, form: Form<Asked>) -> HttpResponse {
    if !origin::is_own_form(&request, identity.origin(), false) {
        return foreign();
    }
    let return_to = identity
        .return_to(&form.return_to)
        .map(String::from)
        .unwrap_or_default();
    let browser = match browser_of(&request) {
        Ok(browser) => browser,
        Err(error) => return failure(&error),
    };
    let client = client::address(&request, &identity.trusted_proxies);
    let asked = link::request_link(
        &identity.db,
        &identity.limits,
        &form.email,
        &browser,
        &return_to,
        client,
    );
    match asked.await {
        Ok(()) => HttpResponse::SeeOther()
            .insert_header((LOCATION, "/sign-in/sent"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .cookie(cookie(BROWSER, browser.to_cookie(), BROWSER_AGE))
            .finish(),
        Err(Error::Invalid(errors)) => {
            let again = pages::SignIn {
                email: &form.email,
                return_to: &return_to,
                again: false,
                problem: errors.first().map(|error| error.message.as_ref()),
                passkeys: passkey::available(&identity.public_url),
                providers: identity.providers.choices().collect(),
            };
            page(
                StatusCode::UNPROCESSABLE_ENTITY,
                &again,
                &leads_on(&identity.leads_to()),
            )
        }
        Err(error) => failure(&error),
    }
}

#[derive(Deserialize)]
struct Link {
    id: Uuid,
    token: String,
}

async fn show_link(identity: Data<Identity>, link: Option<Query<Link>>) -> HttpResponse {
    let Some(link) = link.filter(|link| link::is_token(&link.token)) else {
        return link_invalid();
    };
    let confirm = pages::Confirm {
        id: &link.id.to_string(),
        token: &link.token,
    };
    let policy = Policy {
        leads_to: &identity.frontend_origins,
        secret_address: true,
        ..Policy::PLAIN
    };
    page(StatusCode::OK, &confirm, &policy)
}

async fn redeem(request: HttpRequest, identity: Data<Identity>, link: Form<Link>) -> HttpResponse {
    // Another site can't know the token, nor make the browser be the one that asked.
    if !origin::is_own_form(&request, identity.origin(), true) {
        return foreign();
    }
    let browser = value_of(&request, BROWSER).and_then(|value| BrowserSecret::parse(&value));
    let client = match signing_in(&request, &identity) {
        Ok(client) => client,
        Err(error) => return failure(&error),
    };
    let redeemed = link::redeem_link(
        &identity.db,
        &identity.limits,
        link.id,
        &link.token,
        browser.as_ref(),
        &client,
    );
    match redeemed.await {
        Ok(outcome) => arrive(&request, &identity, &outcome, &client).await,
        Err(Error::Invalid(errors)) if errors.iter().any(|error| error.code == Code::OtherBrowser) => {
            problem(
                StatusCode::FORBIDDEN,
                "Another browser",
                "Open the link in the browser in which you asked for it, or ask for a new one here.",
            )
        }
        Err(Error::Invalid(_)) => link_invalid(),
        Err(error) => failure(&error),
    }
}

pub(super) fn foreign() -> HttpResponse {
    problem(
        StatusCode::FORBIDDEN,
        "Not from here",
        "This form was sent from another site. Please begin again.",
    )
}

fn link_invalid() -> HttpResponse {
    problem(
        StatusCode::GONE,
        "This link is no longer good",
        "It has been used, replaced by a newer one, or is too old. Please ask for a new one.",
    )
}
