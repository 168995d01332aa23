//! The page of a person's API keys: making one, which is shown once, and revoking it.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use domain::db::{Freshness, STEP_UP};
use domain::identity::api_key::{self, ApiKey, KeyText, NewApiKey};
use domain::identity::own_session;
use domain::identity::scope::Scope;
use domain::{Error, Result, Tx};
use serde::Deserialize;
use uuid::Uuid;

use super::{poster, redirect, refused, shown};
use crate::http::guard::page_viewer;
use crate::http::identity::{Identity, forms};
use crate::http::pages::{Policy, page};

const PATH: &str = "/settings/api-keys";

/// How long a key may be good: days, and what the page calls them.
const LIFETIMES: [(i64, &str); 5] = [
    (30, "30 days"),
    (90, "90 days"),
    (365, "1 year"),
    (2 * 365, "2 years"),
    (5 * 365, "5 years"),
];
const USUAL: i64 = 365;

pub(super) fn configure(config: &mut web::ServiceConfig) {
    let form = |path, post: actix_web::Route| web::resource(path).app_data(forms()).route(post);
    config
        .service(
            web::resource(PATH)
                .route(web::get().to(show))
                .route(web::head().to(show)),
        )
        .service(form("/settings/api-keys/create", web::post().to(create)))
        .service(form("/settings/api-keys/revoke", web::post().to(revoke)));
}

#[derive(Template)]
#[template(path = "settings_api_keys.html")]
struct ApiKeys {
    keys: Vec<Row>,
    /// Whether the person showed who they are so lately that they may make one.
    recent: bool,
    problem: Option<String>,
    typed: Typed,
}

struct Row {
    id: Uuid,
    name: String,
    hint: String,
    scopes: String,
    created_at: String,
    last_used_at: Option<String>,
    expires_at: String,
    /// Why it opens nothing any more.
    ended: Option<String>,
}

impl Row {
    fn new(key: ApiKey, now: DateTime<Utc>) -> Self {
        let scopes: Vec<&str> = key.scopes.iter().map(Scope::as_str).collect();
        let ended = match key.revoked_at {
            Some(at) => Some(format!("Revoked {}", shown(at))),
            None if !key.is_good(now) => Some(format!("Expired {}", shown(key.expires_at))),
            None => None,
        };
        Self {
            id: key.id,
            name: key.name,
            hint: key.hint,
            scopes: scopes.join(", "),
            created_at: shown(key.created_at),
            last_used_at: key.last_used_at.map(shown),
            expires_at: shown(key.expires_at),
            ended,
        }
    }
}

/// What the form that makes a key holds. Its fields are read as they come, since a scope is one of several fields of
/// the same name.
struct Typed {
    name: String,
    scopes: Vec<String>,
    days: i64,
}

impl Default for Typed {
    fn default() -> Self {
        Self {
            name: String::new(),
            scopes: Vec::new(),
            days: USUAL,
        }
    }
}

impl Typed {
    fn read(fields: Vec<(String, String)>) -> Self {
        let mut typed = Self::default();
        for (field, value) in fields {
            match field.as_str() {
                "name" => typed.name = value,
                "scope" => typed.scopes.push(value),
                "days" => {
                    let offered = LIFETIMES.into_iter().find(|(days, _)| days.to_string() == value);
                    typed.days = offered.map_or(USUAL, |(days, _)| days);
                }
                _ => {}
            }
        }
        typed
    }

    fn has(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|text| text == scope.as_str())
    }

    fn key(&self, now: DateTime<Utc>) -> NewApiKey {
        NewApiKey {
            name: self.name.clone(),
            scopes: self.scopes.clone(),
            expires_at: Some(now + TimeDelta::days(self.days)),
        }
    }
}

/// A key, which no other page ever shows.
#[derive(Template)]
#[template(path = "settings_api_key.html")]
struct Made {
    name: String,
    text: KeyText,
    expires_at: String,
}

async fn show(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    match read(&request, &identity).await {
        Ok(keys) => page(StatusCode::OK, &keys, &Policy::PLAIN),
        Err(error) => refused(&error, PATH),
    }
}

async fn read(request: &HttpRequest, identity: &Identity) -> Result<ApiKeys> {
    let viewer = page_viewer(request, identity).await?;
    let tx = identity.db.read(&viewer).await?;
    let sessions = own_session::list(&tx).await?;
    let current = sessions.iter().find(|session| session.is_current);
    let keys = api_key::list(&tx).await?.into_iter();
    Ok(ApiKeys {
        keys: keys.map(|key| Row::new(key, tx.now())).collect(),
        recent: current.is_some_and(|session| session.authenticated_at > tx.now() - STEP_UP),
        problem: None,
        typed: Typed::default(),
    })
}

async fn create(
    request: HttpRequest,
    identity: Data<Identity>,
    form: Form<Vec<(String, String)>>,
) -> HttpResponse {
    let typed = Typed::read(form.into_inner());
    let now = identity.db.clock().now();
    let made = change(&request, &identity, Freshness::Recent, async |tx| {
        api_key::create(tx, typed.key(now)).await
    });
    match made.await {
        Ok((key, text)) => {
            let made = Made {
                name: key.name,
                text,
                expires_at: shown(key.expires_at),
            };
            page(StatusCode::OK, &made, &Policy::PLAIN)
        }
        Err(Refused::Answered(answer)) => answer,
        Err(Refused::Because(Error::Invalid(errors))) => match read(&request, &identity).await {
            Ok(keys) => {
                let messages: Vec<&str> = errors.iter().map(|error| error.message.as_ref()).collect();
                let told = ApiKeys {
                    problem: Some(messages.join(" ")),
                    typed,
                    ..keys
                };
                page(StatusCode::UNPROCESSABLE_ENTITY, &told, &Policy::PLAIN)
            }
            Err(error) => refused(&error, PATH),
        },
        Err(Refused::Because(error)) => refused(&error, PATH),
    }
}

#[derive(Deserialize)]
struct Which {
    id: Uuid,
}

async fn revoke(request: HttpRequest, identity: Data<Identity>, form: Form<Which>) -> HttpResponse {
    let revoked = change(&request, &identity, Freshness::Any, async |tx| {
        api_key::revoke(tx, form.id).await
    });
    match revoked.await {
        // One that is not there (any more) opens nothing either.
        Ok(_) | Err(Refused::Because(Error::NotFound)) => redirect(PATH),
        Err(Refused::Answered(answer)) => answer,
        Err(Refused::Because(error)) => refused(&error, PATH),
    }
}

/// Why nothing was changed.
enum Refused {
    /// The form was not to be read at all.
    Answered(HttpResponse),
    /// What the domain says.
    Because(Error),
}

async fn change<T>(
    request: &HttpRequest,
    identity: &Identity,
    freshness: Freshness,
    operation: impl AsyncFnOnce(&Tx) -> Result<T>,
) -> Result<T, Refused> {
    let viewer = poster(request, identity, PATH).await.map_err(Refused::Answered)?;
    let done = async {
        let tx = identity.db.begin_account(&viewer, freshness).await?;
        let done = operation(&tx).await?;
        tx.commit().await?;
        Ok(done)
    };
    done.await.map_err(Refused::Because)
}
