//! What the queue's own schema is asked and told beyond what apalis does itself.

use apalis_postgres::PgPool;
use chrono::{DateTime, Utc};
use domain::Result;

/// How many rows one statement of the clean-up takes.
const BATCH: i64 = 10_000;

/// Sets when a job that this worker holds is due again.
pub(crate) async fn postpone(pool: &PgPool, id: &str, worker: &str, at: DateTime<Utc>) -> Result<()> {
    sqlx::query("UPDATE apalis.jobs SET run_at = $3 WHERE id = $1 AND lock_by = $2")
        .bind(id)
        .bind(worker)
        .bind(at)
        .execute(pool)
        .await?;
    Ok(())
}

/// Gives back a job that this worker holds, without counting the attempt. What apalis writes of it
/// afterwards finds no row of this worker's.
pub(crate) async fn give_back_one(pool: &PgPool, id: &str, worker: &str) -> Result<()> {
    sqlx::query(
        "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
         WHERE id = $1 AND lock_by = $2",
    )
    .bind(id)
    .bind(worker)
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives back whatever a worker that no longer runs still holds, without counting an attempt. Returns
/// how many jobs.
pub(crate) async fn give_back(pool: &PgPool, worker: &str) -> Result<u64> {
    let done = sqlx::query(
        "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
         WHERE lock_by = $1 AND status IN ('Queued', 'Running')",
    )
    .bind(worker)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// What a clean-up of the queue removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Jobs that had ended.
    pub jobs: u64,
    /// Workers not heard of for long.
    pub workers: u64,
}

/// Removes jobs that were done before `done`, dead ones that ended before `dead`, and workers not
/// heard of since `silent`. A key can be used again once its job is removed.
///
/// # Errors
/// When the database refuses.
pub async fn remove_ended(
    pool: &PgPool,
    done: DateTime<Utc>,
    dead: DateTime<Utc>,
    silent: DateTime<Utc>,
) -> Result<Removed> {
    let mut removed = Removed::default();
    loop {
        let batch = sqlx::query(
            "DELETE FROM apalis.jobs WHERE id IN (
                SELECT id FROM apalis.jobs
                WHERE done_at < $1 AND (status = 'Done' OR (done_at < $2
                    AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))))
                ORDER BY done_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
        )
        .bind(done)
        .bind(dead)
        .bind(BATCH)
        .execute(pool)
        .await?
        .rows_affected();
        removed.jobs += batch;
        if batch < BATCH.unsigned_abs() {
            break;
        }
    }
    // An ended job still names its worker, and a foreign key holds that one.
    sqlx::query(
        "UPDATE apalis.jobs j SET lock_by = NULL FROM apalis.workers w
         WHERE w.last_seen < $1 AND j.lock_by = w.id AND j.status NOT IN ('Queued', 'Running')",
    )
    .bind(silent)
    .execute(pool)
    .await?;
    removed.workers = sqlx::query(
        "DELETE FROM apalis.workers w
         WHERE w.last_seen < $1 AND NOT EXISTS (SELECT 1 FROM apalis.jobs j WHERE j.lock_by = w.id)",
    )
    .bind(silent)
    .execute(pool)
    .await?
    .rows_affected();
    Ok(removed)
}
