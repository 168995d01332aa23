//! The background half of the product: takes jobs from the queue and runs them through the rules of
//! `domain`, for the viewer that the queue's own metadata names.
//!
//! How a job is written and what becomes of it is told in `docs/jobs.md`.

pub mod context;
pub mod drain;
pub mod handlers;
pub mod job;
pub mod mail;
mod notify;
pub mod queue;
pub mod register;
pub mod run;
pub mod schedule;

pub use context::Context;
pub use drain::drain;
pub use job::{Failure, Handle, Kind};
