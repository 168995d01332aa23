//! The page between the first factor and the second. Until one is presented there is no session: the cookie
//! that leads here opens nothing else.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Json};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use domain::identity::ceremony::Handle;
use domain::identity::second_factor;
use domain::identity::session::ClientInfo;
use domain::identity::sign_in::Outcome;
use domain::{Code, Error, Result};
use serde::Deserialize;

use super::identity::{Identity, SECOND_FACTOR, arrival, arrive, forms, signing_in, value_of, without};
use super::pages::{Policy, failure, page, problem};
use super::passkey::{self, Answer, call, presented_browser};
use super::settings::redirect;
use super::sign_in::foreign;

const PATH: &str = "/sign-in/second-factor";

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(PATH)
                .app_data(forms())
                .route(web::get().to(show))
                .route(web::head().to(show))
                .route(web::post().to(use_code)),
        )
        .service(call("/sign-in/second-factor/passkey").route(web::post().to(use_passkey)));
}

#[derive(Template)]
#[template(path = "second_factor.html")]
struct SecondFactor<'a> {
    problem: Option<&'a str>,
}

async fn show(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    match handle_of(&request) {
        Some(_) => shown(&identity, StatusCode::OK, None),
        None => redirect("/sign-in"),
    }
}

fn shown(identity: &Identity, status: StatusCode, problem: Option<&str>) -> HttpResponse {
    let policy = Policy {
        leads_to: &identity.frontend_origins,
        ..Policy::SCRIPTED
    };
    page(status, &SecondFactor { problem }, &policy)
}

fn handle_of(request: &HttpRequest) -> Option<Handle> {
    value_of(request, SECOND_FACTOR).and_then(|value| Handle::parse(&value))
}

#[derive(Deserialize)]
struct Typed {
    code: String,
}

async fn use_code(request: HttpRequest, identity: Data<Identity>, typed: Form<Typed>) -> HttpResponse {
    if !super::origin::is_own_form(&request, identity.origin(), false) {
        return foreign();
    }
    let client = match signing_in(&request, &identity) {
        Ok(client) => client,
        Err(error) => return failure(&error),
    };
    match with_code(&request, &identity, &typed.code, &client).await {
        Ok(outcome) => arrive(&request, &identity, &outcome, &client).await,
        Err(Error::Invalid(errors)) => match errors.first() {
            Some(error) if error.code == Code::Invalid => {
                shown(&identity, StatusCode::UNPROCESSABLE_ENTITY, Some(&error.message))
            }
            _ => over(),
        },
        Err(error) => failure(&error),
    }
}

async fn with_code(
    request: &HttpRequest,
    identity: &Identity,
    code: &str,
    client: &ClientInfo,
) -> Result<Outcome> {
    let (Some(handle), Some(browser)) = (handle_of(request), presented_browser(request)) else {
        return Err(nothing_begun());
    };
    let (db, limits) = (&identity.db, &identity.limits);
    second_factor::present_code(db, limits, &handle, code, &browser, client).await
}

async fn use_passkey(request: HttpRequest, identity: Data<Identity>, answer: Json<Answer>) -> HttpResponse {
    let arrived = async {
        passkey::assert_own(&request, &identity)?;
        let challenge = answer.handle()?;
        let (Some(handle), Some(browser)) = (handle_of(&request), presented_browser(&request)) else {
            return Err(nothing_begun());
        };
        let client = signing_in(&request, &identity)?;
        let (db, limits) = (&identity.db, &identity.limits);
        let credential = answer.0.credential;
        let outcome =
            second_factor::present_passkey(db, limits, &handle, &challenge, credential, &browser, &client)
                .await?;
        Ok(passkey::arrived(
            arrival(&request, &identity, &outcome, &client).await,
        ))
    };
    arrived
        .await
        .unwrap_or_else(|error| passkey::failure(&request, &error))
}

fn nothing_begun() -> Error {
    Error::invalid("", Code::LinkInvalid, "This took too long. Please sign in again.")
}

/// The first factor counts no longer.
fn over() -> HttpResponse {
    let mut answer = problem(
        StatusCode::GONE,
        "Please sign in again",
        "This took too long, or too much was tried.",
    );
    // Fails only for a cookie that can't be written, which this one can.
    answer.add_cookie(&without(SECOND_FACTOR)).ok();
    answer
}
