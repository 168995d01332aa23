//! The API as its clients meet it: over HTTP, on a real Postgres and Redis.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod browser;
mod contact;
mod documents;
mod envelope;
mod graphql_http;
mod health;
mod import;
mod isolation;
mod sign_in;
mod support;
