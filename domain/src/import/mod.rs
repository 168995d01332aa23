//! Imports: a contact file becomes contacts, and every row has an outcome.

pub mod decode;
pub mod draft;
pub mod google;
pub mod run;
pub mod table;
