//! Where a person is signed in. Nothing of it is for API keys.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result};
use chrono::{DateTime, Utc};
use domain::db::Freshness;
use domain::identity::own_session::{self, OwnSession};

use super::error::{mutate_account, payload, top_level};
use super::node::Kind;
use super::reader::Reader;
use super::scope::SessionOnly;

/// How a session began.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionMethod {
    /// By a mailed link.
    EmailLink,
    /// At a provider of single sign-on.
    Sso,
    /// By a passkey.
    Passkey,
    /// By a command on a developer's machine.
    Development,
}

/// What was presented besides, when a session began.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionSecondFactor {
    /// A passkey.
    Passkey,
    /// A recovery code.
    RecoveryCode,
}

/// A browser in which the person is signed in.
#[derive(Clone)]
pub(crate) struct Session(pub(crate) OwnSession);

/// A browser in which the person is signed in.
#[Object(guard = "SessionOnly")]
impl Session {
    /// The global id.
    /// For sessions only.
    pub(crate) async fn id(&self) -> ID {
        Kind::Session.id(self.0.id)
    }
    /// How it began; null for a way that is newer than this answer.
    /// For sessions only.
    async fn method(&self) -> Option<SessionMethod> {
        match self.0.method.as_str() {
            "email_link" => Some(SessionMethod::EmailLink),
            "sso" => Some(SessionMethod::Sso),
            "passkey" => Some(SessionMethod::Passkey),
            "development" => Some(SessionMethod::Development),
            _ => None,
        }
    }
    /// At which provider of single sign-on it began.
    /// For sessions only.
    async fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }
    /// What was presented besides.
    /// For sessions only.
    async fn second_factor(&self) -> Option<SessionSecondFactor> {
        match self.0.second_factor.as_deref() {
            Some("passkey") => Some(SessionSecondFactor::Passkey),
            Some("recovery_code") => Some(SessionSecondFactor::RecoveryCode),
            _ => None,
        }
    }
    /// When it began.
    /// For sessions only.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
    /// When the person last showed who they are. What changes how one signs in wants that within 10 minutes, and
    /// else answers `STEP_UP_REQUIRED`.
    /// For sessions only.
    async fn authenticated_at(&self) -> DateTime<Utc> {
        self.0.authenticated_at
    }
    /// When its access was last renewed.
    /// For sessions only.
    async fn last_used_at(&self) -> DateTime<Utc> {
        self.0.last_used_at
    }
    /// When it ends if it is not used before.
    /// For sessions only.
    async fn ends_at(&self) -> DateTime<Utc> {
        self.0.ends_at
    }
    /// What the browser called itself when it began.
    /// For sessions only.
    async fn user_agent(&self) -> Option<&str> {
        self.0.user_agent.as_deref()
    }
    /// The IP address from which it began.
    /// For sessions only.
    async fn ip_address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }
    /// Whether this very request came by it.
    /// For sessions only.
    async fn is_current(&self) -> bool {
        self.0.is_current
    }
}

/// The viewer's sessions.
pub(super) async fn all(reader: &Reader) -> Result<Vec<Session>> {
    let tx = reader.tx().await.map_err(top_level)?;
    let sessions = own_session::list(tx).await.map_err(top_level)?;
    Ok(sessions.into_iter().map(Session).collect())
}

payload! {
    SessionOnly, "For sessions only.",
    /// What `endSession` did.
    EndSessionPayload,
    /// The id of the session that is over.
    ended_session_id: ID
}
payload! {
    SessionOnly, "For sessions only.",
    /// What `endOtherSessions` did.
    EndOtherSessionsPayload,
    /// How many sessions that ended.
    ended_count: i32
}
payload! {
    SessionOnly, "For sessions only.",
    /// What `endAllSessions` did.
    EndAllSessionsPayload,
    /// How many sessions that ended, this one among them.
    ended_count: i32
}

/// The session to end.
#[derive(InputObject)]
pub(crate) struct EndSessionInput {
    /// The session.
    id: ID,
}

#[derive(Default)]
pub(crate) struct SessionMutation;

#[Object(guard = "SessionOnly")]
impl SessionMutation {
    /// Ends a session, maybe this one: its next request is refused.
    /// For sessions only.
    async fn end_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session.")] input: EndSessionInput,
    ) -> Result<EndSessionPayload> {
        let id = Kind::Session.uuid(&input.id);
        let ended = mutate_account(ctx, Freshness::Any, "id", async |tx| {
            own_session::end(tx, id).await
        });
        Ok(EndSessionPayload::of(ended.await?, |(), _| input.id))
    }

    /// Ends all sessions but this one.
    /// For sessions only.
    async fn end_other_sessions(&self, ctx: &Context<'_>) -> Result<EndOtherSessionsPayload> {
        let ended = mutate_account(ctx, Freshness::Any, "", async |tx| {
            own_session::end_others(tx).await
        });
        Ok(EndOtherSessionsPayload::of(ended.await?, |count, _| {
            number(count)
        }))
    }

    /// Signs out everywhere, here too.
    /// For sessions only.
    async fn end_all_sessions(&self, ctx: &Context<'_>) -> Result<EndAllSessionsPayload> {
        let ended = mutate_account(ctx, Freshness::Any, "", async |tx| own_session::end_all(tx).await);
        Ok(EndAllSessionsPayload::of(ended.await?, |count, _| number(count)))
    }
}

fn number(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
