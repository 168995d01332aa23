//! Deletes the accounts whose time has come: a tick looks for them, and each is a job of its own.

use domain::Viewer;
use domain::erasure;
use domain::jobs::{DeleteAccount, DeleteDueAccounts};

use crate::{Context, Failure, Handle};

impl Handle for DeleteDueAccounts {
    async fn handle(self, ctx: &Context, _viewer: Option<Viewer>) -> Result<(), Failure> {
        let accounts = erasure::enqueue_due(&ctx.db).await?;
        tracing::info!(accounts, "accounts are due to be deleted");
        Ok(())
    }
}

impl Handle for DeleteAccount {
    async fn handle(self, ctx: &Context, _viewer: Option<Viewer>) -> Result<(), Failure> {
        let deleted = erasure::run(&ctx.db, self.owner_id).await?;
        tracing::info!(deleted, "an account's end");
        Ok(())
    }
}
