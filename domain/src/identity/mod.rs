//! Who signs in, and how: mailed links, sessions, access tokens and the keys that sign them.

pub mod account;
pub mod api_key;
pub mod audit;
pub mod browser;
pub mod ceremony;
mod client;
pub mod deletion;
pub mod email;
pub mod keys;
pub mod link;
pub mod methods;
pub mod own_session;
pub mod passkey;
mod recovery_code;
pub mod refresh_token;
pub mod return_to;
pub mod scope;
pub mod second_factor;
pub mod session;
pub mod sign_in;
pub mod sso;
pub mod token;
pub mod trail;
