//! Tests of the API on real parts.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod envelope;
mod health;
