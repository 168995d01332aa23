//! One pooled connection that is inside a transaction, or about to be.

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgTransactionManager;
use sqlx::{AssertSqlSafe, Executor, PgPool, Postgres, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;

/// Returns to the pool only outside a transaction: rolled back, or else closed.
pub(super) struct Connection {
    inner: PoolConnection<Postgres>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Idle,
    /// BEGIN may or may not have arrived: the connection can't be trusted.
    Beginning,
    Open,
}

impl Connection {
    pub(super) async fn acquire(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self {
            inner: pool.acquire().await?,
            state: State::Idle,
        })
    }

    /// Sends BEGIN and what belongs to it as one simple query.
    pub(super) async fn begin(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.state = State::Beginning;
        let statement = AssertSqlSafe(sql.to_owned()).into_sql_str();
        match PgTransactionManager::begin(&mut self.inner, Some(statement)).await {
            Ok(()) => {
                self.state = State::Open;
                Ok(())
            }
            Err(error) => {
                // The server is now in a failed transaction that sqlx does not know of.
                if matches!(error, sqlx::Error::Database(_)) && self.inner.execute("ROLLBACK").await.is_ok() {
                    self.state = State::Idle;
                }
                Err(error)
            }
        }
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        PgTransactionManager::commit(&mut self.inner).await?;
        self.state = State::Idle;
        Ok(())
    }

    pub(super) fn get(&mut self) -> &mut sqlx::PgConnection {
        &mut self.inner
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        match self.state {
            State::Idle => {}
            State::Beginning => self.inner.close_on_drop(),
            // Queues the ROLLBACK behind the answer; the pool sends it when it takes the connection back.
            State::Open => PgTransactionManager::start_rollback(&mut self.inner),
        }
    }
}
