//! The end of an account: asked for by its user, with a week to change their mind. Until then it works as before,
//! but for API keys, which are refused. What goes then, and how, is in [`crate::erasure`].

use chrono::{DateTime, TimeDelta, Utc};

use super::audit::{self, Event, Kind};
use super::own_session;
use crate::db::Tx;
use crate::error::{Error, Result};

/// How long a user may change their mind.
pub const GRACE: TimeDelta = TimeDelta::days(7);

/// Asks for the end of the viewer's account, and ends their other sessions. Returns when it goes; asked for
/// again, that stays as it was.
///
/// # Errors
/// [`Error::NotFound`] when the account has just gone.
pub async fn request(tx: &Tx) -> Result<DateTime<Utc>> {
    let user = tx.viewer()?.user();
    let asked = tx
        .query_one_row(
            "UPDATE app_user SET deletion_requested_at = $2, delete_after = $3 \
             WHERE id = $1 AND delete_after IS NULL RETURNING delete_after",
            [user.into(), tx.now().into(), (tx.now() + GRACE).into()],
        )
        .await?;
    if let Some(row) = asked {
        own_session::end_others(tx).await?;
        audit::record_own(tx, Event::new(Kind::DeletionRequested)).await?;
        return Ok(row.try_get("", "delete_after")?);
    }
    let asked_before = tx
        .query_one_row("SELECT delete_after FROM app_user WHERE id = $1", [user.into()])
        .await?
        .ok_or(Error::NotFound)?;
    Ok(asked_before.try_get("", "delete_after")?)
}

/// Keeps the viewer's account after all. Keeping one that is not to be deleted is no error.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn cancel(tx: &Tx) -> Result<()> {
    let kept = tx
        .run(
            "UPDATE app_user SET deletion_requested_at = NULL, delete_after = NULL \
             WHERE id = $1 AND delete_after IS NOT NULL",
            [tx.viewer()?.user().into()],
        )
        .await?;
    if kept > 0 {
        audit::record_own(tx, Event::new(Kind::DeletionCancelled)).await?;
    }
    Ok(())
}
