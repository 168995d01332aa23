//! The page of the ways to sign in: which there are, one more, one less.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use chrono::{DateTime, Utc};
use domain::db::Freshness;
use domain::identity::browser::BrowserSecret;
use domain::identity::methods::{self, SignInMethods};
use domain::identity::sso::{Choice, Purpose};
use domain::identity::{email, link};
use domain::{Code, Error, Result, Tx, Viewer};
use serde::Deserialize;
use uuid::Uuid;

use super::{poster, redirect, refused};
use crate::http::guard::page_viewer;
use crate::http::identity::{BROWSER, BROWSER_AGE, Identity, browser_of, cookie, forms, value_of};
use crate::http::pages::{self, Policy, page};
use crate::http::sign_in::foreign;
use crate::http::{client, origin, sso};

/// Where the page is.
const HERE: &str = "/settings/sign-in";

pub(super) fn configure(config: &mut web::ServiceConfig) {
    let posted = |path: &str| web::resource(format!("{HERE}{path}")).app_data(forms());
    config
        .service(
            web::resource(HERE)
                .route(web::get().to(show))
                .route(web::head().to(show)),
        )
        .service(posted("/emails").route(web::post().to(ask)))
        .service(posted("/emails/remove").route(web::post().to(remove_email)))
        .service(posted("/identities/remove").route(web::post().to(remove_identity)))
        .service(posted("/with/{provider}").route(web::post().to(add_provider)))
        .service(
            posted("/email")
                .route(web::get().to(show_link))
                .route(web::head().to(show_link))
                .route(web::post().to(add_email)),
        );
}

#[derive(Template)]
#[template(path = "settings_sign_in.html")]
struct Methods<'a> {
    emails: Vec<Way>,
    identities: Vec<Way>,
    passkeys: i64,
    providers: Vec<Choice>,
    /// What has just been done.
    done: Option<&'a str>,
    /// Whether it was a change, after which other sessions may be ended.
    changed: bool,
    typed: &'a str,
    problem: Option<&'a str>,
}

/// One way to sign in, as it is shown.
struct Way {
    id: Uuid,
    name: String,
    about: String,
}

#[derive(Template)]
#[template(path = "settings_email.html")]
struct Confirm<'a> {
    id: Uuid,
    token: &'a str,
}

#[derive(Template)]
#[template(path = "settings_problem.html")]
struct Problem<'a> {
    title: &'a str,
    text: &'a str,
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    changed: String,
}

async fn show(request: HttpRequest, identity: Data<Identity>, shown: Option<Query<Shown>>) -> HttpResponse {
    let (done, changed) = match shown.as_ref().map_or("", |shown| shown.changed.as_str()) {
        "email-asked" => (
            Some("A link is on its way to the new address. Open it in this browser."),
            false,
        ),
        "email-added" => (Some("The address was added."), true),
        "email-removed" => (Some("The address was removed."), true),
        "provider-added" => (Some("The provider was added."), true),
        "provider-removed" => (Some("The provider was removed."), true),
        _ => (None, false),
    };
    let answer = async {
        let viewer = page_viewer(&request, &identity).await?;
        let said = Said {
            done,
            changed,
            ..Said::default()
        };
        render(&identity, &viewer, StatusCode::OK, &said).await
    };
    answer.await.unwrap_or_else(|error| refused(&error, HERE))
}

/// What the page says besides the ways.
#[derive(Default)]
struct Said<'a> {
    done: Option<&'a str>,
    changed: bool,
    typed: &'a str,
    problem: Option<&'a str>,
}

async fn render(
    identity: &Identity,
    viewer: &Viewer,
    status: StatusCode,
    said: &Said<'_>,
) -> Result<HttpResponse> {
    let tx = identity.db.read(viewer).await?;
    let SignInMethods {
        emails,
        identities,
        passkeys,
    } = methods::list(&tx).await?;
    let emails = emails.into_iter().map(|email| Way {
        id: email.id,
        name: email.address,
        about: format!("added on {}", day(email.created_at)),
    });
    let identities = identities.into_iter().map(|found| Way {
        id: found.id,
        name: identity.providers.label(&found.provider).to_owned(),
        about: [found.email, Some(format!("added on {}", day(found.created_at)))]
            .into_iter()
            .chain([found.last_used_at.map(|at| format!("last used on {}", day(at)))])
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
    });
    let methods = Methods {
        emails: emails.collect(),
        identities: identities.collect(),
        passkeys,
        providers: identity.providers.choices().collect(),
        done: said.done,
        changed: said.changed,
        typed: said.typed,
        problem: said.problem,
    };
    let policy = Policy {
        leads_to: &identity.leads_to(),
        ..Policy::PLAIN
    };
    Ok(page(status, &methods, &policy))
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y").to_string()
}

#[derive(Deserialize)]
struct Asked {
    email: String,
}

async fn ask(request: HttpRequest, identity: Data<Identity>, form: Form<Asked>) -> HttpResponse {
    let viewer = match poster(&request, &identity, HERE).await {
        Ok(viewer) => viewer,
        Err(answer) => return answer,
    };
    let asked = async {
        let browser = browser_of(&request)?;
        let client = client::address(&request, &identity.trusted_proxies);
        email::request(
            &identity.db,
            &identity.limits,
            &viewer,
            &form.email,
            &browser,
            client,
        )
        .await?;
        let mut answer = redirect(&format!("{HERE}?changed=email-asked"));
        // It holds for the link; a cookie that can't be written would make the link useless.
        answer
            .add_cookie(&cookie(BROWSER, browser.to_cookie(), BROWSER_AGE))
            .map_err(Error::internal)?;
        Ok(answer)
    };
    match asked.await {
        Ok(answer) => answer,
        Err(error) => again(&identity, &viewer, &error, &form.email).await,
    }
}

/// The page with what is wrong.
async fn again(identity: &Identity, viewer: &Viewer, error: &Error, typed: &str) -> HttpResponse {
    let Error::Invalid(errors) = error else {
        return refused(error, HERE);
    };
    let said = Said {
        typed,
        problem: errors.first().map(|error| error.message.as_ref()),
        ..Said::default()
    };
    render(identity, viewer, StatusCode::UNPROCESSABLE_ENTITY, &said)
        .await
        .unwrap_or_else(|error| refused(&error, HERE))
}

#[derive(Deserialize)]
struct One {
    id: Uuid,
}

async fn remove_email(request: HttpRequest, identity: Data<Identity>, one: Form<One>) -> HttpResponse {
    let remove = async |tx: &Tx| methods::remove_email(tx, one.id).await;
    change(&request, &identity, "email-removed", remove).await
}

async fn remove_identity(request: HttpRequest, identity: Data<Identity>, one: Form<One>) -> HttpResponse {
    let remove = async |tx: &Tx| methods::remove_identity(tx, one.id).await;
    change(&request, &identity, "provider-removed", remove).await
}

/// Changes the ways to sign in of who posted this, who has shown lately who they are.
async fn change(
    request: &HttpRequest,
    identity: &Identity,
    done: &str,
    operation: impl AsyncFnOnce(&Tx) -> Result<()>,
) -> HttpResponse {
    let viewer = match poster(request, identity, HERE).await {
        Ok(viewer) => viewer,
        Err(answer) => return answer,
    };
    let changed = async {
        let tx = identity.db.begin_account(&viewer, Freshness::Recent).await?;
        operation(&tx).await?;
        tx.commit().await
    };
    match changed.await {
        Ok(()) => redirect(&format!("{HERE}?changed={done}")),
        // Another tab was faster.
        Err(Error::NotFound) => redirect(HERE),
        Err(error) => again(identity, &viewer, &error, "").await,
    }
}

async fn add_provider(
    request: HttpRequest,
    identity: Data<Identity>,
    provider: Path<String>,
) -> HttpResponse {
    let viewer = match poster(&request, &identity, HERE).await {
        Ok(viewer) => viewer,
        Err(answer) => return answer,
    };
    match sso::send(&request, &identity, &provider, Purpose::Link(&viewer)).await {
        Ok(answer) => answer,
        Err(Error::NotFound) => redirect(HERE),
        Err(error) => refused(&error, HERE),
    }
}

#[derive(Deserialize)]
struct Link {
    id: Uuid,
    token: String,
}

/// Looking at the link spends nothing, and needs nobody to be signed in.
async fn show_link(link: Option<Query<Link>>) -> HttpResponse {
    let Some(link) = link.filter(|link| link::is_token(&link.token)) else {
        return link_invalid();
    };
    let confirm = Confirm {
        id: link.id,
        token: &link.token,
    };
    let policy = Policy {
        secret_address: true,
        ..Policy::PLAIN
    };
    page(StatusCode::OK, &confirm, &policy)
}

async fn add_email(request: HttpRequest, identity: Data<Identity>, link: Form<Link>) -> HttpResponse {
    // Another site can't know the token, nor make the browser be the one that asked.
    if !origin::is_own_form(&request, identity.origin(), true) {
        return foreign();
    }
    let added = async {
        let viewer = page_viewer(&request, &identity).await?;
        let browser = value_of(&request, BROWSER).and_then(|value| BrowserSecret::parse(&value));
        let client = client::info(&request, &identity.trusted_proxies);
        email::redeem(
            &identity.db,
            &identity.limits,
            &viewer,
            link.id,
            &link.token,
            browser.as_ref(),
            &client,
        )
        .await
    };
    match added.await {
        Ok(()) => redirect(&format!("{HERE}?changed=email-added")),
        Err(Error::Invalid(errors)) => match errors.first().map(|error| error.code) {
            Some(Code::OtherBrowser) => problem(
                StatusCode::FORBIDDEN,
                "Another browser",
                "Open the link in the browser in which you asked for it.",
            ),
            Some(Code::Taken) => problem(
                StatusCode::CONFLICT,
                "This address opens another account",
                "Nothing was changed. To use it here, remove it from that account first.",
            ),
            _ => link_invalid(),
        },
        Err(Error::Unauthenticated) => problem(
            StatusCode::UNAUTHORIZED,
            "You are signed out",
            "Sign in again, then ask for a new link.",
        ),
        Err(error) => pages::failure(&error),
    }
}

fn problem(status: StatusCode, title: &str, text: &str) -> HttpResponse {
    page(status, &Problem { title, text }, &Policy::PLAIN)
}

fn link_invalid() -> HttpResponse {
    problem(
        StatusCode::GONE,
        "This link is no longer good",
        "It has been used, replaced by a newer one, or is too old. Please ask for a new one.",
    )
}
