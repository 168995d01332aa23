//! Background work: what a job says, and the one way to enqueue it: within the transaction of what
//! causes it, so that both happen or neither.
//!
//! A payload holds ids, never rows and never secrets. Who the job runs for stands in its metadata,
//! written by the database from the transaction's settings.

use sea_orm::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Error, Result};

/// A kind of background work.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name of its queue.
    const KIND: &'static str;
    /// How often it is tried before it is given up.
    const MAX_ATTEMPTS: i32;
}

macro_rules! jobs {
    ($($(#[$about:meta])* $name:ident { $($field:ident: $type:ty),* } = $kind:literal, $attempts:literal;)*) => {
        $(
            $(#[$about])*
            #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            pub struct $name {
                $(#[expect(missing_docs, reason = "an id of the table it is named for")] pub $field: $type),*
            }
            impl Job for $name {
                const KIND: &'static str = $kind;
                const MAX_ATTEMPTS: i32 = $attempts;
            }
        )*
        /// Every queue's name.
        pub const KINDS: &[&str] = &[$($kind),*];
    };
}

jobs! {
    /// Sends the mail with a sign-in link.
    SendSignInLink { link_id: Uuid } = "send-sign-in-link", 8;
    /// Sends the mail that tells a user of a change to their account.
    SendAccountNotice { event_id: Uuid } = "send-account-notice", 8;
    /// Reads an uploaded file into contacts.
    RunImport { import_id: Uuid } = "run-import", 20;
    /// Enqueues the deletion of each account whose time has come.
    DeleteDueAccounts {} = "delete-due-accounts", 3;
    /// Deletes all that an owner has.
    DeleteAccount { owner_id: Uuid } = "delete-account", 50;
    /// Removes what nothing needs any more: files never finished, spent links, ended sessions and jobs.
    Sweep {} = "sweep", 3;
    /// Makes the next signing key when it is time, and destroys those that nothing needs any more.
    RotateSigningKeys {} = "rotate-signing-keys", 3;
}

/// Puts a job into the queue if none with this key is there. Returns whether it was new.
///
/// The key is the owner's own: another's equal key is another key.
///
/// # Errors
/// When the database refuses.
pub async fn enqueue<J: Job>(tx: &Tx, job: &J, key: &str) -> Result<bool> {
    let payload = serde_json::to_value(job).map_err(Error::internal)?;
    let row = tx
        .query_one_row(
            "SELECT enqueue_job($1, $2, $3, $4, $5, $6) AS added",
            [
                J::KIND.into(),
                payload.into(),
                key.into(),
                tx.now().into(),
                J::MAX_ATTEMPTS.into(),
                Value::from(crate::telemetry::trace_parent()),
            ],
        )
        .await?
        .ok_or_else(|| Error::internal("enqueue_job returned no row"))?;
    Ok(row.try_get("", "added")?)
}
