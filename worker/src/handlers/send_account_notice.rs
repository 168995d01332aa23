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
        let mut failed = None;
        for message in account_notice::messages(&ctx.config, self.event_id, &notice)? {
            // What one mailbox refuses, the others still get. Those who have theirs get the same again.
            match (ctx.mailer.send(&message).await, &failed) {
                (Err(Failure::Permanent(_)), Some(Failure::Retry(_))) | (Ok(()), _) => {}
                (Err(failure), _) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
