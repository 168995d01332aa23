//! Runs a worker for every queue, until told to stop.
//!
//! A queue's worker ends at the first error of its database: it is started anew under a new name, and
//! what the old one held is given back once nothing of it runs any more.

use std::convert::Infallible;
use std::time::Duration;

use apalis::prelude::{
    BackendExt as _, BoxDynError, Codec, Event, EventListenerExt as _, Strategy, WorkerBuilder,
    WorkerBuilderExt as _, WorkerContext, WorkerError,
};
use apalis_postgres::{Config as QueueConfig, PostgresStorage};
use domain::{Error, Result};
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::context::Context;
use crate::job::{Kind, Life, Ticket, attempt, told};
use crate::notify::Notifications;
use crate::queue;
use crate::schedule::{self, Schedule};

/// How often a worker says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// After how many missed signs of life another worker takes its jobs.
const MISSED_HEARTBEATS: usize = 6;
/// How often a queue is looked at besides the database's word: for what is due only now.
const POLL: Duration = Duration::from_secs(1);
/// How long running jobs may go on after the word to stop. Shorter than what process managers wait
/// before they kill, and than the missed signs of life, for a stopping worker sends none.
const GRACE: Duration = Duration::from_secs(6);
/// How long a stopping worker may take to write down what became of its jobs.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long to wait before a dead worker is replaced.
const PAUSE: Duration = Duration::from_secs(1);

/// After which silence a worker counts as dead.
#[must_use]
pub fn silence_of_the_dead() -> Duration {
    HEARTBEAT * u32::try_from(MISSED_HEARTBEATS).unwrap_or(u32::MAX)
}

/// Runs the given kinds and schedules until `stop` says true, or nobody can say it any more.
///
/// # Errors
/// [`Error::Internal`] when a queue's supervision ended by itself, which is a defect.
pub async fn serve(
    ctx: Context,
    kinds: Vec<Kind>,
    schedules: &'static [Schedule],
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let notifications = Notifications::default();
    let listener = tokio::spawn(notifications.clone().listen(ctx.db.queue_pool()));
    let ticker = tokio::spawn(schedule::tick(ctx.clone(), schedules));
    let (started, mut starts) = mpsc::channel(kinds.len().max(1));
    let mut queues = JoinSet::new();
    let count = kinds.len();
    for kind in kinds {
        let queue = Queue {
            ctx: ctx.clone(),
            kind,
            notifications: notifications.clone(),
            started: started.clone(),
        };
        queues.spawn(queue.supervise(stop.clone()));
    }
    drop(started);
    let ready = tokio::spawn(async move {
        for _ in 0..count {
            starts.recv().await;
        }
        tracing::info!("worker ready");
    });
    let mut result = Ok(());
    while let Some(ended) = queues.join_next().await {
        if let Err(error) = ended {
            result = Err(Error::internal(error));
        }
    }
    for task in [ready, ticker, listener] {
        task.abort();
        task.await.ok();
    }
    result
}

/// One queue and what its worker needs.
struct Queue {
    ctx: Context,
    kind: Kind,
    notifications: Notifications,
    started: mpsc::Sender<()>,
}

impl Queue {
    async fn supervise(self, stop: watch::Receiver<bool>) {
        let pool = self.ctx.db.queue_pool();
        loop {
            let name = worker_name(self.kind.name);
            let stopping = self.work(&name, &stop).await;
            match queue::give_back(&pool, &name).await {
                Ok(0) => {}
                Ok(jobs) => tracing::info!(queue = self.kind.name, jobs, "gave back jobs"),
                Err(error) => {
                    tracing::warn!(queue = self.kind.name, error = %error, "jobs wait for the next worker to miss this one");
                }
            }
            if stopping {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Runs one worker to its end. Returns whether it was told to stop.
    async fn work(&self, name: &str, stop: &watch::Receiver<bool>) -> bool {
        let context = WorkerContext::new(name);
        let (alive, mut living) = mpsc::channel::<Infallible>(1);
        let (interrupt, interrupted) = watch::channel(false);
        let life = Life {
            alive,
            interrupt: interrupted,
        };
        let mut worker = self.worker(&context, life);
        let stopping = tokio::select! {
            ended = &mut worker => {
                if let Err(error) = ended {
                    tracing::warn!(queue = self.kind.name, error = %error, "a queue's worker ended; starting another");
                }
                stopped(stop)
            }
            () = told(stop.clone()) => {
                // It may not have started yet, and then has nothing to end.
                if context.stop().is_ok() && tokio::time::timeout(GRACE, &mut worker).await.is_err() {
                    // Not by dropping the worker: until the last job has ended, apalis has written
                    // nothing of those that were done meanwhile.
                    interrupt.send_replace(true);
                    tokio::time::timeout(LAST_WORDS, &mut worker).await.ok();
                }
                true
            }
        };
        // Its jobs are stopped with it, for nobody hears that they live. Only when they have ended may
        // another have them.
        drop(worker);
        living.recv().await;
        stopping
    }

    fn worker(&self, context: &WorkerContext, life: Life) -> BoxFuture<'static, Result<(), WorkerError>> {
        let config = QueueConfig::default()
            .queue(self.kind.name)
            .batch_size(self.kind.batch)
            .heartbeat_interval(HEARTBEAT)
            .missed_heartbeats(MISSED_HEARTBEATS);
        // The interval first: a strategy whose earlier one is ready does not ask the later ones.
        let strategy = Strategy::new()
            .interval(POLL)
            .stream(self.notifications.subscribe(self.kind.name));
        let backend = PostgresStorage::<Vec<u8>>::new(&self.ctx.db.queue_pool())
            .with_config(config)
            .with_codec(Undecoded)
            .poll_with_strategy(strategy);
        let (ctx, kind) = (self.ctx.clone(), self.kind.clone());
        let handler = move |payload: Vec<u8>, ticket: Ticket| {
            let (ctx, kind, life) = (ctx.clone(), kind.clone(), life.clone());
            async move {
                let result = attempt(&ctx, &kind, &ticket, payload, life).await;
                result.map_err(|unfinished| -> BoxDynError { unfinished.into_queue_error() })
            }
        };
        let started = self.started.clone();
        let worker = WorkerBuilder::new(context)
            .backend(backend)
            .concurrency(self.kind.concurrency)
            .on_event(move |_, event| {
                // The first heartbeat follows the registration.
                if matches!(event, Event::HeartBeat) {
                    started.try_send(()).ok();
                }
            })
            .build(handler);
        Box::pin(worker.run())
    }
}

fn stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// New at every start: apalis frees the jobs of other names only.
fn worker_name(queue: &str) -> String {
    let host = hostname::get().unwrap_or_default();
    format!("{}/{queue}/{}", host.to_string_lossy(), Uuid::now_v7())
}

/// Hands payloads on as they are: what apalis can't decode would end the worker, and stay in the queue.
#[derive(Clone, Debug)]
struct Undecoded;

impl Codec<Vec<u8>> for Undecoded {
    type Error = Infallible;
    type Compact = Vec<u8>;

    fn encode(&self, payload: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(payload.clone())
    }

    fn decode(&self, payload: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(payload.clone())
    }
}
