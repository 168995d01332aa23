//! Sends the mail with a sign-in link. A second copy, after an answer that was lost, is the same to the
//! byte and carries the same `Message-ID`.

use domain::Viewer;
use domain::identity::link;
use domain::jobs::SendSignInLink;

use crate::mail::sign_in_link;
use crate::{Context, Failure, Handle};

impl Handle for SendSignInLink {
    async fn handle(self, ctx: &Context, _viewer: Option<Viewer>) -> Result<(), Failure> {
        // Spent or too old by now: nobody waits for it.
        let Some(mail) = link::mail_for(&ctx.db, self.link_id).await? else {
            return Ok(());
        };
        let message = sign_in_link::message(&ctx.config, self.link_id, &mail)?;
        ctx.mailer.send(&message).await
    }
}
