//! The end of an owner: in parts, in the right order, with nothing coming back meanwhile.

use domain::contact::{self};
use domain::erasure;
use domain::testing::{Login, TestDatabase};
use domain::{Db, Error, Viewer, note};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::support::{everything, person};

struct Doomed {
    database: TestDatabase,
    db: Db,
    viewer: Viewer,
    admin: PgConnection,
}

impl Doomed {
    /// A user with a little of everything, whose time has come.
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let db = database.connect(Login::Worker);
        let viewer = database.user(&db).await;
        everything(&db, &viewer).await;
        let mut admin = PgConnection::connect(database.admin_url().as_str())
            .await
            .unwrap();
        sqlx::query(
            "UPDATE app_user SET deletion_requested_at = now() - interval '7 days', delete_after = now()",
        )
        .execute(&mut admin)
        .await
        .unwrap();
        Self {
            database,
            db,
            viewer,
            admin,
        }
    }

    async fn count(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.admin).await.unwrap()
    }

    /// Only as far as the point of no return.
    async fn begin(&mut self) {
        let begun: bool = sqlx::query_scalar("SELECT begin_account_deletion($1, now())")
            .bind(self.viewer.owner())
            .fetch_one(&mut self.admin)
            .await
            .unwrap();
        assert!(begun);
    }

    async fn step(&mut self, rows: i32) -> bool {
        sqlx::query_scalar("SELECT continue_account_deletion($1, $2)")
            .bind(self.viewer.owner())
            .bind(rows)
            .fetch_one(&mut self.admin)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn the_keys_go_first_and_what_is_sealed_is_unreadable_at_once() {
    let mut doomed = Doomed::new().await;
    let before = doomed.count("SELECT count(*) FROM journal").await;
    doomed.begin().await;
    for sql in [
        "SELECT count(*) FROM data_key",
        "SELECT count(*) FROM app_user",
        "SELECT count(*) FROM session",
        "SELECT count(*) FROM audit_event",
    ] {
        assert_eq!(doomed.count(sql).await, 0, "{sql}");
    }
    assert_eq!(doomed.count("SELECT count(*) FROM note").await, 1);
    // A process that knew the key from before has it for as long as it keeps it; a new one has not.
    let fresh = doomed.database.connect(Login::Worker);
    let tx = fresh.read(&doomed.viewer).await.unwrap();
    let contacts: Vec<Uuid> = sqlx::query_scalar("SELECT contact_id FROM note")
        .fetch_all(&mut doomed.admin)
        .await
        .unwrap();
    let request = domain::page::PageRequest::new(None, None, None, None).unwrap();
    assert!(note::list(&tx, contacts[0], &request).await.is_err());
    drop(tx);

    // Work that was under way adds nothing, and its changes are not written down.
    let tx = doomed.db.begin(&doomed.viewer).await.unwrap();
    assert!(matches!(
        contact::create(&tx, person("Late")).await,
        Err(Error::Unauthenticated)
    ));
    drop(tx);
    let tx = doomed.db.begin(&doomed.viewer).await.unwrap();
    contact::delete(&tx, contacts[0]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(doomed.count("SELECT count(*) FROM journal").await, before);
}

#[tokio::test]
async fn it_goes_on_wherever_it_was_cut_short_and_the_journal_is_last() {
    let mut doomed = Doomed::new().await;
    doomed.begin().await;
    let total = doomed.count("SELECT count(*) FROM journal").await;
    let mut steps = 0;
    while doomed.count("SELECT count(*) FROM journal").await == total {
        assert!(doomed.step(1).await);
        steps += 1;
    }
    assert!(steps > 5, "a row at a time: {steps}");
    for sql in [
        "SELECT count(*) FROM contact",
        "SELECT count(*) FROM contact_search",
        "SELECT count(*) FROM company",
        "SELECT count(*) FROM tag",
    ] {
        assert_eq!(doomed.count(sql).await, 0, "{sql}");
    }
    assert_eq!(doomed.count("SELECT count(*) FROM journal").await, total - 1);
    // A whole run takes it from here; it is still found, though no user is there any more.
    assert_eq!(erasure::enqueue_due(&doomed.db).await.unwrap(), 1);
    assert_eq!(erasure::enqueue_due(&doomed.db).await.unwrap(), 0, "one job each");
    let owner = doomed.viewer.owner();
    let (one, two) = tokio::join!(erasure::run(&doomed.db, owner), erasure::run(&doomed.db, owner));
    assert!(one.unwrap() || two.unwrap());
    assert_eq!(doomed.count("SELECT count(*) FROM owner").await, 0);
    assert!(
        !erasure::run(&doomed.db, owner).await.unwrap(),
        "and then there is nothing to do"
    );
    assert_eq!(erasure::enqueue_due(&doomed.db).await.unwrap(), 0);
    let named = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'delete-account' AND convert_from(job, 'UTF8') NOT LIKE '%00000000-0000-0000-0000-000000000000%'";
    assert_eq!(doomed.count(named).await, 0);
    assert_eq!(
        doomed
            .count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'delete-account'")
            .await,
        1
    );
}

#[tokio::test]
async fn nobody_is_deleted_before_their_time_or_with_somebody_else() {
    let mut doomed = Doomed::new().await;
    let owner = doomed.viewer.owner();
    sqlx::query("UPDATE app_user SET delete_after = now() + interval '1 hour'")
        .execute(&mut doomed.admin)
        .await
        .unwrap();
    assert_eq!(erasure::enqueue_due(&doomed.db).await.unwrap(), 0);
    assert!(!erasure::run(&doomed.db, owner).await.unwrap());
    assert!(!erasure::run(&doomed.db, Uuid::now_v7()).await.unwrap());
    assert!(
        !doomed.step(100).await,
        "nothing goes of an owner whose end has not begun"
    );
    sqlx::query("UPDATE app_user SET delete_after = now()")
        .execute(&mut doomed.admin)
        .await
        .unwrap();
    sqlx::query("INSERT INTO app_user (owner_id, id, created_at) SELECT owner_id, gen_random_uuid(), now() FROM app_user")
        .execute(&mut doomed.admin)
        .await
        .unwrap();
    assert!(matches!(
        erasure::run(&doomed.db, owner).await,
        Err(Error::Internal(_))
    ));
    assert_eq!(doomed.count("SELECT count(*) FROM data_key").await, 2);
    assert_eq!(doomed.count("SELECT count(*) FROM contact").await, 1);
}

#[tokio::test]
async fn a_table_of_a_later_release_is_not_forgotten() {
    let mut doomed = Doomed::new().await;
    sqlx::raw_sql(
        "CREATE TABLE task (owner_id uuid NOT NULL REFERENCES owner (id), id uuid NOT NULL, contact_id uuid NOT NULL, PRIMARY KEY (owner_id, id),
             FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id));
         CREATE TABLE task_step (owner_id uuid NOT NULL, task_id uuid NOT NULL, position integer, PRIMARY KEY (owner_id, task_id, position),
             FOREIGN KEY (owner_id, task_id) REFERENCES task (owner_id, id));
         ALTER TABLE task OWNER TO crm_owner; ALTER TABLE task_step OWNER TO crm_owner;
         INSERT INTO task SELECT owner_id, gen_random_uuid(), id FROM contact;
         INSERT INTO task_step SELECT owner_id, id, n FROM task, generate_series(1, 3) n;",
    )
    .execute(&mut doomed.admin)
    .await
    .unwrap();
    assert!(erasure::run(&doomed.db, doomed.viewer.owner()).await.unwrap());
    assert_eq!(doomed.count("SELECT count(*) FROM task_step").await, 0);
    assert_eq!(doomed.count("SELECT count(*) FROM owner").await, 0);
}
