//! The rules of the product: every operation, taking who asks. Both binaries call it.

pub mod clock;
pub mod company;
pub mod config;
pub mod contact;
pub mod crypto;
pub mod db;
pub mod email_address;
pub mod erasure;
pub mod error;
pub mod identity;
pub mod import;
pub mod jobs;
pub mod limit;
pub mod network;
pub mod note;
pub mod page;
pub mod partial_date;
pub mod phone_number;
pub mod sweep;
pub mod tag;
pub mod telemetry;
#[cfg(feature = "testing")]
#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "for tests, which end when something is missing"
)]
pub mod testing;
pub mod upload;
pub mod viewer;

pub use config::{Config, Environment};
pub use db::{Db, Tx};
pub use error::{Code, Error, Result, UserError};
pub use viewer::Viewer;
