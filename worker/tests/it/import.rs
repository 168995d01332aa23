//! Imports by the real worker: killed in the middle, and given up.

use chrono::TimeDelta;
use domain::import::sample::google_csv;
use domain::import::{self, Format, Import, ImportState};
use domain::jobs::{Job as _, RunImport};
use domain::testing::Login;
use domain::{Db, Viewer, upload};
use uuid::Uuid;

use crate::process::start;
use crate::support::{Rig, eventually};

/// A user who has sent a file through the API's login.
struct Sender {
    db: Db,
    ada: Viewer,
    import: Uuid,
}

impl Sender {
    async fn of(rig: &Rig, rows: usize) -> Self {
        let db = rig.database.connect(Login::Api);
        let ada = rig.database.user(&db).await;
        let tx = db.begin(&ada).await.unwrap();
        let file = upload::begin(&tx, Some("contacts.csv")).await.unwrap();
        tx.commit().await.unwrap();
        for (position, piece) in (0..).zip(google_csv(rows, 11)) {
            let tx = db.begin(&ada).await.unwrap();
            upload::append(&tx, file, position, &piece).await.unwrap();
            tx.commit().await.unwrap();
        }
        let tx = db.begin(&ada).await.unwrap();
        upload::finish(&tx, file).await.unwrap();
        let import = import::start(&tx, file, Format::GoogleCsv).await.unwrap().id;
        tx.commit().await.unwrap();
        Self { db, ada, import }
    }

    async fn get(&self) -> Import {
        let tx = self.db.read(&self.ada).await.unwrap();
        import::get(&tx, self.import).await.unwrap().unwrap()
    }

    /// Waits until that many rows are done, or all.
    async fn until(&self, rows: u32) -> Import {
        eventually(&format!("{rows} rows"), async || {
            let now = self.get().await;
            (now.rows_total >= rows || now.state == ImportState::Completed).then_some(now)
        })
        .await
    }
}

#[tokio::test]
async fn an_import_whose_workers_are_killed_does_every_row_once() {
    const ROWS: u32 = 20_000;
    let rig = Rig::new().await;
    let sender = Sender::of(&rig, ROWS as usize).await;
    let mut killed_at = Vec::new();
    for least in [5_000, 12_000] {
        let mut worker = start(&rig);
        sender.until(least).await;
        worker.kill().await.unwrap();
        let now = sender.get().await;
        assert_eq!(now.state, ImportState::Running);
        assert!(now.rows_total < ROWS, "killed too late: {}", now.rows_total);
        killed_at.push(now.rows_total);
        // As if the silence after which a worker counts as dead had passed.
        rig.run("UPDATE apalis.workers SET last_seen = now() - interval '1 minute'")
            .await;
    }
    assert!(killed_at[0] < killed_at[1], "{killed_at:?}");
    let worker = start(&rig);
    let job = rig.until_all(RunImport::KIND, "Done").await.remove(0);
    assert_eq!(job.attempts, 3, "those that were cut short count");
    drop(worker);

    let done = sender.get().await;
    assert_eq!(done.state, ImportState::Completed);
    assert_eq!(done.rows_total, ROWS);
    let told = [done.created, done.updated, done.skipped, done.rejected];
    assert_eq!(told.iter().sum::<u32>(), ROWS);
    let all = i64::from(ROWS);
    for rows in [
        "SELECT count(*) FROM import_row",
        "SELECT count(DISTINCT row) FROM import_row WHERE row BETWEEN 1 AND 20000",
    ] {
        assert_eq!(rig.count(rows).await, all, "{rows}");
    }
    for outcome in ["created", "updated", "skipped", "rejected"] {
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM import_row WHERE outcome = $1")
            .bind(outcome)
            .fetch_one(&rig.admin)
            .await
            .unwrap();
        let told = match outcome {
            "created" => done.created,
            "updated" => done.updated,
            "skipped" => done.skipped,
            _ => done.rejected,
        };
        assert_eq!(rows, i64::from(told), "{outcome}");
    }
    // Everybody in the file is somebody else: nobody is there twice, and nobody is missing.
    assert_eq!(told, [ROWS, 0, 0, 0]);
    for contacts in [
        "SELECT count(*) FROM contact",
        "SELECT count(DISTINCT contact_id) FROM import_row WHERE outcome = 'created'",
        "SELECT count(DISTINCT contact_id) FROM import_digest",
    ] {
        assert_eq!(rig.count(contacts).await, all, "{contacts}");
    }
    let doubled = "SELECT count(*) FROM (SELECT address FROM contact_email GROUP BY 1 HAVING count(DISTINCT contact_id) > 1) d";
    assert_eq!(rig.count(doubled).await, 0);
    assert_eq!(rig.count("SELECT count(*) FROM upload_chunk").await, 0);
    assert_eq!(rig.count("SELECT count(*) FROM upload").await, 0);
}

async fn assert_failed(rig: &Rig, sender: &Sender) {
    assert_eq!(rig.job(RunImport::KIND).await.status, "Killed");
    let failed = sender.get().await;
    assert_eq!(
        (failed.state, failed.error_code.as_deref()),
        (ImportState::Failed, Some("INTERNAL"))
    );
    assert_eq!(rig.count("SELECT count(*) FROM upload_chunk").await, 0);
}

#[tokio::test]
async fn an_import_that_is_given_up_has_failed() {
    let rig = Rig::new().await;
    let sender = Sender::of(&rig, 10).await;
    // A piece that does not open is a defect of ours, and worth another attempt each time.
    rig.run(r"UPDATE upload_chunk SET body = '\x01'").await;
    for attempt in 1..=RunImport::MAX_ATTEMPTS {
        assert_eq!(worker::drain(&rig.ctx).await, 1, "{attempt}");
        let running = sender.get().await.state == ImportState::Running;
        assert_eq!(running, attempt < RunImport::MAX_ATTEMPTS, "{attempt}");
        rig.ctx.clock().advance(TimeDelta::minutes(5));
    }
    assert_eq!(worker::drain(&rig.ctx).await, 0);
    assert_failed(&rig, &sender).await;
}

#[tokio::test]
async fn an_import_that_its_workers_die_of_has_failed() {
    let rig = Rig::new().await;
    let sender = Sender::of(&rig, 10).await;
    // As apalis leaves a job whose last worker is gone.
    rig.run("UPDATE apalis.jobs SET attempts = max_attempts").await;
    assert_eq!(worker::drain(&rig.ctx).await, 1);
    assert_failed(&rig, &sender).await;
}
