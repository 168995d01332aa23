//! Looks every hour whether it is time for another signing key.

use domain::Viewer;
use domain::identity::keys;
use domain::jobs::RotateSigningKeys;

use crate::{Context, Failure, Handle};

impl Handle for RotateSigningKeys {
    async fn handle(self, ctx: &Context, _viewer: Option<Viewer>) -> Result<(), Failure> {
        keys::rotate(&ctx.db, ctx.config.signing_key_days).await?;
        Ok(())
    }
}
