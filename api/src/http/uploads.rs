//! Where uploaded files go: into the database, each piece in a transaction of its own, since the next piece can be
//! half a minute away.

use bytes::Bytes;
use domain::identity::scope::Scope;
use domain::limit::{Bucket, Limits};
use domain::{Db, Error, Result, Viewer, upload};
use uuid::Uuid;

/// A file that is being received or has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UploadId(pub(crate) Uuid);

/// What receives files.
pub(crate) struct Store {
    db: Db,
    limits: Limits,
}

impl Store {
    pub(crate) fn new(db: Db, limits: Limits) -> Self {
        Self { db, limits }
    }

    /// A file begins. All files are to be imported; from who may not do that none is taken.
    pub(crate) async fn begin(&self, viewer: &Viewer, filename: Option<String>) -> Result<UploadId> {
        if !viewer.may(Scope::ImportsWrite) {
            return Err(Error::Forbidden);
        }
        let user = viewer.user().to_string();
        self.limits.take(Bucket::UploadsPerUser, &user, 1).await?;
        let tx = self.db.begin_machinery(viewer).await?;
        let id = upload::begin(&tx, filename.as_deref()).await?;
        tx.commit().await?;
        Ok(UploadId(id))
    }

    /// The next piece of it; pieces are counted from 0.
    pub(crate) async fn write(
        &self,
        viewer: &Viewer,
        id: UploadId,
        position: u32,
        bytes: Bytes,
    ) -> Result<()> {
        let tx = self.db.begin_machinery(viewer).await?;
        upload::append(&tx, id.0, position, &bytes).await?;
        tx.commit().await
    }

    /// It is complete.
    pub(crate) async fn finish(&self, viewer: &Viewer, id: UploadId) -> Result<()> {
        let tx = self.db.begin_machinery(viewer).await?;
        upload::finish(&tx, id.0).await?;
        tx.commit().await
    }

    /// It is not wanted any more, complete or not. What is left behind by a process that dies is swept by its age.
    pub(crate) async fn abandon(&self, viewer: &Viewer, id: UploadId) {
        let gone = async {
            let tx = self.db.begin_machinery(viewer).await?;
            upload::abandon(&tx, id.0).await?;
            tx.commit().await
        };
        if let Err(error) = gone.await {
            tracing::warn!(%error, "an upload was not removed");
        }
    }
}
