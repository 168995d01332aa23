//! Removes what nothing needs any more, in the product's tables and in the queue's.

use chrono::TimeDelta;
use domain::Viewer;
use domain::jobs::Sweep;

use crate::{Context, Failure, Handle, queue};

/// How long a job that was done is kept.
const DONE: TimeDelta = TimeDelta::days(7);
/// How long a dead job is kept.
const DEAD: TimeDelta = TimeDelta::days(30);
/// How long a worker that is not heard of is kept.
const SILENT: TimeDelta = TimeDelta::hours(1);

impl Handle for Sweep {
    async fn handle(self, ctx: &Context, _viewer: Option<Viewer>) -> Result<(), Failure> {
        let swept = domain::sweep::run(&ctx.db).await?;
        let now = ctx.clock().now();
        let removed = queue::remove_ended(&ctx.db.queue_pool(), now - DONE, now - DEAD, now - SILENT).await?;
        tracing::info!(
            links = swept.links,
            ceremonies = swept.ceremonies,
            sessions = swept.sessions,
            api_keys = swept.api_keys,
            uploads = swept.uploads,
            events = swept.events,
            jobs = removed.jobs,
            workers = removed.workers,
            "swept"
        );
        Ok(())
    }
}
