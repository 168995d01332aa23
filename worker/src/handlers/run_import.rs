//! Reads an uploaded file into contacts. Repeats nothing of an earlier attempt that was cut short.

use domain::Viewer;
use domain::jobs::RunImport;

use crate::{Context, Failure, Handle};

impl Handle for RunImport {
    async fn handle(self, ctx: &Context, viewer: Option<Viewer>) -> Result<(), Failure> {
        let viewer = Failure::unless_viewed(viewer)?;
        domain::import::run::run(&ctx.db, &viewer, self.import_id).await?;
        Ok(())
    }
}
