//! Who comes in to `/graphql`, and how much they may ask for.

use actix_web::HttpRequest;
use async_graphql::Request;
use domain::limit::{Bucket, Budget, Limits};
use domain::viewer::Via;
use domain::{Db, Result, Viewer};

use super::envelope;
use super::guard::Guard;
use crate::graphql::reader::Reader;

/// What stands before the resolvers.
pub(crate) struct Gate {
    guard: Guard,
    limits: Limits,
    db: Db,
}

impl Gate {
    pub(crate) fn new(guard: Guard, limits: Limits, db: Db) -> Self {
        Self { guard, limits, db }
    }

    /// Who asks.
    pub(crate) async fn viewer(&self, request: &HttpRequest) -> Result<Viewer> {
        let viewer = self.guard.viewer(request).await?;
        envelope::identify(request, viewer.user());
        Ok(viewer)
    }

    /// Takes an operation's price from the user's budget, and before from that of the key, so that an integration
    /// that runs wild leaves its user something. What is left is of the one that holds less.
    pub(crate) async fn take(&self, viewer: &Viewer, cost: u32) -> Result<Budget> {
        let of_key = match viewer.via() {
            Via::ApiKey(key) => {
                let bucket = Bucket::GraphqlCostPerKey;
                Some(self.limits.take(bucket, &key.to_string(), cost).await?)
            }
            Via::Session(_) | Via::Job(_) => None,
        };
        let user = viewer.user().to_string();
        let of_user = self.limits.take(Bucket::GraphqlCostPerUser, &user, cost).await?;
        Ok(match of_key {
            Some(of_key) if of_key.remaining < of_user.remaining => of_key,
            _ => of_user,
        })
    }

    /// Gives the resolvers what they need beside budget, cost and uploads.
    pub(crate) fn attach(&self, viewer: &Viewer, request: Request) -> Request {
        request.data(Reader::new(self.db.clone(), viewer.clone()))
    }
}
