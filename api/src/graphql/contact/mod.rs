//! People.

pub(crate) mod input;
pub(crate) mod mutation;
pub(crate) mod page;
pub(crate) mod query;
pub(crate) mod types;
