//! The API: HTTP in, GraphQL out.

pub mod app;
pub mod graphql;
pub mod http;
