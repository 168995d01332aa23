//! The way to the database. There is none without saying who asks: [`Db::read`], [`Db::begin`] and
//! [`Db::begin_machinery`] take the viewer, [`Db::begin_auth`] and [`Db::begin_system`] are for the two
//! callers that have none.
//!
//! A transaction opens in one round trip that also says whose rows are visible, checks the session and,
//! for a writer, takes the owner's lock. `sqlx`'s own transaction type is not used: when its opening
//! statement fails after BEGIN, it returns the connection to the pool inside the failed transaction.

mod connection;
mod fairness;
mod security;
mod tx;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use url::Url;
use uuid::Uuid;

use crate::clock::{Clock, new_id};
use crate::config::Config;
use crate::crypto::Keyring;
use crate::error::{Error, Result};
use crate::viewer::{Via, Viewer};

pub use security::{Binary, NEWEST};
pub use tx::Tx;

/// How long after an authentication a person may change how they sign in without another.
pub const STEP_UP: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

/// How long ago a person may have shown who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As long as the session lasts.
    Any,
    /// At most [`STEP_UP`].
    Recent,
}

/// The database, the clock and the keys: what an operation needs besides its input. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: PgPool,
    clock: Clock,
    keyring: Arc<Keyring>,
    public_url: Arc<Url>,
    sso_issuers: Arc<[String]>,
    statements: Arc<AtomicU64>,
    fairness: Arc<fairness::Fairness>,
}

impl Db {
    /// Connects with the configured login.
    ///
    /// # Errors
    /// When the URL does not parse. The server is first asked when the first transaction opens.
    pub fn connect(config: &Config, application: &str, clock: Clock) -> Result<Self> {
        let options = connect_options(config, application)?;
        let pool = PgPoolOptions::new()
            .max_connections(config.database_pool)
            .acquire_timeout(std::time::Duration::from_secs(5))
            .test_before_acquire(false)
            .connect_lazy_with(options);
        let keyring = Arc::new(Keyring::new(config));
        Ok(Self {
            pool,
            clock,
            keyring,
            public_url: Arc::new(config.public_url.clone()),
            sso_issuers: config
                .sso_providers
                .iter()
                .map(|provider| provider.issuer.clone())
                .collect(),
            statements: Arc::default(),
            fairness: Arc::new(fairness::Fairness::new(config.database_pool)),
        })
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The keys.
    #[must_use]
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Where browsers reach the API, for what is mailed.
    #[must_use]
    pub fn public_url(&self) -> &Url {
        &self.public_url
    }

    /// How many statements have been sent through this handle and its clones.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.statements.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// A transaction that only reads, on one snapshot.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the session, or the key, has ended, [`Error::Unavailable`] without a database.
    pub async fn read(&self, viewer: &Viewer) -> Result<Tx> {
        let session = session_check(viewer, self.clock.now());
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL app.owner_id = '{}'; \
             SET LOCAL app.user_id = '{}'; {session}",
            viewer.owner(),
            viewer.user(),
        );
        self.open(Some(viewer.clone()), Uuid::nil(), sql).await
    }

    /// A transaction that writes for one owner, one at a time with that owner's others. Its changes are
    /// one batch of the journal.
    ///
    /// # Errors
    /// As [`Db::read`]; [`Error::Forbidden`] for a key that may only look.
    pub async fn begin(&self, viewer: &Viewer) -> Result<Tx> {
        let (now, batch) = self.opening(viewer)?;
        let session = session_check(viewer, now);
        let sql = format!(
            "BEGIN; SET LOCAL app.owner_id = '{owner}'; SET LOCAL app.user_id = '{user}'; \
             SET LOCAL app.actor = '{actor}'; SET LOCAL app.batch = '{batch}'; {session} \
             SELECT lock_owner('{owner}')",
            owner = viewer.owner(),
            user = viewer.user(),
            actor = viewer.actor(),
        );
        self.open(Some(viewer.clone()), batch, sql).await
    }

    /// A transaction of the sign-in: identities, sessions and keys, and no table of the CRM.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without a database.
    pub async fn begin_auth(&self) -> Result<Tx> {
        self.open(None, Uuid::nil(), "BEGIN; SET LOCAL ROLE crm_auth".to_owned())
            .await
    }

    /// A transaction in which a signed-in person changes their own account: their own rows of it, and no table
    /// of the CRM. Only for a session.
    ///
    /// # Errors
    /// As [`Db::read`]; [`Error::Forbidden`] for who did not come by a session, and
    /// [`Error::StepUpRequired`] when the freshness is wanted and not there.
    pub async fn begin_account(&self, viewer: &Viewer, freshness: Freshness) -> Result<Tx> {
        let Via::Session(session) = viewer.via() else {
            return Err(Error::Forbidden);
        };
        let (now, batch) = self.opening(viewer)?;
        let check = session_check(viewer, now);
        let recent = match freshness {
            Freshness::Any => String::new(),
            Freshness::Recent => format!(
                "SELECT assert_recent('{session}', '{}');",
                (now - STEP_UP).to_rfc3339()
            ),
        };
        let sql = format!(
            "BEGIN; SET LOCAL app.owner_id = '{}'; SET LOCAL app.user_id = '{}'; \
             SET LOCAL app.actor = '{}'; SET LOCAL app.batch = '{batch}'; {check} {recent} \
             SET LOCAL ROLE crm_account",
            viewer.owner(),
            viewer.user(),
            viewer.actor(),
        );
        self.open(Some(viewer.clone()), batch, sql).await
    }

    /// A transaction of the schedulers, which learn ids and nothing else.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without a database, [`Error::Internal`] for a binary that may not.
    pub async fn begin_system(&self) -> Result<Tx> {
        self.open(None, Uuid::nil(), "BEGIN; SET LOCAL ROLE crm_system".to_owned())
            .await
    }

    /// The pool, for the queue's own storage, which speaks to its own schema.
    #[must_use]
    pub fn queue_pool(&self) -> PgPool {
        self.pool.clone()
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that writes machinery of one owner's and nothing that is journaled, and so waits for
    /// none of that owner's others.
    ///
    /// # Errors
    /// As [`Db::begin`].
    pub async fn begin_machinery(&self, viewer: &Viewer) -> Result<Tx> {
        let (now, batch) = self.opening(viewer)?;
        let session = session_check(viewer, now);
        let sql = format!(
            "BEGIN; SET LOCAL app.owner_id = '{}'; SET LOCAL app.user_id = '{}'; \
             SET LOCAL app.actor = '{}'; SET LOCAL app.batch = '{batch}'; {session}",
            viewer.owner(),
            viewer.user(),
            viewer.actor(),
        );
        self.open(Some(viewer.clone()), batch, sql).await
    }

    /// The time of a new writing transaction, and the batch that it belongs to. Whether a key may write this very
    /// thing its scopes say, field by field; here it is held that one which only reads writes nothing at all.
    fn opening(&self, viewer: &Viewer) -> Result<(DateTime<Utc>, Uuid)> {
        if !viewer.may_write() {
            return Err(Error::Forbidden);
        }
        let now = self.clock.now();
        let batch = match viewer.via() {
            Via::Job(batch) => batch,
            Via::Session(_) | Via::ApiKey(_) => new_id(now),
        };
        Ok((now, batch))
    }

    async fn open(&self, viewer: Option<Viewer>, batch: Uuid, sql: String) -> Result<Tx> {
        let place = match &viewer {
            Some(viewer) => Some(self.fairness.place(viewer.owner()).await?),
            None => None,
        };
        // A connection that was lost while idle shows itself only now. Nothing has happened yet, so
        // the next one may be tried; each failed one leaves the pool. All may be lost at once: a new one
        // comes only after the last of them.
        for _ in 0..=self.pool.options().get_max_connections() {
            let mut connection = connection::Connection::acquire(&self.pool).await?;
            match connection.begin(&sql).await {
                Ok(()) => return Ok(Tx::new(connection, self, viewer, batch, place)),
                Err(sqlx::Error::Io(_)) => {}
                Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("57P01") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::unavailable(
            "no connection to the database would open a transaction",
        ))
    }
}

fn session_check(viewer: &Viewer, now: DateTime<Utc>) -> String {
    match viewer.via() {
        Via::Session(id) => format!("SELECT assert_session('{id}', '{}');", now.to_rfc3339()),
        Via::ApiKey(id) => format!("SELECT assert_api_key('{id}', '{}');", now.to_rfc3339()),
        Via::Job(_) => String::new(),
    }
}

/// How both the pool and the queue's listeners connect.
fn connect_options(config: &Config, application: &str) -> Result<PgConnectOptions> {
    use secrecy::ExposeSecret;
    let options: PgConnectOptions = config
        .database_url
        .expose_secret()
        .parse()
        .map_err(|_| Error::internal("DATABASE_URL does not parse"))?;
    let options = options.application_name(application).options([
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "60s"),
        ("lock_timeout", "20s"),
    ]);
    Ok(sqlx::ConnectOptions::log_slow_statements(
        options,
        log::LevelFilter::Warn,
        std::time::Duration::from_secs(1),
    ))
}
