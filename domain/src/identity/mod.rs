//! Who signs in, and how.

pub mod link;
pub mod token;
