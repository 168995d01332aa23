//! The pages that people see while signing in: plain HTML without a script, under a strict policy.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use actix_web::{HttpResponse, web};
use askama::Template;
use domain::Error;
use domain::identity::sso::Choice;

use super::negotiate::{Code, Format, Refusal};

const STYLE: &str = include_str!("../../templates/pages.css");

/// Registers what the pages load.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/assets/pages.css")
            .route(web::get().to(style))
            .route(web::head().to(style)),
    );
}

async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(STYLE)
}

/// The form that asks for an address.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignIn<'a> {
    pub(super) email: &'a str,
    pub(super) return_to: &'a str,
    pub(super) again: bool,
    pub(super) problem: Option<&'a str>,
    /// Whether passkeys can be had at our address.
    pub(super) passkeys: bool,
    /// Where else one may sign in.
    pub(super) providers: Vec<Choice>,
}

/// A mail is on its way.
#[derive(Template)]
#[template(path = "sent.html")]
pub(super) struct Sent;

/// The button that spends a link.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(super) struct Confirm<'a> {
    pub(super) id: &'a str,
    pub(super) token: &'a str,
}

/// Signed in, with nowhere else to go.
#[derive(Template)]
#[template(path = "signed_in.html")]
pub(super) struct SignedIn;

/// Signed out.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub(super) struct SignedOut;

#[derive(Template)]
#[template(path = "problem.html")]
struct Problem<'a> {
    title: &'a str,
    text: &'a str,
}

/// What a page may do besides being looked at.
pub(super) struct Policy<'a> {
    /// Origins that a form's answer may lead to: browsers hold a redirect to `form-action` too.
    pub(super) leads_to: &'a [String],
    /// Whether the page's own address is a secret.
    pub(super) secret_address: bool,
    /// Whether it runs a script of ours, which calls us.
    pub(super) scripts: bool,
}

impl Policy<'_> {
    /// Forms to ourselves.
    pub(super) const PLAIN: Policy<'static> = Policy {
        leads_to: &[],
        secret_address: false,
        scripts: false,
    };
    /// The same, and a script of ours.
    pub(super) const SCRIPTED: Policy<'static> = Policy {
        scripts: true,
        ..Self::PLAIN
    };
}

/// A page, not to be kept by anyone.
pub(super) fn page(status: StatusCode, template: &impl Template, policy: &Policy<'_>) -> HttpResponse {
    let Ok(html) = template.render() else {
        return HttpResponse::InternalServerError().finish();
    };
    let mut targets = vec!["'self'"];
    targets.extend(policy.leads_to.iter().map(String::as_str));
    let scripts = if policy.scripts {
        " script-src 'self'; connect-src 'self';"
    } else {
        ""
    };
    let security = format!(
        "default-src 'none'; style-src 'self';{scripts} form-action {}; frame-ancestors 'none'; base-uri 'none'",
        targets.join(" ")
    );
    // From a page that sends no referrer a browser posts `Origin: null`, hence not everywhere.
    let referrer = if policy.secret_address {
        "no-referrer"
    } else {
        "same-origin"
    };
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, security))
        .insert_header((REFERRER_POLICY, referrer))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header(("X-Frame-Options", "DENY"))
        .insert_header(("X-Robots-Tag", "noindex"))
        .body(html)
}

/// A page that says what is wrong.
pub(super) fn problem(status: StatusCode, title: &str, text: &str) -> HttpResponse {
    page(status, &Problem { title, text }, &Policy::PLAIN)
}

/// The page for an error that no form explains.
pub(super) fn failure(error: &Error) -> HttpResponse {
    let refusal = Refusal::from(error);
    let (title, text) = match refusal.code() {
        Code::RateLimited => ("Too many attempts", "Please wait a few minutes, then try again."),
        Code::Unavailable => (
            "Not available right now",
            "This does not work at the moment. Please try again in a minute.",
        ),
        Code::Internal => ("Something went wrong", "This is our fault. Please try again."),
        Code::Forbidden => ("Not allowed", "You may not do this."),
        _ => ("This did not work", "Please go back and try again."),
    };
    // Who signs in has no bearer token, and is not asked for one.
    let status = match refusal.code() {
        Code::Unauthenticated => StatusCode::BAD_REQUEST,
        code => code.status(Format::Json),
    };
    let mut response = problem(status, title, text);
    if status != StatusCode::BAD_REQUEST {
        refusal.add_headers(&mut response);
    }
    response
}
