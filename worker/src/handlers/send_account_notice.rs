//! Sends the mail about a change to an account.

use domain::Viewer;
use domain::identity::audit;
use domain::jobs::SendAccountNotice;

use crate::mail::account_notice;
use crate::{Context, Failure, Handle};

impl Handle for SendAccountNotice {
    async fn handle(self, ctx: &Context, _viewer: Option<Viewer>) -> Result<(), Failure> {
        // The account may be gone by now.
        let Some(notice) = audit::notice_for(&ctx.db, self.event_id).await? else {
            return Ok(());
        };
        match account_notice::message(&ctx.config, self.event_id, &notice)? {
            Some(message) => ctx.mailer.send(&message).await,
            None => Ok(()),
        }
    }
}
