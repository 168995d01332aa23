//! The end of an account outlives its worker.

use chrono::TimeDelta;
use domain::contact::input::Change;
use domain::contact::{self, input::ContactInput};

use crate::process::start;
use crate::support::{Rig, eventually};

#[tokio::test]
async fn an_end_that_its_worker_did_not_live_to_see_is_brought_to_its_end() {
    let rig = Rig::new().await;
    let viewer = rig.database.user(&rig.ctx.db).await;
    for name in ["Ada", "Bob"] {
        let tx = rig.ctx.db.begin(&viewer).await.unwrap();
        let input = ContactInput {
            given_name: Change::To(Some(name.to_owned())),
            ..ContactInput::default()
        };
        contact::create(&tx, input).await.unwrap();
        tx.commit().await.unwrap();
    }
    rig.run("UPDATE app_user SET deletion_requested_at = now() - interval '8 days', delete_after = now() - interval '1 day'").await;
    // Holds it up behind the point of no return.
    let mut lock = rig.admin.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM contact FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let mut first = start(&rig);
    let killed = rig.until_all("delete-account", "Running").await.remove(0);
    eventually("the point of no return", async || {
        (rig.count("SELECT count(*) FROM data_key").await == 0).then_some(())
    })
    .await;
    first.kill().await.unwrap();
    lock.rollback().await.unwrap();
    assert_eq!(rig.count("SELECT count(*) FROM owner").await, 1);

    let second = start(&rig);
    let done = rig.until_all("delete-account", "Done").await.remove(0);
    assert_eq!((done.id, done.attempts), (killed.id, 2));
    for sql in [
        "SELECT count(*) FROM owner",
        "SELECT count(*) FROM contact",
        "SELECT count(*) FROM journal",
    ] {
        assert_eq!(rig.count(sql).await, 0, "{sql}");
    }
    drop(second);
}

#[tokio::test]
async fn the_tick_finds_who_is_due_and_nobody_else() {
    let rig = Rig::new().await;
    for _ in 0..3 {
        rig.database.user(&rig.ctx.db).await;
    }
    rig.run(
        "UPDATE app_user SET deletion_requested_at = now(), delete_after = now() + interval '7 days'
         WHERE id <> (SELECT max(id::text)::uuid FROM app_user)",
    )
    .await;
    rig.ctx.clock().advance(TimeDelta::days(6));
    rig.enqueue(&domain::jobs::DeleteDueAccounts {}).await;
    assert_eq!(worker::drain(&rig.ctx).await, 1);
    rig.ctx.clock().advance(TimeDelta::days(2));
    rig.enqueue(&domain::jobs::DeleteDueAccounts {}).await;
    assert_eq!(worker::drain(&rig.ctx).await, 3);
    assert_eq!(rig.count("SELECT count(*) FROM owner").await, 1);
    assert_eq!(rig.count("SELECT count(*) FROM data_key").await, 2);
}
