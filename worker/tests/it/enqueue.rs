//! A job comes with what caused it or not at all, and is its owner's.

use domain::jobs;
use worker::Kind;

use crate::support::{Action, Probe, Rig, viewer};

#[tokio::test]
async fn a_job_whose_transaction_is_rolled_back_never_was() {
    let rig = Rig::new().await;
    let probe = Probe::new(Action::Succeed);
    let tx = rig.ctx.db.begin(&viewer()).await.unwrap();
    assert!(jobs::enqueue(&tx, &probe, "once").await.unwrap());
    drop(tx);
    assert!(rig.jobs("probe").await.is_empty());
    assert_eq!(rig.drain(Kind::of::<Probe>()).await, 0);
}

#[tokio::test]
async fn a_committed_job_runs_once_for_who_caused_it() {
    let rig = Rig::new().await;
    let (probe, ada) = (Probe::new(Action::Succeed), viewer());
    for _ in 0..2 {
        let tx = rig.ctx.db.begin(&ada).await.unwrap();
        jobs::enqueue(&tx, &probe, "once").await.unwrap();
        tx.commit().await.unwrap();
    }
    let serving = rig.serve(vec![Kind::of::<Probe>()]);
    rig.until_all("probe", "Done").await;
    serving.stop().await;
    let runs = probe.runs();
    assert_eq!(runs.len(), 1);
    let ran_for = runs[0].as_ref().unwrap();
    assert_eq!((ran_for.owner(), ran_for.user()), (ada.owner(), ada.user()));
    assert_eq!(
        ran_for.via(),
        ada.via(),
        "its changes belong to the batch that caused it"
    );
}

#[tokio::test]
async fn equal_keys_of_two_owners_are_two_jobs() {
    let rig = Rig::new().await;
    let owners = [viewer(), viewer()];
    for owner in &owners {
        for _ in 0..2 {
            let tx = rig.ctx.db.begin(owner).await.unwrap();
            jobs::enqueue(&tx, &Probe::new(Action::Succeed), "same")
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
    }
    assert_eq!(rig.jobs("probe").await.len(), 2);
    assert_eq!(rig.drain(Kind::of::<Probe>()).await, 2);
}

#[tokio::test]
async fn a_job_of_the_system_has_no_viewer() {
    let rig = Rig::new().await;
    let probe = rig.probe(Action::Succeed).await;
    rig.drain(Kind::of::<Probe>()).await;
    assert!(matches!(probe.runs()[..], [None]));
}

#[tokio::test]
async fn the_queue_is_told_at_once_of_what_is_due() {
    let rig = Rig::new().await;
    let mut listener = sqlx::postgres::PgListener::connect_with(&rig.admin)
        .await
        .unwrap();
    listener.listen("apalis::job::insert").await.unwrap();
    rig.probe(Action::Succeed).await;
    let word = tokio::time::timeout(std::time::Duration::from_secs(60), listener.recv()).await;
    assert!(word.unwrap().unwrap().payload().contains("probe"));
}
