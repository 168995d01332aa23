//! What the tests share: a database with a worker's context, a job that does as it is told, and ways to
//! look at the queue.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use domain::Viewer;
use domain::clock::Clock;
use domain::jobs::{self, Job};
use domain::testing::{Login, TestDatabase};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;
use worker::{Context, Failure, Handle, Kind};

/// A database of the test's own, and what a worker's process has.
pub struct Rig {
    pub ctx: Context,
    /// With all rights, for looking.
    pub admin: PgPool,
    pub mail_dir: PathBuf,
    pub database: TestDatabase,
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::new().await;
        let mail_dir = std::env::temp_dir().join(format!("crm-mail-{}", Uuid::now_v7()));
        let mut all = vec![("MAIL_DIR", mail_dir.to_str().unwrap())];
        all.extend(settings);
        let config = database.config(Login::Worker, &all);
        let ctx = Context::new(config, Clock::system()).unwrap();
        let admin = PgPoolOptions::new()
            .max_connections(2)
            .connect(database.admin_url().as_str())
            .await
            .unwrap();
        Self {
            ctx,
            admin,
            mail_dir,
            database,
        }
    }

    /// Enqueues as the system does.
    pub async fn enqueue<J: Job>(&self, job: &J) {
        let tx = self.ctx.db.begin_system().await.unwrap();
        assert!(
            jobs::enqueue(&tx, job, &Uuid::now_v7().to_string())
                .await
                .unwrap()
        );
        tx.commit().await.unwrap();
    }

    pub async fn probe(&self, action: Action) -> Probe {
        let probe = Probe::new(action);
        self.enqueue(&probe).await;
        probe
    }

    /// Runs the loop of the real worker in this process.
    pub fn serve(&self, kinds: Vec<Kind>) -> Serving {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(worker::run::serve(self.ctx.clone(), kinds, &[], stopped));
        Serving { stop, task }
    }

    pub async fn drain(&self, kind: Kind) -> usize {
        worker::drain::drain_kinds(&self.ctx, &[kind]).await.unwrap()
    }

    /// The rows of a queue, oldest first.
    pub async fn jobs(&self, queue: &str) -> Vec<Row> {
        sqlx::query_as(
            "SELECT id, status, attempts, lock_by, coalesce(last_result::text, '') AS result,
                coalesce(run_at > done_at, false) AS comes_later, coalesce(lock_at >= run_at, false) AS was_due
             FROM apalis.jobs WHERE job_type = $1 ORDER BY id",
        )
        .bind(queue)
        .fetch_all(&self.admin)
        .await
        .unwrap()
    }

    /// The one job of a queue.
    pub async fn job(&self, queue: &str) -> Row {
        let mut rows = self.jobs(queue).await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    /// Waits until all jobs of a queue have that status.
    pub async fn until_all(&self, queue: &str, status: &str) -> Vec<Row> {
        eventually(&format!("all of {queue} {status}"), async || {
            let rows = self.jobs(queue).await;
            (!rows.is_empty() && rows.iter().all(|row| row.status == status)).then_some(rows)
        })
        .await
    }

    pub async fn run(&self, sql: &'static str) -> u64 {
        sqlx::query(sql)
            .execute(&self.admin)
            .await
            .unwrap()
            .rows_affected()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.admin).await.unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.mail_dir).ok();
    }
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    pub id: String,
    pub status: String,
    pub attempts: i32,
    pub lock_by: Option<String>,
    pub result: String,
    /// Its next attempt is after the end of its last.
    pub comes_later: bool,
    /// It was fetched no sooner than it was due.
    pub was_due: bool,
}

pub struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<domain::Result<()>>,
}

impl Serving {
    pub async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// Asks until there is an answer; fails after two minutes, which is longer than anything here takes.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..2400 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

/// A viewer with an owner of their own.
pub fn viewer() -> Viewer {
    Viewer::from_job(Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7())
}

/// A job that does as it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    id: Uuid,
    action: Action,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Action {
    Succeed,
    SucceedSoon,
    Fail,
    Refuse,
    /// Fails, and tells of its end only when asked for the second time.
    FailAndTellLater,
    Panic,
    Never,
}

/// The viewers that a probe ran for, an entry for each attempt.
static RUNS: LazyLock<Mutex<HashMap<Uuid, Vec<Option<Viewer>>>>> = LazyLock::new(Mutex::default);

/// How often a probe was asked to tell of its end.
static ENDS: LazyLock<Mutex<HashMap<Uuid, usize>>> = LazyLock::new(Mutex::default);

impl Probe {
    pub fn new(action: Action) -> Self {
        let id = Uuid::now_v7();
        Self { id, action }
    }

    pub fn runs(&self) -> Vec<Option<Viewer>> {
        RUNS.lock().unwrap().get(&self.id).cloned().unwrap_or_default()
    }

    pub fn ends(&self) -> usize {
        ENDS.lock().unwrap().get(&self.id).copied().unwrap_or_default()
    }
}

impl Job for Probe {
    const KIND: &'static str = "probe";
    const MAX_ATTEMPTS: i32 = 3;
}

impl Handle for Probe {
    async fn handle(self, _ctx: &Context, viewer: Option<Viewer>) -> Result<(), Failure> {
        RUNS.lock().unwrap().entry(self.id).or_default().push(viewer);
        match self.action {
            Action::Succeed => Ok(()),
            Action::SucceedSoon => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            }
            Action::Fail | Action::FailAndTellLater => Err(Failure::retry("not now")),
            Action::Refuse => Err(domain::Error::NotFound.into()),
            Action::Panic => panic!("as told"),
            Action::Never => std::future::pending().await,
        }
    }

    async fn gave_up(self, _ctx: &Context, _viewer: Option<Viewer>) -> Result<(), Failure> {
        *ENDS.lock().unwrap().entry(self.id).or_default() += 1;
        match self.action {
            Action::FailAndTellLater if self.ends() == 1 => Err(Failure::retry("not now")),
            _ => Ok(()),
        }
    }
}
