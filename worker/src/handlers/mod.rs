//! What each kind of job does: a file a kind.

mod delete_account;
mod rotate_signing_keys;
mod run_import;
mod send_account_notice;
mod send_sign_in_link;
mod sweep;
