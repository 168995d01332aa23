//! The first page of the settings: who is signed in, and where to go from here.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use domain::Result;
use domain::identity::account::{self, User};

use super::{refused, shown};
use crate::http::guard::page_viewer;
use crate::http::identity::Identity;
use crate::http::pages::{Policy, page};

const PATH: &str = "/settings";

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config.service(
        web::resource(PATH)
            .route(web::get().to(show))
            .route(web::head().to(show)),
    );
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Overview {
    user: User,
    since: String,
    /// When the account goes, if it does.
    goes: Option<String>,
}

async fn show(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    match read(&request, &identity).await {
        Ok(overview) => page(StatusCode::OK, &overview, &Policy::PLAIN),
        Err(error) => refused(&error, PATH),
    }
}

async fn read(request: &HttpRequest, identity: &Identity) -> Result<Overview> {
    let viewer = page_viewer(request, identity).await?;
    let user = account::me(&identity.db.read(&viewer).await?).await?;
    Ok(Overview {
        since: user.created_at.format("%-d %B %Y").to_string(),
        goes: user.delete_after.map(shown),
        user,
    })
}
