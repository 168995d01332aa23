//! An uploaded file becomes an import, which the worker then runs.

use uuid::Uuid;

use super::read::{Format, Import, get};
use crate::db::Tx;
use crate::error::{Code, Error, Result};
use crate::jobs::{self, RunImport};

/// Takes a file that arrived whole, and enqueues the reading of it in the same transaction.
///
/// # Errors
/// [`Code::FileUnusable`] when the file is not there, did not arrive whole, or is an import's already.
pub async fn start(tx: &Tx, upload: Uuid, format: Format) -> Result<Import> {
    let id = tx.new_id();
    let added = tx
        .run(
            "INSERT INTO import (owner_id, id, upload_id, format, filename, state, bytes_total, created_at) \
             SELECT u.owner_id, $2, u.id, $3, u.filename, 'queued', u.size, $4 FROM upload u \
             WHERE u.id = $1 AND u.completed_at IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM import i WHERE i.owner_id = u.owner_id AND i.upload_id = u.id)",
            [upload.into(), id.into(), format.as_str().into(), tx.now().into()],
        )
        .await?;
    if added == 0 {
        return Err(Error::invalid(
            "file",
            Code::FileUnusable,
            "The file did not arrive whole, or is used already.",
        ));
    }
    jobs::enqueue(tx, &RunImport { import_id: id }, &id.to_string()).await?;
    get(tx, id)
        .await?
        .ok_or_else(|| Error::internal("the import is gone"))
}
