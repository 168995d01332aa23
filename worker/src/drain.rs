//! Runs what is due and returns: for tests, which decide themselves when jobs run. Everything is as in
//! the running worker but the loop: apalis's fetch, our wrapper and handlers, apalis's acknowledgement.

use apalis::prelude::{Status, TaskResult, WorkerContext};
use apalis_postgres::{Config as QueueConfig, PgPool, PgTask, queries};
use domain::{Error, Result};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::context::Context;
use crate::job::{Kind, Life, Ticket, Unfinished, attempt};
use crate::register;

/// Runs all due jobs of the product one after the other, also those that they enqueue, until none is
/// due. What fails waits for its next attempt's time by the context's clock. Returns how many attempts ran.
///
/// # Panics
/// When the database refuses: there is no test without it.
#[expect(
    clippy::expect_used,
    reason = "for tests, which end when something is missing"
)]
pub async fn drain(ctx: &Context) -> usize {
    drain_kinds(ctx, &register::kinds())
        .await
        .expect("the queue answers")
}

/// The same with the given kinds.
///
/// # Errors
/// When the database refuses.
pub async fn drain_kinds(ctx: &Context, kinds: &[Kind]) -> Result<usize> {
    let pool = ctx.db.queue_pool();
    let worker = WorkerContext::new(&format!("drain/{}", Uuid::now_v7()));
    sqlx::query("INSERT INTO apalis.workers (id, worker_type, storage_name) VALUES ($1, 'drain', 'drain')")
        .bind(worker.name())
        .execute(&pool)
        .await?;
    let mut attempts = 0;
    loop {
        let before = attempts;
        for kind in kinds {
            while let Some(task) = fetch(ctx, &pool, kind, &worker).await? {
                run_one(ctx, &pool, kind, &worker, task).await?;
                attempts += 1;
            }
        }
        if attempts == before {
            return Ok(attempts);
        }
    }
}

async fn fetch(ctx: &Context, pool: &PgPool, kind: &Kind, worker: &WorkerContext) -> Result<Option<PgTask>> {
    // The queue goes by the database's clock; what a moved clock says is due, is.
    sqlx::query(
        "UPDATE apalis.jobs SET run_at = now() - interval '1 millisecond'
         WHERE job_type = $1 AND run_at >= now() AND run_at <= $2 AND status IN ('Pending', 'Failed')",
    )
    .bind(kind.name)
    .bind(ctx.clock().now())
    .execute(pool)
    .await?;
    let config = QueueConfig::default().queue(kind.name).batch_size(1);
    let mut connection = pool.acquire().await?;
    let tasks = queries::fetch_next(&mut *connection, &config, worker).await;
    Ok(tasks.map_err(Error::internal)?.pop())
}

async fn run_one(
    ctx: &Context,
    pool: &PgPool,
    kind: &Kind,
    worker: &WorkerContext,
    task: PgTask,
) -> Result<()> {
    let (alive, _living) = mpsc::channel(1);
    let (_going_on, interrupt) = watch::channel(false);
    let life = Life { alive, interrupt };
    let ticket = Ticket::new(&task, task.ctx().attempt() + 1);
    let id = task.ctx().task_id().cloned();
    let (payload, _) = task.take();
    let outcome = attempt(ctx, kind, &ticket, payload, life).await;
    let status = match &outcome {
        Ok(()) => Status::Done,
        Err(Unfinished::Postponed(_) | Unfinished::GivenBack) => Status::Failed,
        Err(Unfinished::Dead(_)) => Status::Killed,
    };
    let result = TaskResult {
        task_id: id.ok_or_else(|| Error::internal("a job without an id"))?,
        attempt: ticket.attempt,
        status,
        result: outcome
            .map(|()| Value::Null)
            .map_err(|unfinished| unfinished.into_queue_error().to_string()),
    };
    let mut connection = pool.acquire().await?;
    let acknowledged = queries::handle_results(&mut *connection, &[&result], worker.name()).await;
    acknowledged.map_err(Error::internal).map(drop)
}
