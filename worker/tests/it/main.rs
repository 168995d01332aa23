//! Tests of the worker on a real Postgres and a real mail server.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod enqueue;
mod erasure;
mod failure;
mod fetch;
mod import;
mod life;
mod mail;
mod notice;
mod process;
mod schedule;
mod support;
mod sweep;
