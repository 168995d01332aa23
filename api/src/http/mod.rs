//! What is HTTP and not GraphQL.

pub mod client;
mod cors;
pub(crate) mod documents;
pub mod envelope;
pub(crate) mod gate;
pub(crate) mod graphiql;
pub(crate) mod graphql;
pub mod guard;
mod headers;
pub mod health;
pub mod https;
pub mod identity;
pub(crate) mod limits;
pub(crate) mod multipart;
pub(crate) mod negotiate;
mod origin;
mod pages;
mod passkey;
mod second_factor;
pub mod server;
mod session;
mod settings;
mod sign_in;
mod sso;
pub mod tls;
pub(crate) mod types;
pub(crate) mod uploads;
