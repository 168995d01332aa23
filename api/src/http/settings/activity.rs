//! The page of what was done with a person's account.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use chrono::SecondsFormat;
use domain::identity::audit::{Kind, way};
use domain::identity::trail::{self, AuditEvent};
use domain::page::PageRequest;
use domain::{Error, Result};
use serde::Deserialize;

use super::browser_name::browser_name;
use super::{redirect, refused};
use crate::http::guard::page_viewer;
use crate::http::identity::Identity;
use crate::http::pages::{Policy, page};

const PATH: &str = "/settings/activity";
/// How many events one page shows.
const EVENTS: i32 = 50;

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config.service(
        web::resource(PATH)
            .route(web::get().to(show))
            .route(web::head().to(show)),
    );
}

#[derive(Template)]
#[template(path = "settings_activity.html")]
struct Activity {
    events: Vec<Row>,
    /// The cursor of the last, if there are older ones.
    older: Option<String>,
}

struct Row {
    /// RFC 3339, for programs.
    at: String,
    when: String,
    what: String,
    detail: Option<String>,
    browser: Option<String>,
    address: String,
}

impl From<AuditEvent> for Row {
    fn from(event: AuditEvent) -> Self {
        // One that a later release wrote has its stable name at least.
        let what = Kind::parse(&event.kind).map(Kind::sentence);
        let by = event.method.map(|method| format!(", by {}", way(&method)));
        Self {
            at: event.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            when: event.at.format("%-d %b %Y, %H:%M").to_string(),
            what: format!("{}{}", what.unwrap_or(&event.kind), by.unwrap_or_default()),
            detail: event.detail,
            browser: event.user_agent.map(|text| browser_name(Some(&text))),
            address: event.address.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct Place {
    after: Option<String>,
}

async fn show(request: HttpRequest, identity: Data<Identity>, place: Option<Query<Place>>) -> HttpResponse {
    let after = place.and_then(|place| place.into_inner().after);
    match read(&request, &identity, after).await {
        Ok(activity) => page(StatusCode::OK, &activity, &Policy::PLAIN),
        // A cursor that is none of ours: the beginning.
        Err(Error::Invalid(_)) => redirect(PATH),
        Err(error) => refused(&error, PATH),
    }
}

async fn read(request: &HttpRequest, identity: &Identity, after: Option<String>) -> Result<Activity> {
    let viewer = page_viewer(request, identity).await?;
    let wish = PageRequest::new(Some(EVENTS), None, after, None)?;
    let events = trail::list(&identity.db.read(&viewer).await?, &wish).await?;
    let last = events.items.last().filter(|_| events.has_next);
    Ok(Activity {
        older: last.map(|event| trail::cursor(event).encode()),
        events: events.items.into_iter().map(Row::from).collect(),
    })
}
