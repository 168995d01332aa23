//! One listener for all queues: hands the database's word of a new job to the queue it is for. apalis's
//! own would hold one connection for each queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis_postgres::{PgListener, PgPool};
use futures::channel::mpsc;

/// The channel that apalis's trigger notifies.
const CHANNEL: &str = "apalis::job::insert";

/// Who is told of new jobs.
#[derive(Clone, Default)]
pub(crate) struct Notifications {
    queues: Arc<Mutex<HashMap<String, mpsc::Sender<()>>>>,
}

impl Notifications {
    /// The word of new jobs in one queue; a later subscriber takes its place. Several words that are
    /// not yet taken are one.
    pub(crate) fn subscribe(&self, queue: &str) -> mpsc::Receiver<()> {
        let (sender, receiver) = mpsc::channel(0);
        self.lock().insert(queue.to_owned(), sender);
        receiver
    }

    /// Listens for ever. What was missed while the connection was away is found by the next poll.
    pub(crate) async fn listen(self, pool: PgPool) {
        loop {
            if let Err(error) = self.listen_once(&pool).await {
                tracing::warn!(error = %error, "not listening for new jobs; polling goes on");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn listen_once(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        loop {
            let notification = listener.recv().await?;
            let event: Option<serde_json::Value> = serde_json::from_str(notification.payload()).ok();
            if let Some(queue) = event.as_ref().and_then(|event| event["job_type"].as_str()) {
                self.tell(queue);
            }
        }
    }

    fn tell(&self, queue: &str) {
        if let Some(sender) = self.lock().get_mut(queue) {
            // Full means that it has been told already.
            sender.try_send(()).ok();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<()>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
