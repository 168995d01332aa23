//! The page on which a person has their account deleted, and keeps it after all.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use domain::db::Freshness;
use domain::identity::{account, deletion};
use domain::{Result, Tx};
use serde::Deserialize;

use super::{poster, redirect, refused, shown};
use crate::http::guard::page_viewer;
use crate::http::identity::Identity;
use crate::http::pages::{Policy, page};

const PATH: &str = "/settings/account";

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(PATH)
                .route(web::get().to(show))
                .route(web::head().to(show)),
        )
        .service(web::resource("/settings/account/delete").route(web::post().to(delete)))
        .service(web::resource("/settings/account/keep").route(web::post().to(keep)));
}

#[derive(Template)]
#[template(path = "settings_account.html")]
struct Account {
    /// When the account goes, if it does.
    goes: Option<String>,
    problem: Option<&'static str>,
}

async fn show(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    answer(&request, &identity, StatusCode::OK, None).await
}

async fn answer(
    request: &HttpRequest,
    identity: &Identity,
    status: StatusCode,
    problem: Option<&'static str>,
) -> HttpResponse {
    let read = async {
        let viewer = page_viewer(request, identity).await?;
        account::me(&identity.db.read(&viewer).await?).await
    };
    match read.await {
        Ok(user) => {
            let goes = user.delete_after.map(shown);
            page(status, &Account { goes, problem }, &Policy::PLAIN)
        }
        Err(error) => refused(&error, PATH),
    }
}

#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    sure: String,
}

async fn delete(request: HttpRequest, identity: Data<Identity>, wish: Form<Wish>) -> HttpResponse {
    if wish.sure != "yes" {
        let problem = Some("Please tick the box if you are sure.");
        return match poster(&request, &identity, PATH).await {
            Ok(_) => answer(&request, &identity, StatusCode::UNPROCESSABLE_ENTITY, problem).await,
            Err(answer) => answer,
        };
    }
    change(&request, &identity, Freshness::Recent, async |tx| {
        deletion::request(tx).await.map(drop)
    })
    .await
}

async fn keep(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    change(&request, &identity, Freshness::Any, async |tx| {
        deletion::cancel(tx).await
    })
    .await
}

async fn change(
    request: &HttpRequest,
    identity: &Identity,
    freshness: Freshness,
    operation: impl AsyncFnOnce(&Tx) -> Result<()>,
) -> HttpResponse {
    let viewer = match poster(request, identity, PATH).await {
        Ok(viewer) => viewer,
        Err(answer) => return answer,
    };
    let done = async {
        let tx = identity.db.begin_account(&viewer, freshness).await?;
        operation(&tx).await?;
        tx.commit().await
    };
    match done.await {
        Ok(()) => redirect(PATH),
        Err(error) => refused(&error, PATH),
    }
}
