//! Access tokens: what `/graphql` accepts, and nothing else.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What a verified access token says. Only verifying a token makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    pub(crate) owner: Uuid,
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
    pub(crate) expires_at: DateTime<Utc>,
}
