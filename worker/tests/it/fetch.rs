//! The fetch, which apalis repeats all the time, does not read the jobs that have ended.

use sqlx::Acquire as _;

use crate::support::Rig;

#[tokio::test]
async fn fetching_uses_its_index_among_many_jobs_done_and_waiting() {
    let rig = Rig::new().await;
    // Many waiting ones, too: of a limit that it does not know, the planner expects a tenth of those.
    rig.run(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, priority)
         SELECT 'old-' || n, 'probe', '{}', CASE n % 2 WHEN 0 THEN 'Done' ELSE 'Pending' END, 0, 3,
            now() - interval '1 hour', CASE n % 2 WHEN 0 THEN now() END, 0
         FROM generate_series(1, 40000) n",
    )
    .await;
    rig.run("ANALYZE apalis.jobs").await;

    let mut connection = rig.admin.acquire().await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    sqlx::query("INSERT INTO apalis.workers (id, worker_type, storage_name) VALUES ('w', 'probe', 'test')")
        .execute(&mut *tx)
        .await
        .unwrap();
    let scans =
        "SELECT seq_scan, seq_tup_read FROM pg_stat_xact_all_tables WHERE relid = 'apalis.jobs'::regclass";
    let before: (i64, i64) = sqlx::query_as(scans).fetch_one(&mut *tx).await.unwrap();
    let fetched = sqlx::query("SELECT id FROM apalis.get_jobs('w', 'probe', 10)")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    let after: (i64, i64) = sqlx::query_as(scans).fetch_one(&mut *tx).await.unwrap();
    assert_eq!(fetched.len(), 10);
    assert_eq!(before, after, "the whole table was read");

    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT id FROM apalis.jobs
         WHERE (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
           AND run_at < now() AND job_type = 'probe'
         ORDER BY priority DESC, run_at ASC LIMIT 10 FOR UPDATE SKIP LOCKED",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    assert!(
        plan.iter()
            .any(|line| line.contains("idx_apalis_jobs_fetch_partial")),
        "{plan:#?}"
    );
    assert!(!plan.iter().any(|line| line.contains("Sort")), "{plan:#?}");
}
