//! The pages of a person's own account: how they sign in, where they are signed in, what was done. Each page
//! is one module; here is what they share.

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, web};
use domain::{Error, Viewer};

use super::guard::page_viewer;
use super::identity::Identity;
use super::pages::{Policy, failure, page, problem};
use super::{origin, pages};
use actix_web::http::StatusCode;

/// Registers every page of the settings.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource("/settings").route(web::get().to(overview)));
}

async fn overview(request: HttpRequest, identity: Data<Identity>) -> HttpResponse {
    match page_viewer(&request, &identity).await {
        Ok(_) => page(StatusCode::OK, &pages::Settings, &Policy::PLAIN),
        Err(error) => refused(&error, "/settings"),
    }
}

/// Who posts a form of the settings page `path`; else the answer that says no.
///
/// # Errors
/// The answer.
#[expect(dead_code, reason = "the pages come next")]
pub(super) async fn poster(
    request: &HttpRequest,
    identity: &Identity,
    path: &str,
) -> Result<Viewer, HttpResponse> {
    if !origin::is_own_form(request, identity.origin(), false) {
        return Err(problem(
            StatusCode::FORBIDDEN,
            "Not from here",
            "This form was sent from another site. Please begin again.",
        ));
    }
    page_viewer(request, identity)
        .await
        .map_err(|error| refused(&error, path))
}

/// The answer to who may not do it (yet): signing in, or signing in again, and back to `path`.
pub(super) fn refused(error: &Error, path: &str) -> HttpResponse {
    let again = match error {
        Error::Unauthenticated => "",
        Error::StepUpRequired => "again=true&",
        other => return failure(other),
    };
    redirect(&format!("/sign-in?{again}return_to={path}"))
}

/// To a page of ours, which is fetched with GET.
pub(super) fn redirect(to: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, to))
        .insert_header((CACHE_CONTROL, "no-store"))
        .finish()
}
