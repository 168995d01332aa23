//! The transaction that a request reads in: opened by the first resolver that needs it, on one snapshot,
//! shared by all that follow.

use std::sync::Arc;

use domain::{Db, Result, Tx, Viewer};
use tokio::sync::OnceCell;

/// A reading transaction that is opened when first asked for. Queries have one a request; what a mutation
/// returns is read in one of its own, opened after the mutation has committed.
pub(crate) struct Reader {
    db: Db,
    viewer: Viewer,
    tx: OnceCell<Tx>,
}

impl Reader {
    pub(crate) fn new(db: Db, viewer: Viewer) -> Arc<Self> {
        Arc::new(Self {
            db,
            viewer,
            tx: OnceCell::new(),
        })
    }

    /// The transaction.
    pub(crate) async fn tx(&self) -> Result<&Tx> {
        self.tx.get_or_try_init(|| self.db.read(&self.viewer)).await
    }

    /// Another, which sees what has been committed since.
    pub(crate) fn fresh(&self) -> Arc<Self> {
        Self::new(self.db.clone(), self.viewer.clone())
    }

    /// A writing transaction of the same viewer.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        self.db.begin(&self.viewer).await
    }
}
