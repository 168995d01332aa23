//! A tick comes once, however many workers tick.

use chrono::TimeDelta;
use worker::register::SCHEDULES;
use worker::schedule::enqueue_latest;

use crate::support::Rig;

#[tokio::test]
async fn two_workers_tick_one_job() {
    let rig = Rig::new().await;
    let tick = || enqueue_latest(&rig.ctx, SCHEDULES);
    let (first, second) = tokio::join!(tick(), tick());
    // Unless the hour turned between the two.
    let jobs = rig.count("SELECT count(*) FROM apalis.jobs").await;
    assert_eq!(i64::try_from(first.unwrap() + second.unwrap()).unwrap(), jobs);
    rig.ctx.clock().advance(TimeDelta::minutes(60));
    assert_eq!(tick().await.unwrap(), SCHEDULES.len(), "the next hour is another");
    assert_eq!(tick().await.unwrap(), 0, "and comes once");
    let jobs = usize::try_from(jobs).unwrap() + SCHEDULES.len();
    assert_eq!(worker::drain(&rig.ctx).await, jobs);
    assert_eq!(rig.count("SELECT count(*) FROM signing_key").await, 1);
}
