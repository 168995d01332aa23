//! The page of a person's sessions: where they are signed in, and the end of that.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use domain::db::Freshness;
use domain::identity::audit::way;
use domain::identity::own_session::{self, OwnSession};
use domain::{Error, Result, Tx};
use serde::Deserialize;
use uuid::Uuid;

use super::browser_name::browser_name;
use super::{poster, redirect, refused, shown};
use crate::http::guard::page_viewer;
use crate::http::identity::Identity;
use crate::http::pages::{Policy, page};

const PATH: &str = "/settings/sessions";

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(PATH)
                .route(web::get().to(show))
                .route(web::head().to(show)),
        )
        .service(web::resource("/settings/sessions/end").route(web::post().to(end)))
        .service(web::resource("/settings/sessions/end-others").route(web::post().to(end_others)))
        .service(web::resource("/settings/sessions/end-all").route(web::post().to(end_all)));
}

#[derive(Template)]
#[template(path = "settings_sessions.html")]
struct Sessions {
    sessions: Vec<Row>,
}

struct Row {
    id: Uuid,
    browser: String,
    how: String,
    address: Option<String>,
    created_at: String,
    last_used_at: String,
    is_current: bool,
}

impl From<OwnSession> for Row {
    fn from(session: OwnSession) -> Self {
        let first = session.provider.unwrap_or(session.method);
        let second = session
            .second_factor
            .map(|factor| format!(" and {}", way(&factor)));
        Self {
            id: session.id,
            browser: browser_name(session.user_agent.as_deref()),
            how: format!("Signed in by {}{}", way(&first), second.unwrap_or_default()),
            address: session.address,
            created_at: shown(session.created_at),
            last_used_at: shown(session.last_used_at),
            is_current: session.is_current,
        }
    }
}

async fn show(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    match read(&request, &identity).await {
        Ok(sessions) => page(StatusCode::OK, &sessions, &Policy::PLAIN),
        Err(error) => refused(&error, PATH),
    }
}

async fn read(request: &HttpRequest, identity: &Identity) -> Result<Sessions> {
    let viewer = page_viewer(request, identity).await?;
    let mut sessions = own_session::list(&identity.db.read(&viewer).await?).await?;
    sessions.sort_by_key(|session| !session.is_current);
    Ok(Sessions {
        sessions: sessions.into_iter().map(Row::from).collect(),
    })
}

#[derive(Deserialize)]
struct Which {
    id: Uuid,
}

async fn end(request: HttpRequest, identity: Data<Identity>, form: Form<Which>) -> HttpResponse {
    let ended = change(&request, &identity, async |tx| {
        match own_session::end(tx, form.id).await {
            // Somebody else was faster, or it has ended by itself: that is what was wanted.
            Err(Error::NotFound) => Ok(()),
            other => other,
        }
    });
    ended.await
}

async fn end_others(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    change(&request, &identity, async |tx| {
        own_session::end_others(tx).await.map(drop)
    })
    .await
}

async fn end_all(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    change(&request, &identity, async |tx| {
        own_session::end_all(tx).await.map(drop)
    })
    .await
}

/// Does it, and shows what is left; to who ended their own session, that they are signed out.
async fn change(
    request: &HttpRequest,
    identity: &Identity,
    operation: impl AsyncFnOnce(&Tx) -> Result<()>,
) -> HttpResponse {
    let viewer = match poster(request, identity, PATH).await {
        Ok(viewer) => viewer,
        Err(answer) => return answer,
    };
    let done = async {
        let tx = identity.db.begin_account(&viewer, Freshness::Any).await?;
        operation(&tx).await?;
        tx.commit().await
    };
    if let Err(error) = done.await {
        return refused(&error, PATH);
    }
    match page_viewer(request, identity).await {
        Err(Error::Unauthenticated) => redirect("/sign-in/out"),
        _ => redirect(PATH),
    }
}
