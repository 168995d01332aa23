//! What stands between the queue and a handler, for every kind of job alike: who it runs for, the time
//! it may take, the span and the error report, and what a failure means: again later, or dead.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use apalis::prelude::{AbortError, BoxDynError, FromRequest, Task};
use chrono::TimeDelta;
use domain::jobs::Job;
use domain::{Error, Viewer};
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::context::Context;
use crate::queue;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How a kind of job is done. At least once: it may have been done already, wholly or in part.
pub trait Handle: Job {
    /// Does the job. `viewer` is who caused it; a job of the system has none.
    fn handle(
        self,
        ctx: &Context,
        viewer: Option<Viewer>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What is left to be said when the job is given up: its own row alone would tell nobody. May come
    /// more than once, as the job itself. The job is dead when this is done, or refused for good; what
    /// may pass brings the job back.
    fn gave_up(
        self,
        _ctx: &Context,
        _viewer: Option<Viewer>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Why a job was not done.
///
/// Its text is kept with the job and logged, so it names nobody.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The same may succeed later.
    #[error("{0}")]
    Retry(#[source] BoxDynError),
    /// It would fail in the same way again.
    #[error("{0}")]
    Permanent(#[source] BoxDynError),
}

impl Failure {
    /// A failure that may pass.
    pub fn retry(cause: impl Into<BoxDynError>) -> Self {
        Self::Retry(cause.into())
    }

    /// A failure that will not pass.
    pub fn permanent(cause: impl Into<BoxDynError>) -> Self {
        Self::Permanent(cause.into())
    }

    /// The viewer of a job that only makes sense with one.
    ///
    /// # Errors
    /// [`Failure::Permanent`] without one.
    pub fn unless_viewed(viewer: Option<Viewer>) -> Result<Viewer, Self> {
        viewer.ok_or_else(|| Self::permanent("this kind of job needs an owner"))
    }
}

impl From<Error> for Failure {
    /// A defect of ours may be mended by the next release, so it is worth another attempt; what the
    /// rules refuse stays refused.
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(_) | Error::RateLimited(_) | Error::Internal(_) => Self::retry(error),
            Error::Invalid(_)
            | Error::NotFound
            | Error::Unauthenticated
            | Error::Forbidden
            | Error::StepUpRequired
            | Error::TooLarge => Self::permanent(error),
        }
    }
}

type Handler = fn(Context, Option<Viewer>, Vec<u8>) -> BoxFuture<'static, Result<(), Failure>>;

/// One kind of job with its handler and its limits.
#[derive(Clone)]
pub struct Kind {
    /// The name of its queue.
    pub name: &'static str,
    /// How many of it one process runs at a time.
    pub concurrency: usize,
    /// How many are fetched at a time. While fetched ones wait, the queue's worker sends no sign of
    /// life (see [`Kind::longest_silence`]): more than one is for short jobs alone.
    pub batch: usize,
    /// How long one attempt may take.
    pub time_out: Duration,
    handler: Handler,
    gave_up: Handler,
}

impl Kind {
    /// A kind of which one runs at a time, fetched one by one, within a minute.
    #[must_use]
    pub fn of<J: Handle>() -> Self {
        Self {
            name: J::KIND,
            concurrency: 1,
            batch: 1,
            time_out: Duration::from_secs(60),
            handler: |ctx, viewer, payload| {
                Box::pin(async move { decode::<J>(&payload)?.handle(&ctx, viewer).await })
            },
            gave_up: |ctx, viewer, payload| {
                Box::pin(async move { decode::<J>(&payload)?.gave_up(&ctx, viewer).await })
            },
        }
    }

    /// How many run at a time in one process.
    #[must_use]
    pub fn concurrency(mut self, at_most: usize) -> Self {
        self.concurrency = at_most;
        self
    }

    /// How many are fetched at a time.
    #[must_use]
    pub fn batch(mut self, at_most: usize) -> Self {
        self.batch = at_most;
        self
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn time_out(mut self, after: Duration) -> Self {
        self.time_out = after;
        self
    }

    /// How long fetched jobs can keep the queue's worker from its next sign of life: the last of a
    /// batch waits for the others to make room.
    #[must_use]
    pub fn longest_silence(&self) -> Duration {
        let rounds = (self.batch - 1).div_ceil(self.concurrency);
        self.time_out
            .saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }
}

fn decode<J: Handle>(payload: &[u8]) -> Result<J, Failure> {
    // serde's own message would quote the payload.
    serde_json::from_slice(payload)
        .map_err(|e| Failure::permanent(format!("the payload does not decode: {:?}", e.classify())))
}

/// What an attempt shares with the worker that runs it.
#[derive(Clone)]
pub(crate) struct Life {
    /// Held while the handler runs: when all are gone, nothing of a stopped worker runs any more.
    pub(crate) alive: mpsc::Sender<Infallible>,
    /// Says true when the handler may not go on.
    pub(crate) interrupt: watch::Receiver<bool>,
}

/// Waits until it says true, or nobody can say it any more.
pub(crate) async fn told(mut word: watch::Receiver<bool>) {
    word.wait_for(|word| *word).await.ok();
}

/// What the queue says of a job besides its payload.
pub(crate) struct Ticket {
    pub(crate) id: String,
    /// Which attempt this is, from 1.
    pub(crate) attempt: usize,
    max_attempts: usize,
    /// The worker that holds the row.
    worker: String,
    metadata: HashMap<String, String>,
}

impl Ticket {
    pub(crate) fn new<A>(task: &Task<A>, attempt: usize) -> Self {
        let ctx = task.ctx();
        Self {
            id: ctx.task_id().map(ToString::to_string).unwrap_or_default(),
            attempt,
            max_attempts: ctx.max_attempts().unwrap_or(1),
            worker: ctx.lock_by().unwrap_or_default().to_owned(),
            metadata: ctx.metadata().as_map().clone(),
        }
    }

    /// Who the job runs for: from what `enqueue_job` wrote, and nothing else.
    fn viewer(&self) -> Result<Option<Viewer>, Failure> {
        let Some(owner) = self.metadata.get("owner") else {
            return Ok(None);
        };
        let id = |text: Option<&String>| {
            text.and_then(|text| Uuid::parse_str(text).ok())
                .ok_or_else(|| Failure::permanent("the metadata name no viewer"))
        };
        let (owner, user) = (id(Some(owner))?, id(self.metadata.get("user"))?);
        // What a read caused has no batch: its changes are one of their own.
        let batch = id(self.metadata.get("batch")).unwrap_or_else(|_| Uuid::now_v7());
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that makes a job's viewer"
        )]
        Ok(Some(Viewer::from_job(owner, user, batch)))
    }
}

impl FromRequest<Task<Vec<u8>>> for Ticket {
    type Error = Infallible;
    async fn from_request(task: &Task<Vec<u8>>) -> Result<Self, Infallible> {
        // apalis has counted this attempt by now.
        Ok(Self::new(task, task.ctx().attempt()))
    }
}

/// Why an attempt did not succeed, to the wrapper.
enum Cause {
    Failed(Failure),
    /// The worker stops, which is no fault of the job's.
    Interrupted,
}

impl From<Failure> for Cause {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// An attempt that did not succeed, as the queue takes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfinished {
    /// Was given back already, and is no longer this worker's.
    #[error("interrupted")]
    GivenBack,
    /// Comes again at the time its row now says.
    #[error("{0}")]
    Postponed(String),
    /// Is given up.
    #[error("{0}")]
    Dead(String),
}

impl Unfinished {
    /// As apalis wants it: `AbortError` ends the job as `Killed`, any other leaves it `Failed`.
    pub(crate) fn into_queue_error(self) -> BoxDynError {
        match self {
            Self::Postponed(_) | Self::GivenBack => self.into(),
            Self::Dead(_) => AbortError::new(self).into(),
        }
    }
}

/// Runs one attempt to its end, whatever the handler does.
pub(crate) async fn attempt(
    ctx: &Context,
    kind: &Kind,
    ticket: &Ticket,
    payload: Vec<u8>,
    life: Life,
) -> Result<(), Unfinished> {
    let user = ticket.metadata.get("user");
    let span = tracing::info_span!("job", job = kind.name, job_id = %ticket.id, attempt = ticket.attempt, user_id = user);
    set_parent(&span, ticket.metadata.get("trace").map(String::as_str));
    async {
        let result = if ticket.attempt > ticket.max_attempts {
            // Every worker that died with this job in hand has counted; apalis itself would go on for ever.
            Err(Failure::permanent("the workers that ran it died too often").into())
        } else {
            guarded(ctx, kind, kind.handler, ticket, payload.clone(), life.clone()).await
        };
        match settle(ctx, ticket, result).await {
            Err(Unfinished::Dead(why)) => {
                let told = guarded(ctx, kind, kind.gave_up, ticket, payload, life).await;
                bury(ctx, ticket, why, told).await
            }
            other => other,
        }
    }
    .instrument(span.clone())
    .await
}

/// A handler in a task of its own, so that neither its panic nor its long computing touches the
/// queue's worker, which must go on sending signs of life. Dropped, it takes the task with it.
async fn guarded(
    ctx: &Context,
    kind: &Kind,
    handler: Handler,
    ticket: &Ticket,
    payload: Vec<u8>,
    life: Life,
) -> Result<(), Cause> {
    let viewer = ticket.viewer()?;
    let Life { alive, interrupt } = life;
    let (ctx, time_out) = (ctx.clone(), kind.time_out);
    let work = async move {
        let _alive = alive;
        tokio::time::timeout(time_out, handler(ctx, viewer, payload)).await
    };
    let mut task = JoinSet::new();
    task.spawn(work.in_current_span());
    let joined = tokio::select! {
        joined = task.join_next() => joined,
        () = told(interrupt) => {
            task.shutdown().await;
            return Err(Cause::Interrupted);
        }
    };
    match joined {
        Some(Ok(Ok(result))) => Ok(result?),
        Some(Ok(Err(_))) => Err(Failure::retry(format!("took longer than {time_out:?}")).into()),
        Some(Err(error)) if error.is_panic() => Err(Failure::retry("the handler panicked").into()),
        Some(Err(_)) | None => Err(Failure::retry("the handler was stopped").into()),
    }
}

/// Says what became of the attempt, and writes down when the next one is due.
async fn settle(ctx: &Context, ticket: &Ticket, result: Result<(), Cause>) -> Result<(), Unfinished> {
    let cause = match result {
        Ok(()) => {
            tracing::info!("job done");
            return Ok(());
        }
        Err(Cause::Interrupted) => {
            tracing::info!("job interrupted");
            return Err(give_back(ctx, ticket).await);
        }
        Err(Cause::Failed(Failure::Permanent(cause))) => cause,
        Err(Cause::Failed(Failure::Retry(cause))) if ticket.attempt < ticket.max_attempts => {
            let seconds = postpone(ctx, ticket).await;
            tracing::warn!(error = %cause, seconds, "job failed, comes again");
            return Err(Unfinished::Postponed(cause.to_string()));
        }
        Err(Cause::Failed(Failure::Retry(cause))) => {
            format!("given up after {} attempts: {cause}", ticket.attempt).into()
        }
    };
    tracing::error!(error = %cause, "job dead");
    Err(Unfinished::Dead(cause.to_string()))
}

/// Ends a dead job once what is left to be said has been said; else it comes again, uncounted, for a
/// database that is away for a moment must not leave half of an end.
async fn bury(
    ctx: &Context,
    ticket: &Ticket,
    why: String,
    told: Result<(), Cause>,
) -> Result<(), Unfinished> {
    match told {
        Ok(()) => {}
        Err(Cause::Failed(Failure::Permanent(error))) => {
            tracing::error!(%error, "of a dead job was not told");
        }
        Err(Cause::Failed(Failure::Retry(error))) => {
            let seconds = postpone(ctx, ticket).await;
            tracing::warn!(%error, seconds, "a dead job comes again, for it could not be told of");
            return Err(give_back(ctx, ticket).await);
        }
        Err(Cause::Interrupted) => return Err(give_back(ctx, ticket).await),
    }
    Err(Unfinished::Dead(why))
}

/// Sets when the job is due again; without this apalis would fetch it again at once. Returns in how
/// many seconds.
async fn postpone(ctx: &Context, ticket: &Ticket) -> i64 {
    let pause = pause_before(ticket.attempt + 1, jitter());
    let at = ctx.clock().now() + pause;
    if let Err(error) = queue::postpone(&ctx.db.queue_pool(), &ticket.id, &ticket.worker, at).await {
        tracing::warn!(error = %error, "the pause before the next attempt was not written down");
    }
    pause.num_seconds()
}

async fn give_back(ctx: &Context, ticket: &Ticket) -> Unfinished {
    if let Err(error) = queue::give_back_one(&ctx.db.queue_pool(), &ticket.id, &ticket.worker).await {
        tracing::warn!(error = %error, "a job was not given back");
    }
    Unfinished::GivenBack
}

/// Two seconds before the second attempt, then twice as long each time up to five minutes; half of it
/// by chance, so that what failed together does not come back together.
fn pause_before(attempt: usize, chance: u16) -> TimeDelta {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let whole = 2u64
        .checked_pow(doublings)
        .map_or(LONGEST_PAUSE, Duration::from_secs)
        .min(LONGEST_PAUSE);
    let half = whole / 2;
    let pause = half + half.mul_f64(f64::from(chance) / f64::from(u16::MAX));
    TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)
}

fn jitter() -> u16 {
    domain::crypto::random().map(u16::from_le_bytes).unwrap_or(0)
}

/// Continues the trace of whatever enqueued the job, as a W3C `traceparent` in its metadata.
fn set_parent(span: &Span, trace_parent: Option<&str>) {
    if let Some(trace_parent) = trace_parent {
        domain::telemetry::set_parent(span, trace_parent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let seconds = |attempt| pause_before(attempt, u16::MAX).num_seconds();
        assert_eq!([2, 3, 4, 8].map(seconds), [2, 4, 8, 128]);
        assert_eq!([10, 20, 1000].map(seconds), [300, 300, 300]);
        assert_eq!(pause_before(4, 0).num_seconds(), 4);
    }

    #[test]
    fn what_the_rules_refuse_is_not_tried_again() {
        assert!(matches!(Failure::from(Error::NotFound), Failure::Permanent(_)));
        assert!(matches!(
            Failure::from(Error::unavailable("gone")),
            Failure::Retry(_)
        ));
    }
}
