//! GraphiQL, on a developer's machine alone: a page that talks to `/graphql` with a token pasted into its headers.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use async_graphql::http::GraphiQLSource;

/// The page loads its scripts from their publisher.
const POLICY: &str = "default-src 'self' https://unpkg.com; script-src 'unsafe-inline' https://unpkg.com; \
    style-src 'unsafe-inline' https://unpkg.com; img-src * data:; font-src data: https://unpkg.com; \
    worker-src blob:; frame-ancestors 'none'";

/// Registers the page.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.route("/graphiql", web::get().to(page));
}

async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .content_type("text/html; charset=utf-8")
        .body(GraphiQLSource::build().endpoint("/graphql").finish())
}
