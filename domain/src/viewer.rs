//! Who asks. Every way to data takes a viewer, and a viewer is made from nothing that a request says
//! of itself: only from a verified access token or API key, or from the metadata that the database wrote to
//! a job.

use std::sync::Arc;

use uuid::Uuid;

use crate::identity::api_key::KnownKey;
use crate::identity::scope::{Scope, Scopes};
use crate::identity::session::{ClientInfo, Subject};
use crate::identity::token::AccessToken;

/// Who asks, and whose rows they see.
#[derive(Clone, Debug)]
pub struct Viewer {
    owner: Uuid,
    user: Uuid,
    via: Via,
    scopes: Scopes,
    client: Option<Arc<ClientInfo>>,
}

/// By what the viewer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A person's session, checked again whenever a transaction opens.
    Session(Uuid),
    /// An integration's key, checked again whenever a transaction opens.
    ApiKey(Uuid),
    /// A job that the user's own action enqueued; its changes belong to that action's batch.
    Job(Uuid),
}

impl Viewer {
    /// The viewer of a verified access token. For the HTTP guard alone.
    #[must_use]
    pub fn from_access_token(token: &AccessToken, client: Option<ClientInfo>) -> Self {
        Self {
            owner: token.owner,
            user: token.user,
            via: Via::Session(token.session),
            scopes: Scopes::all(),
            client: client.map(Arc::new),
        }
    }

    /// The viewer of a session's cookie that was just looked at, for our own pages. For the HTTP guard alone.
    #[must_use]
    pub fn from_session(subject: &Subject, client: ClientInfo) -> Self {
        Self {
            owner: subject.owner,
            user: subject.user,
            via: Via::Session(subject.session),
            scopes: Scopes::all(),
            client: Some(Arc::new(client)),
        }
    }

    /// The viewer of an API key that is good. For the HTTP guard alone.
    #[must_use]
    pub fn from_api_key(key: &KnownKey, client: ClientInfo) -> Self {
        Self {
            owner: key.owner,
            user: key.user,
            via: Via::ApiKey(key.key),
            scopes: key.scopes,
            client: Some(Arc::new(client)),
        }
    }

    /// The viewer of a job, from the metadata that `enqueue_job` wrote. For the worker's wrapper alone.
    #[must_use]
    pub fn from_job(owner: Uuid, user: Uuid, batch: Uuid) -> Self {
        Self {
            owner,
            user,
            via: Via::Job(batch),
            scopes: Scopes::all(),
            client: None,
        }
    }

    /// Whose rows they see.
    #[must_use]
    pub fn owner(&self) -> Uuid {
        self.owner
    }

    /// Who they are.
    #[must_use]
    pub fn user(&self) -> Uuid {
        self.user
    }

    /// By what they came.
    #[must_use]
    pub fn via(&self) -> Via {
        self.via
    }

    /// Whether they may do that: a key what it was made for, everyone else everything of their own.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Whether they may do anything but look.
    #[must_use]
    pub fn may_write(&self) -> bool {
        !self.scopes.only_read()
    }

    /// From where they ask; nobody knows it of a job.
    #[must_use]
    pub fn client(&self) -> Option<&ClientInfo> {
        self.client.as_deref()
    }

    /// What the journal writes down as the one who did it.
    pub(crate) fn actor(&self) -> String {
        match self.via {
            Via::Session(session) => format!("session:{session}"),
            Via::ApiKey(key) => format!("api_key:{key}"),
            Via::Job(_) => "worker".to_owned(),
        }
    }
}
