//! What happens at fixed times. A tick only enqueues, under a key that names it, so that of any number
//! of workers that tick one job comes.

use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use domain::{Result, Tx};
use futures::future::BoxFuture;

use crate::context::Context;

/// How often the ticker looks at the clock.
const LOOK: Duration = Duration::from_secs(15);

/// Puts the job of a tick into the queue, under that key.
pub type Enqueue = for<'a> fn(&'a Tx, &'a str) -> BoxFuture<'a, Result<bool>>;

/// A job that comes at fixed times.
pub struct Schedule {
    name: &'static str,
    every: TimeDelta,
    enqueue: Enqueue,
}

impl Schedule {
    /// One that comes at every whole multiple of `every` since midnight UTC of 1 January 1970.
    #[must_use]
    pub const fn new(name: &'static str, every: TimeDelta, enqueue: Enqueue) -> Self {
        Self { name, every, enqueue }
    }
}

/// Enqueues for every schedule the tick that is the latest now. Returns how many were new.
///
/// # Errors
/// When the database refuses.
pub async fn enqueue_latest(ctx: &Context, schedules: &[Schedule]) -> Result<usize> {
    let mut new = 0;
    for schedule in schedules {
        let tick = latest(ctx.clock().now(), schedule.every);
        let key = format!("cron:{}:{}", schedule.name, tick.to_rfc3339());
        let tx = ctx.db.begin_system().await?;
        let added = (schedule.enqueue)(&tx, &key).await?;
        tx.commit().await?;
        new += usize::from(added);
    }
    Ok(new)
}

fn latest(now: DateTime<Utc>, every: TimeDelta) -> DateTime<Utc> {
    now.duration_trunc(every).unwrap_or(now)
}

/// Ticks for ever. A tick that nobody was there for comes with the next start.
pub(crate) async fn tick(ctx: Context, schedules: &'static [Schedule]) {
    loop {
        if let Err(error) = enqueue_latest(&ctx, schedules).await {
            tracing::warn!(error = %error, "a schedule did not tick; it is tried again");
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_the_same_within_its_hour() {
        let at = |text: &str| latest(text.parse().unwrap(), TimeDelta::hours(1)).to_rfc3339();
        assert_eq!(at("2026-03-29T01:00:00Z"), "2026-03-29T01:00:00+00:00");
        assert_eq!(at("2026-03-29T01:59:59.9Z"), "2026-03-29T01:00:00+00:00");
    }
}
