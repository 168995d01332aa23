//! The end of an account, and the way back. Nothing of it is for API keys.

use async_graphql::{Context, Object, Result};
use chrono::{DateTime, Utc};
use domain::db::Freshness;
use domain::identity::{account, deletion};

use super::account::User;
use super::error::{mutate_account, payload};
use super::scope::SessionOnly;

payload! {
    SessionOnly, "For sessions only.",
    /// What `requestAccountDeletion` did.
    RequestAccountDeletionPayload,
    /// When the account goes, unless `cancelAccountDeletion` is called before.
    delete_after: DateTime<Utc>
}
payload! {
    SessionOnly, "For sessions only.",
    /// What `cancelAccountDeletion` did.
    CancelAccountDeletionPayload,
    /// The person, whose account stays.
    user: User
}

#[derive(Default)]
pub(crate) struct DeletionMutation;

#[Object(guard = "SessionOnly")]
impl DeletionMutation {
    /// Has the account deleted in seven days, with all that is in it. Until then it can be kept after all; all other
    /// sessions end now, and API keys are refused meanwhile. The person is mailed. Wants a sign-in not older than
    /// 10 minutes, and else answers `STEP_UP_REQUIRED`.
    /// For sessions only.
    async fn request_account_deletion(&self, ctx: &Context<'_>) -> Result<RequestAccountDeletionPayload> {
        let asked = mutate_account(ctx, Freshness::Recent, "", async |tx| deletion::request(tx).await);
        Ok(RequestAccountDeletionPayload::of(asked.await?, |at, _| at))
    }

    /// Keeps the account after all. The person is mailed.
    /// For sessions only.
    async fn cancel_account_deletion(&self, ctx: &Context<'_>) -> Result<CancelAccountDeletionPayload> {
        let kept = mutate_account(ctx, Freshness::Any, "", async |tx| {
            deletion::cancel(tx).await?;
            account::me(tx).await
        });
        Ok(CancelAccountDeletionPayload::of(kept.await?, User::new))
    }
}
