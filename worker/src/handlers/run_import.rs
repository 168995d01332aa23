//! Reads an uploaded file into contacts. Repeats nothing of an earlier attempt that was cut short.

use domain::Viewer;
use domain::import::run;
use domain::jobs::RunImport;

use crate::{Context, Failure, Handle};

impl Handle for RunImport {
    async fn handle(self, ctx: &Context, viewer: Option<Viewer>) -> Result<(), Failure> {
        let viewer = Failure::unless_viewed(viewer)?;
        run::run(&ctx.db, &viewer, self.import_id).await?;
        Ok(())
    }

    /// Says so to who waits for it, and lets go of the file.
    async fn gave_up(self, ctx: &Context, viewer: Option<Viewer>) -> Result<(), Failure> {
        let tx = ctx.db.begin(&Failure::unless_viewed(viewer)?).await?;
        run::fail(&tx, self.import_id, "INTERNAL").await?;
        Ok(tx.commit().await?)
    }
}
