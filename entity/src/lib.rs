//! SeaORM entities: one file a table, no rules.
//!
//! Each owned entity has one door, [`Owned::visible_to`]; the others are closed by clippy's
//! `disallowed-methods` in the crates that use this one.

pub mod affiliation;
pub mod app_user;
pub mod audit_event;
pub mod company;
pub mod contact;
pub mod contact_address;
pub mod contact_date;
pub mod contact_email;
pub mod contact_link;
pub mod contact_phone;
pub mod contact_tag;
pub mod data_key;
pub mod import;
pub mod import_digest;
pub mod import_row;
pub mod note;
pub mod owner;
pub mod session;
pub mod sign_in_link;
pub mod signing_key;
pub mod tag;
pub mod upload;
pub mod upload_chunk;
pub mod user_email;

mod ciphertext;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};
use uuid::Uuid;

pub use ciphertext::Ciphertext;

/// What a table is to the journal; see the class's procedure in the first migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What a user keeps: journaled, in history, undo and feed.
    Content,
    /// Who may sign in and how: audited, never undone.
    Account,
    /// What the product needs to work: neither.
    Machinery,
}

/// Every table of the product and its class. A test compares this with the catalog of the database.
pub const TABLES: &[(&str, Class)] = &[
    ("affiliation", Class::Content),
    ("api_key", Class::Account),
    ("app_user", Class::Account),
    ("audit_event", Class::Machinery),
    ("ceremony", Class::Account),
    ("company", Class::Content),
    ("contact", Class::Content),
    ("contact_address", Class::Content),
    ("contact_date", Class::Content),
    ("contact_email", Class::Content),
    ("contact_link", Class::Content),
    ("contact_phone", Class::Content),
    ("contact_search", Class::Machinery),
    ("contact_search_due", Class::Machinery),
    ("contact_tag", Class::Content),
    ("data_key", Class::Machinery),
    ("environment", Class::Machinery),
    ("external_identity", Class::Account),
    ("import", Class::Machinery),
    ("import_digest", Class::Machinery),
    ("import_row", Class::Machinery),
    ("journal", Class::Machinery),
    ("known_client", Class::Account),
    ("note", Class::Content),
    ("owner", Class::Machinery),
    ("passkey", Class::Account),
    ("recovery_code", Class::Account),
    ("session", Class::Account),
    ("sign_in_link", Class::Account),
    ("signing_key", Class::Account),
    ("tag", Class::Content),
    ("upload", Class::Machinery),
    ("upload_chunk", Class::Machinery),
    ("user_email", Class::Account),
];

/// An entity whose rows belong to an owner.
pub trait Owned: EntityTrait {
    /// The column that names the owner.
    fn owner_column() -> Self::Column;

    /// The one way to begin a query: the rows of `owner`. Row-level security says the same again, so
    /// that a query begun otherwise still sees nothing of anybody else.
    fn visible_to(owner: Uuid) -> Select<Self> {
        Self::find().filter(Self::owner_column().eq(owner))
    }
}
