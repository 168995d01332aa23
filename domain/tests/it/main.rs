//! Tests of the domain on a real Postgres.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod contact;
mod isolation;
mod limit;
mod support;
mod telemetry;
