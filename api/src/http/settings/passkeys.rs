//! The page of a person's passkeys: adding, naming and removing them, requiring one, and recovery codes.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Json, Query};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use domain::db::Freshness;
use domain::identity::passkey::{self, Passkey};
use domain::identity::second_factor::{self, RecoveryCode, Setting};
use domain::{Code, Error, Result, Tx};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::browser_name::browser_name;
use super::{poster, redirect, refused, shown};
use crate::http::guard::page_viewer;
use crate::http::identity::{Identity, browser_of, forms};
use crate::http::pages::{Policy, page};
use crate::http::passkey::{Answer, asked, assert_own, call, failure, presented_browser};

const PATH: &str = "/settings/passkeys";

pub(super) fn configure(config: &mut web::ServiceConfig) {
    let form = |path, post: actix_web::Route| web::resource(path).app_data(forms()).route(post);
    config
        .service(
            web::resource(PATH)
                .route(web::get().to(show))
                .route(web::head().to(show)),
        )
        .service(form("/settings/passkeys/rename", web::post().to(rename)))
        .service(form("/settings/passkeys/remove", web::post().to(remove)))
        .service(form("/settings/passkeys/require", web::post().to(require)))
        .service(form("/settings/passkeys/release", web::post().to(release)))
        .service(form(
            "/settings/passkeys/recovery-codes",
            web::post().to(renew_codes),
        ))
        .service(call("/settings/passkeys/begin").route(web::post().to(begin)))
        .service(call("/settings/passkeys/finish").route(web::post().to(finish)));
}

#[derive(Template)]
#[template(path = "settings_passkeys.html")]
struct Passkeys {
    passkeys: Vec<Row>,
    setting: Setting,
    /// Whether passkeys can be had at our address at all.
    available: bool,
    done: Option<&'static str>,
    problem: Option<String>,
    /// Whether a sign-in with the passkey would help.
    weak: bool,
}

struct Row {
    id: Uuid,
    name: String,
    created_at: String,
    last_used_at: Option<String>,
}

impl From<Passkey> for Row {
    fn from(passkey: Passkey) -> Self {
        Self {
            id: passkey.id,
            name: passkey.name,
            created_at: shown(passkey.created_at),
            last_used_at: passkey.last_used_at.map(shown),
        }
    }
}

/// Codes, which no other page ever shows.
#[derive(Template)]
#[template(path = "settings_recovery_codes.html")]
struct RecoveryCodes {
    codes: Vec<String>,
}

#[derive(Deserialize)]
struct Done {
    #[serde(default)]
    done: String,
}

async fn show(request: HttpRequest, identity: Data<Identity>, done: Option<Query<Done>>) -> HttpResponse {
    let done = match done.as_ref().map_or("", |query| query.done.as_str()) {
        "added" => Some("The passkey was added."),
        "removed" => Some("The passkey was removed."),
        "released" => Some("A passkey is no longer required."),
        _ => None,
    };
    match read(&request, &identity).await {
        Ok(passkeys) => page(StatusCode::OK, &Passkeys { done, ..passkeys }, &Policy::SCRIPTED),
        Err(error) => refused(&error, PATH),
    }
}

async fn read(request: &HttpRequest, identity: &Identity) -> Result<Passkeys> {
    let viewer = page_viewer(request, identity).await?;
    let tx = identity.db.read(&viewer).await?;
    Ok(Passkeys {
        passkeys: passkey::list(&tx).await?.into_iter().map(Row::from).collect(),
        setting: second_factor::setting(&tx).await?,
        available: passkey::available(&identity.public_url),
        done: None,
        problem: None,
        weak: false,
    })
}

/// Does it, and shows what came of it; what is wrong is told on the page itself.
async fn change<T>(
    request: &HttpRequest,
    identity: &Identity,
    operation: impl AsyncFnOnce(&Tx) -> Result<T>,
    answer: impl FnOnce(T) -> HttpResponse,
) -> HttpResponse {
    let viewer = match poster(request, identity, PATH).await {
        Ok(viewer) => viewer,
        Err(answer) => return answer,
    };
    let done = async {
        let tx = identity.db.begin_account(&viewer, Freshness::Recent).await?;
        let done = operation(&tx).await?;
        tx.commit().await?;
        Ok(done)
    };
    match done.await {
        Ok(done) => answer(done),
        // Removed in another tab, say.
        Err(Error::NotFound) => redirect(PATH),
        Err(Error::Invalid(errors)) => match read(request, identity).await {
            Ok(passkeys) => {
                let told = Passkeys {
                    problem: errors.first().map(|error| error.message.to_string()),
                    weak: errors
                        .iter()
                        .any(|error| error.code == Code::StrongSessionRequired),
                    ..passkeys
                };
                page(StatusCode::UNPROCESSABLE_ENTITY, &told, &Policy::SCRIPTED)
            }
            Err(error) => refused(&error, PATH),
        },
        Err(error) => refused(&error, PATH),
    }
}

fn shown_once(codes: &[RecoveryCode]) -> HttpResponse {
    let codes = codes.iter().map(RecoveryCode::to_text).collect();
    page(StatusCode::OK, &RecoveryCodes { codes }, &Policy::PLAIN)
}

#[derive(Deserialize)]
struct Renamed {
    id: Uuid,
    name: String,
}

async fn rename(request: HttpRequest, identity: Data<Identity>, form: Form<Renamed>) -> HttpResponse {
    change(
        &request,
        &identity,
        async |tx| passkey::rename(tx, form.id, &form.name).await,
        |_| redirect(PATH),
    )
    .await
}

#[derive(Deserialize)]
struct Removed {
    id: Uuid,
}

async fn remove(request: HttpRequest, identity: Data<Identity>, form: Form<Removed>) -> HttpResponse {
    change(
        &request,
        &identity,
        async |tx| passkey::remove(tx, form.id).await,
        |()| redirect("/settings/passkeys?done=removed"),
    )
    .await
}

async fn require(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    change(
        &request,
        &identity,
        async |tx| second_factor::require(tx).await,
        |codes| codes.map_or_else(|| redirect(PATH), |codes| shown_once(&codes)),
    )
    .await
}

async fn release(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    change(
        &request,
        &identity,
        async |tx| second_factor::release(tx).await,
        |()| redirect("/settings/passkeys?done=released"),
    )
    .await
}

async fn renew_codes(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    change(
        &request,
        &identity,
        async |tx| second_factor::renew_codes(tx).await,
        |codes| shown_once(&codes),
    )
    .await
}

/// What a new passkey is made with.
async fn begin(request: HttpRequest, identity: Data<Identity>, _: Json<serde_json::Value>) -> HttpResponse {
    let begun = async {
        assert_own(&request, &identity)?;
        let viewer = page_viewer(&request, &identity).await?;
        let browser = browser_of(&request)?;
        let challenge =
            passkey::begin_registration(&identity.db, &identity.limits, &viewer, &browser).await?;
        Ok(asked(&challenge, &browser))
    };
    begun.await.unwrap_or_else(|error| failure(&request, &error))
}

async fn finish(request: HttpRequest, identity: Data<Identity>, answer: Json<Answer>) -> HttpResponse {
    let added = async {
        assert_own(&request, &identity)?;
        let viewer = page_viewer(&request, &identity).await?;
        let browser = presented_browser(&request);
        let handle = answer.handle()?;
        let Answer { credential, name, .. } = answer.0;
        let agent = viewer.client().and_then(|client| client.user_agent.as_deref());
        let name = match (name.trim(), agent) {
            ("", Some(agent)) => browser_name(Some(agent)),
            (name, _) => name.to_owned(),
        };
        let (db, limits) = (&identity.db, &identity.limits);
        passkey::register(db, limits, &viewer, browser.as_ref(), &handle, credential, &name).await
    };
    match added.await {
        Ok(_) => HttpResponse::Ok()
            .insert_header(("Cache-Control", "no-store"))
            .json(json!({ "redirectTo": "/settings/passkeys?done=added" })),
        Err(error) => failure(&request, &error),
    }
}
