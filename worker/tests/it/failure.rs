//! Whatever a job does, its worker lives, and the job comes again later or is dead.

use std::time::Duration;

use chrono::TimeDelta;
use worker::Kind;

use crate::support::{Action, Probe, Rig};

fn kind() -> Kind {
    Kind::of::<Probe>()
}

#[tokio::test]
async fn a_payload_that_does_not_decode_is_dead_and_the_next_job_runs() {
    let rig = Rig::new().await;
    for _ in 0..2 {
        rig.probe(Action::Succeed).await;
    }
    // No JSON at all would end apalis's own worker; JSON of another shape, one that decodes for itself.
    rig.run(r"UPDATE apalis.jobs SET job = '\x00ff' WHERE id = (SELECT min(id) FROM apalis.jobs)")
        .await;
    rig.run("UPDATE apalis.jobs SET job = convert_to('{\"id\": \"secret\"}', 'UTF8') WHERE id = (SELECT max(id) FROM apalis.jobs)").await;
    let serving = rig.serve(vec![kind()]);
    let rows = rig.until_all("probe", "Killed").await;
    assert!(
        rows.iter().all(|row| row.result.contains("does not decode")),
        "{rows:?}"
    );
    assert!(rows.iter().all(|row| !row.result.contains("secret")), "{rows:?}");
    let probe = rig.probe(Action::Succeed).await;
    crate::support::eventually("the next job", async || (probe.runs().len() == 1).then_some(())).await;
    serving.stop().await;
    assert_eq!(
        rig.count("SELECT count(*) FROM apalis.workers").await,
        1,
        "one worker did it all"
    );
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_the_next_job_runs() {
    let rig = Rig::new().await;
    let panics = rig.probe(Action::Panic).await;
    let serving = rig.serve(vec![kind()]);
    let rows = rig.until_all("probe", "Failed").await;
    assert!(rows[0].result.contains("panicked"), "{rows:?}");
    let probe = rig.probe(Action::Succeed).await;
    crate::support::eventually("the next job", async || (probe.runs().len() == 1).then_some(())).await;
    serving.stop().await;
    assert!(rig.jobs("probe").await[0].comes_later);
    assert_eq!(panics.runs().len(), 1);
}

#[tokio::test]
async fn the_running_worker_does_not_fetch_a_failed_job_again_at_once() {
    let rig = Rig::new().await;
    let probe = rig.probe(Action::Fail).await;
    let serving = rig.serve(vec![kind()]);
    let rows = rig.until_all("probe", "Failed").await;
    assert!(rows[0].comes_later, "{rows:?}");
    // And yet it comes, to its end.
    let rows = rig.until_all("probe", "Killed").await;
    serving.stop().await;
    assert_eq!((rows[0].attempts, probe.runs().len()), (3, 3));
}

#[tokio::test]
async fn a_failing_job_waits_longer_each_time_and_ends_dead() {
    let rig = Rig::new().await;
    let probe = rig.probe(Action::Fail).await;
    for attempt in 1..=3 {
        assert_eq!(rig.drain(kind()).await, 1);
        assert_eq!(rig.drain(kind()).await, 0, "not due yet");
        assert_eq!(rig.job("probe").await.attempts, attempt);
        rig.ctx.clock().advance(TimeDelta::minutes(5));
    }
    assert_eq!(rig.drain(kind()).await, 0, "given up");
    assert_eq!((probe.runs().len(), probe.ends()), (3, 1));
    let job = rig.job("probe").await;
    assert!(
        job.result.contains("given up after 3 attempts: not now"),
        "{job:?}"
    );
    // The worker's own login sees it, in the view for it.
    let dead: Vec<(String, String, i32)> = sqlx::query_as("SELECT id, job_type, attempts FROM dead_job")
        .fetch_all(&rig.ctx.db.queue_pool())
        .await
        .unwrap();
    assert_eq!(dead, [(job.id, "probe".to_owned(), 3)]);
}

#[tokio::test]
async fn what_the_rules_refuse_is_dead_at_once() {
    let rig = Rig::new().await;
    let probe = rig.probe(Action::Refuse).await;
    assert_eq!(rig.drain(kind()).await, 1);
    let job = rig.job("probe").await;
    assert_eq!((job.status.as_str(), job.attempts), ("Killed", 1));
    assert_eq!((probe.runs().len(), probe.ends()), (1, 1));
}

#[tokio::test]
async fn a_job_is_dead_only_when_its_end_could_be_told() {
    let rig = Rig::new().await;
    let probe = rig.probe(Action::FailAndTellLater).await;
    for _ in 1..=3 {
        assert_eq!(rig.drain(kind()).await, 1);
        rig.ctx.clock().advance(TimeDelta::minutes(5));
    }
    let job = rig.job("probe").await;
    assert_eq!(
        (job.status.as_str(), job.attempts, probe.ends()),
        ("Pending", 2, 1)
    );
    assert_eq!(rig.drain(kind()).await, 1);
    assert_eq!(
        (rig.job("probe").await.status.as_str(), probe.ends()),
        ("Killed", 2)
    );
    rig.ctx.clock().advance(TimeDelta::minutes(5));
    assert_eq!(rig.drain(kind()).await, 0);
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_cut_short() {
    let rig = Rig::new().await;
    rig.probe(Action::Never).await;
    assert_eq!(rig.drain(kind().time_out(Duration::from_millis(50))).await, 1);
    let job = rig.job("probe").await;
    assert!(
        job.status == "Failed" && job.result.contains("took longer"),
        "{job:?}"
    );
}

#[tokio::test]
async fn a_job_that_its_workers_die_of_is_given_up() {
    let rig = Rig::new().await;
    let probe = rig.probe(Action::Succeed).await;
    // As apalis leaves a job whose third worker is gone.
    rig.run("UPDATE apalis.jobs SET attempts = 3").await;
    assert_eq!(rig.drain(kind()).await, 1);
    assert_eq!((probe.runs().len(), probe.ends()), (0, 1));
    let job = rig.job("probe").await;
    assert!(
        job.status == "Killed" && job.result.contains("died too often"),
        "{job:?}"
    );
}

#[tokio::test]
async fn metadata_that_name_nobody_rightly_are_nobodys_job() {
    let rig = Rig::new().await;
    let probe = rig.probe(Action::Succeed).await;
    rig.run("UPDATE apalis.jobs SET metadata = hstore('owner', 'everybody')")
        .await;
    assert_eq!(rig.drain(kind()).await, 1);
    assert_eq!(probe.runs().len(), 0);
    assert_eq!(rig.job("probe").await.status, "Killed");
}
