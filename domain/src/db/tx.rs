//! An open transaction. It knows who asks, the time it began, and the owner's keys, so that operations
//! take it and nothing else besides their input.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use uuid::Uuid;

use super::Db;
use super::connection::Connection;
use crate::clock::new_id;
use crate::crypto::Keyring;
use crate::error::{Error, Result, TOO_LARGE};
use crate::viewer::Viewer;

/// How many bytes one statement may bring: whoever asks, no answer takes the process's memory.
const MOST: usize = 64 * 1024 * 1024;

/// An open transaction; dropped without [`Tx::commit`], it never was.
pub struct Tx {
    connection: Mutex<Connection>,
    viewer: Option<Viewer>,
    batch: Uuid,
    now: DateTime<Utc>,
    keyring: Arc<Keyring>,
    sso_issuers: Arc<[String]>,
    statements: Arc<AtomicU64>,
    /// Given back after the connection, which is dropped first.
    _place: Option<OwnedSemaphorePermit>,
}

impl Tx {
    pub(super) fn new(
        connection: Connection,
        db: &Db,
        viewer: Option<Viewer>,
        batch: Uuid,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        db.statements.fetch_add(1, Ordering::Relaxed);
        Self {
            connection: Mutex::new(connection),
            viewer,
            batch,
            now: db.clock.now(),
            keyring: Arc::clone(&db.keyring),
            sso_issuers: Arc::clone(&db.sso_issuers),
            statements: Arc::clone(&db.statements),
            _place: place,
        }
    }

    /// Makes everything in it durable at once.
    ///
    /// # Errors
    /// When the database refuses or is gone; then nothing of it happened, unless the answer alone was lost.
    pub async fn commit(self) -> Result<()> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        Ok(self.connection.into_inner().commit().await?)
    }

    /// Whose rows this transaction sees.
    ///
    /// # Errors
    /// [`Error::Internal`] in a transaction that was opened without a viewer.
    pub fn owner(&self) -> Result<Uuid> {
        self.viewer().map(Viewer::owner)
    }

    /// Who asks.
    ///
    /// # Errors
    /// As [`Tx::owner`].
    pub fn viewer(&self) -> Result<&Viewer> {
        self.viewer
            .as_ref()
            .ok_or_else(|| Error::internal("this transaction has no viewer"))
    }

    /// The batch that the journal files this transaction's changes under.
    #[must_use]
    pub fn batch(&self) -> Uuid {
        self.batch
    }

    /// The time at which the transaction began, which all its rows carry.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// A new id.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        new_id(self.now)
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Who can sign somebody in as of now: an identity elsewhere is no way in.
    pub(crate) fn sso_issuers(&self) -> &[String] {
        &self.sso_issuers
    }

    /// The rows of a statement written here by hand.
    pub(crate) async fn query(
        &self,
        sql: &'static str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Vec<QueryResult>> {
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
        Ok(self.query_all_raw(statement).await?)
    }

    /// The first row of a statement written here by hand.
    pub(crate) async fn query_one_row(
        &self,
        sql: &'static str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Option<QueryResult>> {
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
        Ok(self.query_one_raw(statement).await?)
    }

    /// Runs a statement written here by hand; returns how many rows it touched.
    pub(crate) async fn run(
        &self,
        sql: &'static str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<u64> {
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
        Ok(self.execute_raw(statement).await?.rows_affected())
    }

    /// The first column of the one row that a text-only statement returns.
    pub(crate) async fn text(&self, sql: &'static str) -> Result<Vec<String>> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let mut connection = self.connection.lock().await;
        let rows = connection.get().fetch_all(sqlx::query(sql)).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

fn bound(statement: Statement) -> (AssertSqlSafe<String>, SqlxValues) {
    (
        AssertSqlSafe(statement.sql),
        SqlxValues(statement.values.unwrap_or(Values(Vec::new()))),
    )
}

/// The bytes of a row's values as they came.
fn size(row: &PgRow) -> usize {
    let values = (0..row.len()).filter_map(|column| row.try_get_raw(column).ok());
    values
        .filter_map(|value| value.as_bytes().ok().map(<[u8]>::len))
        .sum()
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let (sql, values) = bound(statement);
        let mut connection = self.connection.lock().await;
        let done = connection.get().execute(sqlx::query_with(sql, values)).await;
        done.map(Into::into).map_err(query_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let mut connection = self.connection.lock().await;
        let done = connection.get().execute(AssertSqlSafe(sql.to_owned())).await;
        done.map(Into::into).map_err(query_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let (sql, values) = bound(statement);
        let mut connection = self.connection.lock().await;
        let row = connection
            .get()
            .fetch_optional(sqlx::query_with(sql, values))
            .await;
        row.map(|row| row.map(Into::into)).map_err(query_error)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let (sql, values) = bound(statement);
        let mut connection = self.connection.lock().await;
        let mut stream = connection.get().fetch(sqlx::query_with(sql, values));
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = stream.try_next().await.map_err(query_error)? {
            bytes += size(&row);
            if bytes > MOST {
                return Err(DbErr::Custom(TOO_LARGE.to_owned()));
            }
            rows.push(row.into());
        }
        Ok(rows)
    }
}
