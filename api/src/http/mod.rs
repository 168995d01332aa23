//! What is HTTP and not GraphQL.

mod cors;
pub(crate) mod documents;
pub mod envelope;
pub(crate) mod graphiql;
pub(crate) mod graphql;
mod headers;
pub mod health;
pub(crate) mod limits;
pub(crate) mod multipart;
pub(crate) mod negotiate;
pub mod server;
pub(crate) mod types;
