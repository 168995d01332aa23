//! The sweep removes what has ended, and nothing else.

use chrono::TimeDelta;
use domain::jobs::Sweep;

use crate::support::Rig;

#[tokio::test]
async fn old_links_files_jobs_and_workers_go_and_young_ones_stay() {
    let rig = Rig::new().await;
    rig.run(
        "INSERT INTO sign_in_link (id, address, canonical, browser_hash, token_hash, root_key, return_to, created_at, expires_at)
         SELECT gen_random_uuid(), 'ada@example.test', 'ada@example.test', '', '', 'test', '/', now(), now() + age
         FROM (VALUES (interval '10 minutes'), ('-23 hours'), ('-25 hours')) a (age)",
    )
    .await;
    rig.run("INSERT INTO owner (id) VALUES ('018f0000-0000-7000-8000-000000000001')")
        .await;
    rig.run(
        "INSERT INTO upload (owner_id, id, created_at)
         SELECT o.id, ('018f0000-0000-7000-8000-00000000000' || n)::uuid, now() - interval '25 hours' * (n - 1)
         FROM owner o, generate_series(1, 3) n",
    )
    .await;
    rig.run("INSERT INTO upload_chunk (owner_id, upload_id, position, body) SELECT owner_id, id, 0, '' FROM upload").await;
    // The second of the two old ones is an import's.
    rig.run(
        "INSERT INTO import (owner_id, id, upload_id, format, state, created_at)
         SELECT owner_id, id, id, 'google_csv', 'queued', now() FROM upload WHERE id::text LIKE '%3'",
    )
    .await;
    rig.run(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen) VALUES
            ('old', 'probe', 'test', now() - interval '2 hours'), ('holding', 'probe', 'test', now() - interval '2 hours'),
            ('young', 'probe', 'test', now())",
    )
    .await;
    rig.run(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, lock_by, priority)
         SELECT status || days, 'probe', '{}', status, 3, 3, now(), now() - days * interval '1 day', worker, 0
         FROM (VALUES ('Done', 6, 'old'), ('Done', 8, 'old'), ('Failed', 29, 'old'), ('Failed', 31, 'old'),
            ('Killed', 29, 'young'), ('Killed', 31, 'old'), ('Running', 31, 'holding')) j (status, days, worker)",
    )
    .await;

    rig.enqueue(&Sweep {}).await;
    assert_eq!(worker::drain(&rig.ctx).await, 1);

    assert_eq!(rig.job("sweep").await.status, "Done");
    assert_eq!(rig.count("SELECT count(*) FROM sign_in_link").await, 2);
    assert_eq!(rig.count("SELECT count(*) FROM upload").await, 2);
    assert_eq!(rig.count("SELECT count(*) FROM upload_chunk").await, 2);
    assert_eq!(
        rig.count("SELECT count(*) FROM import WHERE upload_id IS NOT NULL")
            .await,
        1
    );
    let mut jobs: Vec<String> = rig.jobs("probe").await.into_iter().map(|job| job.id).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, ["Done6", "Failed29", "Killed29", "Running31"]);
    assert_eq!(
        rig.count("SELECT count(*) FROM apalis.workers WHERE id IN ('holding', 'young')")
            .await,
        2
    );
    assert_eq!(
        rig.count("SELECT count(*) FROM apalis.workers WHERE id = 'old'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_sweep_that_itself_is_old_goes_with_a_later_one() {
    let rig = Rig::new().await;
    rig.enqueue(&Sweep {}).await;
    assert_eq!(worker::drain(&rig.ctx).await, 1);
    rig.ctx.clock().advance(TimeDelta::days(8));
    rig.enqueue(&Sweep {}).await;
    assert_eq!(worker::drain(&rig.ctx).await, 1);
    assert_eq!(rig.jobs("sweep").await.len(), 1);
}

#[tokio::test]
async fn the_trail_is_kept_for_four_hundred_days() {
    let rig = Rig::new().await;
    rig.database.user(&rig.ctx.db).await;
    rig.run(
        "INSERT INTO audit_event (owner_id, id, user_id, at, kind)
         SELECT owner_id, gen_random_uuid(), id, now() - n * interval '1 day', 'sign_in.succeeded'
         FROM app_user, generate_series(398, 402) n",
    )
    .await;
    rig.enqueue(&Sweep {}).await;
    assert_eq!(worker::drain(&rig.ctx).await, 1);
    assert_eq!(rig.count("SELECT count(*) FROM audit_event").await, 2);
    assert_eq!(
        rig.count("SELECT count(*) FROM audit_event WHERE at < now() - interval '400 days'")
            .await,
        0
    );
}
