//! Tests of the domain on a real Postgres.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod api_key;
mod audit;
mod contact;
mod erasure;
mod identity;
mod import;
mod isolation;
mod limit;
mod passkey;
mod second_factor;
mod session;
mod signing_key;
mod support;
mod telemetry;
mod token;
