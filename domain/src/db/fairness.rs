//! Keeps one owner from taking the whole pool: each has a share of its connections, and waits for one of
//! those before it asks for any. Writers of one owner wait for each other anyway; without this they would
//! wait with a connection in hand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::error::{Error, Result};

/// How long a request waits for its owner's other requests.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Fairness {
    share: usize,
    patience: Duration,
    owners: Mutex<HashMap<Uuid, Weak<Semaphore>>>,
}

impl Fairness {
    /// A quarter of the pool each, and at least two.
    pub(super) fn new(pool: u32) -> Self {
        Self {
            share: (pool as usize / 4).max(2),
            patience: PATIENCE,
            owners: Mutex::default(),
        }
    }

    /// A place among the owner's, given back when dropped.
    pub(super) async fn place(&self, owner: Uuid) -> Result<OwnedSemaphorePermit> {
        let places = self.places(owner);
        let place = tokio::time::timeout(self.patience, places.acquire_owned()).await;
        match place {
            Ok(place) => place.map_err(Error::internal),
            Err(_) => Err(Error::RateLimited(Duration::from_secs(1))),
        }
    }

    fn places(&self, owner: Uuid) -> Arc<Semaphore> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = owners.get(&owner).and_then(Weak::upgrade) {
            return places;
        }
        if owners.len() > 1000 {
            owners.retain(|_, places| places.strong_count() > 0);
        }
        let places = Arc::new(Semaphore::new(self.share));
        owners.insert(owner, Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_owners_crowd_leaves_room_for_another() {
        let fairness = Fairness {
            patience: Duration::from_millis(20),
            ..Fairness::new(8)
        };
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let taken = (
            fairness.place(ada).await.unwrap(),
            fairness.place(ada).await.unwrap(),
        );
        assert!(matches!(fairness.place(ada).await, Err(Error::RateLimited(_))));
        assert!(fairness.place(bob).await.is_ok());
        drop(taken);
        assert!(fairness.place(ada).await.is_ok());
    }
}
