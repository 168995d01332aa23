//! What happens when a run is interrupted, doubled, or meets a row that can't be stored; and what is not
//! to be found in the database afterwards.

use std::time::Duration;

use domain::import::ImportState;
use domain::import::run::{fail, run};
use domain::import::sample::google_csv;
use uuid::Uuid;

use super::{World, counts};

const ROWS: usize = 3000;

/// Every row has its one outcome, and every contact its one row.
async fn assert_whole(world: &World, import: Uuid) {
    let done = world.get(import).await;
    assert_eq!(done.state, ImportState::Completed);
    assert_eq!(counts(&done), [ROWS as u32, 0, 0, 0]);
    let rows: Vec<_> = world.rows(import).await.iter().map(|row| row.row).collect();
    assert!(rows.into_iter().eq(1..=ROWS as u32));
    assert_eq!(world.number("SELECT count(*) FROM contact").await, ROWS as i64);
    let doubled = "SELECT count(*) FROM (SELECT contact_id FROM import_row GROUP BY 1 HAVING count(*) > 1) d";
    assert_eq!(world.number(doubled).await, 0);
    assert_eq!(world.number("SELECT count(*) FROM upload").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_goes_on_where_it_was() {
    let world = World::new().await;
    let import = world.start("contacts.csv", google_csv(ROWS, 7)).await;
    let mut seen = Vec::new();
    for least in [1, 1000, 2000] {
        let (db, ada) = (world.db.clone(), world.ada.clone());
        let task = tokio::spawn(async move { run(&db, &ada, import).await });
        let done = loop {
            let now = world.get(import).await;
            if now.rows_total >= least || now.state == ImportState::Completed {
                break now;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        task.abort();
        task.await.ok();
        seen.push((done.rows_total, done.bytes_done));
    }
    assert!(seen.is_sorted(), "{seen:?}");
    run(&world.db, &world.ada, import).await.unwrap();
    assert_whole(&world, import).await;
    // Once it has ended, another run finds nothing to do.
    run(&world.db, &world.ada, import).await.unwrap();
    assert_whole(&world, import).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_do_every_row_once() {
    let world = World::new().await;
    let import = world.start("contacts.csv", google_csv(ROWS, 8)).await;
    let runs = (0..2).map(|_| {
        let (db, ada) = (world.db.clone(), world.ada.clone());
        tokio::spawn(async move { run(&db, &ada, import).await })
    });
    for run in runs.collect::<Vec<_>>() {
        run.await.unwrap().unwrap();
    }
    assert_whole(&world, import).await;
}

#[tokio::test]
async fn a_row_that_the_database_refuses_does_not_stop_the_others() {
    let world = World::new().await;
    world
        .sql("ALTER TABLE contact ADD CONSTRAINT no_poison CHECK (nickname <> 'poison')")
        .await;
    let mut file = "First Name,Nickname,Labels\n".to_owned();
    for number in 1..=40 {
        file += &format!(
            "P{number},{},\n",
            if [7, 8, 40].contains(&number) {
                "poison"
            } else {
                ""
            }
        );
    }
    let import = world.import("contacts.csv", file).await;
    assert_eq!(import.state, ImportState::Completed);
    assert_eq!(counts(&import), [37, 0, 0, 3]);
    let refused: Vec<_> = world
        .rows(import.id)
        .await
        .into_iter()
        .filter(|row| row.contact_id.is_none())
        .collect();
    assert!(
        refused
            .iter()
            .all(|row| row.code.as_deref() == Some("ROW_UNUSABLE"))
    );
    assert_eq!(refused.iter().map(|row| row.row).collect::<Vec<_>>(), [7, 8, 40]);
}

#[tokio::test]
async fn an_import_that_nobody_can_run_is_failed_by_its_last_attempt() {
    let world = World::new().await;
    let import = world.start("contacts.csv", google_csv(10, 1)).await;
    // A piece that does not open is a defect of ours: an error each time, and the import goes on running.
    world.sql("UPDATE upload_chunk SET body = '\\x01'").await;
    for _ in 0..2 {
        assert!(run(&world.db, &world.ada, import).await.is_err());
        assert_eq!(world.get(import).await.state, ImportState::Running);
    }
    let tx = world.db.begin(&world.ada).await.unwrap();
    assert!(fail(&tx, import, "GAVE_UP").await.unwrap());
    assert!(!fail(&tx, import, "AGAIN").await.unwrap());
    tx.commit().await.unwrap();
    let failed = world.get(import).await;
    assert_eq!(
        (failed.state, failed.error_code.as_deref()),
        (ImportState::Failed, Some("GAVE_UP"))
    );
    assert_eq!(world.number("SELECT count(*) FROM upload_chunk").await, 0);
    run(&world.db, &world.ada, import).await.unwrap();
    assert_eq!(world.get(import).await.state, ImportState::Failed);
}

#[tokio::test]
async fn an_import_without_its_file_fails_and_one_that_is_gone_is_left_alone() {
    let world = World::new().await;
    let import = world.start("contacts.csv", google_csv(10, 1)).await;
    world.sql("DELETE FROM upload").await;
    run(&world.db, &world.ada, import).await.unwrap();
    assert_eq!(
        world.get(import).await.error_code.as_deref(),
        Some("FILE_MISSING")
    );
    run(&world.db, &world.ada, Uuid::nil()).await.unwrap();
}

#[tokio::test]
async fn no_table_holds_a_note_or_a_piece_of_the_file() {
    let world = World::new().await;
    let secrets = ["velvet lighthouse", "quartz umbrella", "marzipan compass"];
    let file = format!(
        "First Name,Labels,Notes,Custom Field 1 - Label,Custom Field 1 - Value,E-mail 1 - Value\n\
         Ann,,{},Secret,{},ann@example.org\n,,{},,,\n",
        secrets[0], secrets[1], secrets[2]
    );
    let look = async || {
        let tables = world
            .texts("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'apalis')")
            .await;
        let mut rows = String::new();
        for table in tables {
            rows += &world
                .texts(&format!("SELECT to_jsonb(t)::text FROM {table} t"))
                .await
                .join("\n");
        }
        for text in secrets.into_iter().chain(["Secret,quartz", "ann@example.org\n"]) {
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!rows.contains(text) && !rows.contains(&hex), "{text}");
        }
        rows
    };
    let id = world
        .start("contacts.csv", std::iter::once(file.clone().into_bytes()))
        .await;
    assert!(look().await.contains("upload_id"));
    run(&world.db, &world.ada, id).await.unwrap();
    assert_eq!(counts(&world.get(id).await), [1, 0, 0, 1]);
    world
        .import("again.csv", file.replace("Ann,,", "Ann,x,more "))
        .await;
    world.sql("DELETE FROM contact").await;
    assert!(look().await.contains("journal") || look().await.contains("before"));
}
