//! The API as its clients meet it: over HTTP, on a real Postgres and Redis.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod account;
mod api_key;
mod away;
mod browser;
mod concurrent;
mod contact;
mod deletion;
mod documents;
mod envelope;
mod graphiql;
mod graphql_http;
mod health;
mod https;
mod import;
mod isolation;
mod key_rotation;
mod passkey;
mod passkey_graphql;
mod provider;
mod routes;
mod scopes;
mod session_end;
mod settings;
mod sign_in;
mod sign_in_by_mail;
mod sign_in_methods;
mod slow_client;
mod sso;
mod sso_accounts;
mod sso_attacks;
mod sso_certified;
mod sso_faults;
mod sso_oauth;
mod support;
mod tls;
