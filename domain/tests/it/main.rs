//! Tests of the domain on a real Postgres.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod isolation;
mod support;
