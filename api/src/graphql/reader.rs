//! The transaction that a request reads in: opened by the first resolver that needs it, on one snapshot,
//! shared by all that follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::db::Freshness;
use domain::{Db, Result, Tx, Viewer};
use tokio::sync::OnceCell;

use super::error::too_large;

/// How many bytes of text and lists one answer may hold. The limits of a document bound the number of its
/// entries, and this what they amount to.
const ANSWER: usize = 16 * 1024 * 1024;

/// A reading transaction that is opened when first asked for. Queries have one a request; what a mutation
/// returns is read in one of its own, opened after the mutation has committed.
pub(crate) struct Reader {
    db: Db,
    viewer: Viewer,
    tx: OnceCell<Tx>,
    answered: Arc<AtomicUsize>,
}

impl Reader {
    pub(crate) fn new(db: Db, viewer: Viewer) -> Arc<Self> {
        Self::with(db, viewer, Arc::default())
    }

    fn with(db: Db, viewer: Viewer, answered: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self {
            db,
            viewer,
            tx: OnceCell::new(),
            answered,
        })
    }

    /// Who asks.
    pub(crate) fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// The transaction.
    pub(crate) async fn tx(&self) -> Result<&Tx> {
        self.tx.get_or_try_init(|| self.db.read(&self.viewer)).await
    }

    /// Another, which sees what has been committed since.
    pub(crate) fn fresh(&self) -> Arc<Self> {
        Self::with(self.db.clone(), self.viewer.clone(), Arc::clone(&self.answered))
    }

    /// A writing transaction of the same viewer.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        self.db.begin(&self.viewer).await
    }

    /// A transaction in which the viewer changes their own account.
    pub(crate) async fn begin_account(&self, freshness: Freshness) -> Result<Tx> {
        self.db.begin_account(&self.viewer, freshness).await
    }

    /// Counts what is put into the request's answer.
    pub(crate) fn charge(&self, bytes: usize) -> async_graphql::Result<()> {
        let before = self.answered.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > ANSWER {
            Err(too_large(ANSWER))
        } else {
            Ok(())
        }
    }
}
