//! Who signs in, and how.

pub mod token;
