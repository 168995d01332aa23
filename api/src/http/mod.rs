//! What is HTTP and not GraphQL.

pub mod client;
mod cors;
pub(crate) mod documents;
pub mod envelope;
pub(crate) mod graphql;
pub mod guard;
mod headers;
pub mod health;
pub mod identity;
pub(crate) mod limits;
pub(crate) mod multipart;
pub(crate) mod negotiate;
mod origin;
mod pages;
pub mod server;
mod session;
mod settings;
mod sign_in;
pub(crate) mod types;
