//! A worker's life: it waits for what is not due, says that it lives, gives back what it can't finish,
//! and outlives its database.

use worker::Kind;

use crate::support::{Action, Probe, Rig, eventually};

#[tokio::test]
async fn a_delayed_job_runs_when_it_is_due() {
    let rig = Rig::new().await;
    let probe = rig.probe(Action::Succeed).await;
    rig.run("UPDATE apalis.jobs SET run_at = now() + interval '3 seconds'")
        .await;
    let serving = rig.serve(vec![Kind::of::<Probe>()]);
    let rows = rig.until_all("probe", "Done").await;
    serving.stop().await;
    assert!(rows[0].was_due, "{rows:?}");
    assert_eq!(probe.runs().len(), 1);
}

#[tokio::test]
async fn a_worker_with_a_long_job_goes_on_saying_that_it_lives() {
    let rig = Rig::new().await;
    rig.probe(Action::Never).await;
    let serving = rig.serve(vec![Kind::of::<Probe>()]);
    rig.until_all("probe", "Running").await;
    eventually("two more signs of life", async || {
        let lives = "SELECT count(*) FROM apalis.workers w JOIN apalis.jobs j ON j.lock_by = w.id
             WHERE w.last_seen > j.lock_at + interval '8 seconds'";
        (rig.count(lives).await == 1).then_some(())
    })
    .await;
    serving.stop().await;
}

#[tokio::test]
async fn a_stopping_worker_finishes_what_it_can_and_gives_back_the_rest_uncounted() {
    let rig = Rig::new().await;
    let soon = rig.probe(Action::SucceedSoon).await;
    let never = rig.probe(Action::Never).await;
    let waiting = rig.probe(Action::Succeed).await;
    // Three are fetched, two run, one waits.
    let serving = rig.serve(vec![Kind::of::<Probe>().concurrency(2).batch(3)]);
    eventually("both run", async || {
        (soon.runs().len() == 1 && never.runs().len() == 1).then_some(())
    })
    .await;
    serving.stop().await;
    let rows = rig.jobs("probe").await;
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.status.as_str(), row.attempts))
        .collect();
    // The one that waited may have run in the place of the first.
    assert_eq!(seen[0], ("Done", 1), "{rows:?}");
    assert_eq!(seen[1], ("Pending", 0), "{rows:?}");
    assert!(rows[1].lock_by.is_none(), "{rows:?}");
    assert!(
        rows[2].status != "Queued" && rows[2].status != "Running",
        "{rows:?}"
    );
    assert!(waiting.runs().len() < 2);
}

#[tokio::test]
async fn a_worker_outlives_its_connections() {
    let rig = Rig::new().await;
    let lost = rig.probe(Action::Never).await;
    let serving = rig.serve(vec![Kind::of::<Probe>().concurrency(2)]);
    rig.until_all("probe", "Running").await;
    rig.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'worker'",
    )
    .await;
    // Its job is not left to nobody: the worker that replaces it starts it anew.
    eventually("the job again", async || (lost.runs().len() == 2).then_some(())).await;
    let probe = rig.probe(Action::Succeed).await;
    eventually("a new job", async || (probe.runs().len() == 1).then_some(())).await;
    serving.stop().await;
}
