//! Imports: a contact file becomes contacts, and every row has an outcome.
//!
//! [`start()`] takes an uploaded file and enqueues the job; [`run::run`] is the job; [`get`], [`list`] and
//! [`rows`] say what became of it. The reader is [`decode`] (bytes to text), [`table`] (text to rows) and
//! [`google`] (rows to [`draft`]s); `matching` says which contact a row is about.

mod batch;
pub mod decode;
pub mod draft;
mod file;
pub mod google;
mod lookup;
mod matching;
mod person;
mod read;
pub mod run;
#[cfg(feature = "testing")]
pub mod sample;
mod start;
pub mod table;
mod write;

pub use read::{Format, Import, ImportRow, ImportState, RowOutcome, count, get, get_many, list, rows};
pub use start::start;
