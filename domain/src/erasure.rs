//! The end of accounts whose users asked for it (see [`crate::identity::deletion`]) and did not change their mind.
//!
//! First the owner's keys are destroyed, with all ways to sign in: from then on there is no way back, and what is
//! sealed can't be read, whatever copies there are of the rows. Then the rows go, some thousand in a transaction,
//! the journal last, and the owner. Cut short anywhere, it goes on where it was.

use uuid::Uuid;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::jobs::{self, DeleteAccount};

/// How many rows one transaction deletes: a moment's work, also of the largest (a piece of a file).
const ROWS_AT_ONCE: i32 = 2000;
/// How many accounts one tick has deleted; more wait for the next.
const ACCOUNTS_AT_ONCE: i32 = 1000;

/// Enqueues one job for each account whose end is due, and for each whose end was cut short. Returns how many are
/// new.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn enqueue_due(db: &Db) -> Result<usize> {
    let tx = db.begin_system().await?;
    let owners = tx
        .query(
            "SELECT owner FROM accounts_to_delete($1, $2) AS owner",
            [tx.now().into(), ACCOUNTS_AT_ONCE.into()],
        )
        .await?;
    // A job that is given up is followed by another the next day.
    let day = tx.now().date_naive();
    let mut new = 0;
    for row in owners {
        let owner_id: Uuid = row.try_get("", "owner")?;
        let key = format!("{owner_id}:{day}");
        new += usize::from(jobs::enqueue(&tx, &DeleteAccount { owner_id }, &key).await?);
    }
    tx.commit().await?;
    Ok(new)
}

/// Deletes all that an owner has, if its end is due and was not taken back. Returns whether there was anything to
/// delete.
///
/// # Errors
/// When the database refuses or is gone: what is deleted stays so, and the next time goes on.
pub async fn run(db: &Db, owner: Uuid) -> Result<bool> {
    let tx = db.begin_system().await?;
    let row = tx
        .query_one_row(
            "SELECT begin_account_deletion($1, $2) AS more",
            [owner.into(), tx.now().into()],
        )
        .await?
        .ok_or_else(|| Error::internal("begin_account_deletion returned no row"))?;
    let begun: bool = row.try_get("", "more")?;
    tx.commit().await?;
    if begun {
        while delete_some(db, owner).await? {}
    }
    Ok(begun)
}

async fn delete_some(db: &Db, owner: Uuid) -> Result<bool> {
    let tx = db.begin_system().await?;
    let row = tx
        .query_one_row(
            "SELECT continue_account_deletion($1, $2) AS more",
            [owner.into(), ROWS_AT_ONCE.into()],
        )
        .await?
        .ok_or_else(|| Error::internal("continue_account_deletion returned no row"))?;
    let more = row.try_get("", "more")?;
    tx.commit().await?;
    Ok(more)
}
