//! The real process: started, stopped and killed.

use std::process::Stdio;
use std::time::Duration;

use domain::testing::Login;
use tokio::process::{Child, Command};

use crate::support::{Rig, eventually};

pub fn start(rig: &Rig) -> Child {
    let null = || Stdio::null();
    Command::new(env!("CARGO_BIN_EXE_worker"))
        .arg("run")
        .envs(rig.database.environment(Login::Worker))
        .env("MAIL_DIR", &rig.mail_dir)
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn the_jobs_of_a_killed_worker_are_taken_over() {
    let rig = Rig::new().await;
    // Holds up the sweep that every worker enqueues when it starts.
    rig.run(
        "INSERT INTO sign_in_link (id, address, canonical, browser_hash, token_hash, root_key, return_to, created_at, expires_at)
         VALUES (gen_random_uuid(), 'ada@example.test', 'ada@example.test', '', '', 'test', '/', now(), now() - interval '2 days')",
    )
    .await;
    let mut lock = rig.admin.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM sign_in_link FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let mut first = start(&rig);
    let killed = rig.until_all("sweep", "Running").await.remove(0);
    first.kill().await.unwrap();
    lock.rollback().await.unwrap();

    let second = start(&rig);
    let done = rig.until_all("sweep", "Done").await.remove(0);
    assert_eq!(done.id, killed.id);
    assert_ne!(done.lock_by, killed.lock_by, "under another name");
    assert_eq!(done.attempts, 2, "the attempt that was cut short counts");
    drop(second);
}

#[tokio::test]
async fn a_word_to_stop_ends_the_process_in_order() {
    let rig = Rig::new().await;
    let mut process = start(&rig);
    eventually("all queues served", async || {
        let queues = i64::try_from(domain::jobs::KINDS.len()).unwrap();
        (rig.count("SELECT count(*) FROM apalis.workers").await == queues).then_some(())
    })
    .await;
    rig.until_all("sweep", "Done").await;
    let id = process.id().unwrap().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
    assert!(told.success());
    let status = tokio::time::timeout(Duration::from_secs(60), process.wait()).await;
    assert!(status.unwrap().unwrap().success());
}
