//! The pages of a person's own account: how they sign in, where they are signed in, what was done. Each page
//! is one module; here is what they share.

mod account;
mod activity;
mod api_keys;
mod browser_name;
mod overview;
mod passkeys;
mod sessions;
mod sign_in;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use domain::{Error, Viewer};

use super::guard::page_viewer;
use super::identity::Identity;
use super::origin;
use super::pages::{failure, problem};

/// Registers every page of the settings.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    overview::configure(config);
    sign_in::configure(config);
    passkeys::configure(config);
    sessions::configure(config);
    api_keys::configure(config);
    activity::configure(config);
    account::configure(config);
}

/// Who posts a form of the settings page `path`; else the answer that says no.
///
/// # Errors
/// The answer.
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

/// A time as the pages show it.
pub(super) fn shown(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}
