//! What was done with an account, as its user reads it. Nothing of it is for API keys.

use std::sync::Arc;

use async_graphql::{ID, Object, Result};
use chrono::{DateTime, Utc};
use domain::identity::audit;
use domain::identity::trail;
use domain::page::PageRequest;

use super::connection::connection;
use super::error::top_level;
use super::node::Kind;
use super::reader::Reader;
use super::scope::SessionOnly;

/// Something that was done with the account, or tried.
#[derive(Clone)]
pub(crate) struct AuditEvent(pub(crate) trail::AuditEvent);

/// Something that was done with the account, or tried.
#[Object(guard = "SessionOnly")]
impl AuditEvent {
    /// The global id.
    /// For sessions only.
    pub(crate) async fn id(&self) -> ID {
        Kind::AuditEvent.id(self.0.id)
    }
    /// When.
    /// For sessions only.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }
    /// What, for programs: a stable name such as `sign_in.succeeded`, `session.ended` or `api_key.created`. New ones
    /// come with new releases.
    /// For sessions only.
    async fn kind(&self) -> &str {
        &self.0.kind
    }
    /// What, in a sentence for people. May be improved at any time.
    /// For sessions only.
    async fn summary(&self) -> &str {
        let known = audit::Kind::parse(&self.0.kind).map(audit::Kind::sentence);
        known.unwrap_or(&self.0.kind)
    }
    /// By what: a way to sign in (`email_link`, `passkey` …), or the name of a provider.
    /// For sessions only.
    async fn method(&self) -> Option<&str> {
        self.0.method.as_deref()
    }
    /// What it was about: the name of a key, an address, a reason.
    /// For sessions only.
    async fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
    /// The session in which it was done, or which it was about.
    /// For sessions only.
    async fn session_id(&self) -> Option<ID> {
        self.0.session_id.map(|id| Kind::Session.id(id))
    }
    /// The IP address from which it was done.
    /// For sessions only.
    async fn ip_address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }
    /// What the browser or program called itself.
    /// For sessions only.
    async fn user_agent(&self) -> Option<&str> {
        self.0.user_agent.as_deref()
    }
}

/// Counts events when asked to.
pub(crate) struct AuditEventCount(Arc<Reader>);

impl AuditEventCount {
    async fn count(&self) -> domain::Result<u64> {
        trail::count(self.0.tx().await?).await
    }
}

connection! {
    SessionOnly, "For sessions only.",
    /// A page of what was done with the account.
    AuditEventConnection, AuditEventEdge, AuditEvent, AuditEventCount
}

/// A page of the viewer's trail.
pub(super) async fn page(reader: &Arc<Reader>, request: &PageRequest) -> Result<AuditEventConnection> {
    let tx = reader.tx().await.map_err(top_level)?;
    let page = trail::list(tx, request).await.map_err(top_level)?;
    let entries = page
        .items
        .into_iter()
        .map(|row| (trail::cursor(&row), AuditEvent(row)))
        .collect();
    let count = AuditEventCount(Arc::clone(reader));
    Ok(AuditEventConnection::new(
        entries,
        page.has_previous,
        page.has_next,
        count,
    ))
}
