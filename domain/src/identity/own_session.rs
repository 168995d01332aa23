//! A user's own view of their sessions: where they are signed in, and the end of that. A session that was ended
//! here is refused on its next request, since every transaction asks for it.

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use uuid::Uuid;

use super::audit::{self, Event, Kind};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::viewer::Via;

/// A session that is good, as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSession {
    /// Its id.
    pub id: Uuid,
    /// How it began: a stable name, see [`super::session::Method::as_str`].
    pub method: String,
    /// At which provider of single sign-on.
    pub provider: Option<String>,
    /// What was presented besides, see [`super::session::SecondFactor::as_str`].
    pub second_factor: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When its user last showed who they are.
    pub authenticated_at: DateTime<Utc>,
    /// When its access was last renewed.
    pub last_used_at: DateTime<Utc>,
    /// When it ends if it is not used before.
    pub ends_at: DateTime<Utc>,
    /// What the browser called itself when it began.
    pub user_agent: Option<String>,
    /// The client's address when it began.
    pub address: Option<String>,
    /// Whether the viewer asks by it.
    pub is_current: bool,
}

/// The viewer's sessions that are good, the last used first; at most 100.
///
/// # Errors
/// When the database refuses or is gone; so everywhere here.
pub async fn list(tx: &Tx) -> Result<Vec<OwnSession>> {
    let rows = tx
        .query(
            "SELECT id, method, provider, second_factor, created_at, authenticated_at, last_used_at, \
                 least(idle_until, expires_at) AS ends_at, user_agent, address \
             FROM session WHERE user_id = $1 AND ended_at IS NULL AND idle_until > $2 AND expires_at > $2 \
             ORDER BY last_used_at DESC, id DESC LIMIT 100",
            [tx.viewer()?.user().into(), tx.now().into()],
        )
        .await?;
    read(tx, &rows)
}

/// Those of the ids that are the viewer's and good, in no order.
///
/// # Errors
/// As [`list`].
pub async fn get_many(tx: &Tx, ids: &[Uuid]) -> Result<Vec<OwnSession>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx
        .query(
            "SELECT id, method, provider, second_factor, created_at, authenticated_at, last_used_at, \
                 least(idle_until, expires_at) AS ends_at, user_agent, address \
             FROM session WHERE user_id = $1 AND ended_at IS NULL AND idle_until > $2 AND expires_at > $2 \
               AND id = ANY ($3)",
            [tx.viewer()?.user().into(), tx.now().into(), ids.to_vec().into()],
        )
        .await?;
    read(tx, &rows)
}

fn read(tx: &Tx, rows: &[QueryResult]) -> Result<Vec<OwnSession>> {
    let current = match tx.viewer()?.via() {
        Via::Session(session) => Some(session),
        _ => None,
    };
    let sessions = rows.iter().map(|row| {
        let id: Uuid = row.try_get("", "id")?;
        Ok(OwnSession {
            id,
            method: row.try_get("", "method")?,
            provider: row.try_get("", "provider")?,
            second_factor: row.try_get("", "second_factor")?,
            created_at: row.try_get("", "created_at")?,
            authenticated_at: row.try_get("", "authenticated_at")?,
            last_used_at: row.try_get("", "last_used_at")?,
            ends_at: row.try_get("", "ends_at")?,
            user_agent: row.try_get("", "user_agent")?,
            address: row.try_get("", "address")?,
            is_current: Some(id) == current,
        })
    });
    sessions.collect()
}

/// Ends one of the viewer's sessions, maybe the one they ask by.
///
/// # Errors
/// [`Error::NotFound`] when there is none of this id that is good.
pub async fn end(tx: &Tx, id: Uuid) -> Result<()> {
    let ended = tx
        .query_one_row(
            "UPDATE session SET ended_at = $3 \
             WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND idle_until > $3 AND expires_at > $3 \
             RETURNING coalesce(user_agent, address) AS device",
            [id.into(), tx.viewer()?.user().into(), tx.now().into()],
        )
        .await?
        .ok_or(Error::NotFound)?;
    let device: Option<String> = ended.try_get("", "device")?;
    let event = Event::new(Kind::SessionEnded).about(device.as_deref().unwrap_or_default());
    audit::record_own(tx, event).await
}

/// Ends all of the viewer's sessions but the one they ask by; returns how many.
///
/// # Errors
/// [`Error::Forbidden`] for who did not come by a session.
pub async fn end_others(tx: &Tx) -> Result<u64> {
    let Via::Session(current) = tx.viewer()?.via() else {
        return Err(Error::Forbidden);
    };
    end_but(tx, Some(current), "all others").await
}

/// Signs the viewer out everywhere, here too; returns how many sessions that ended.
///
/// # Errors
/// As [`list`].
pub async fn end_all(tx: &Tx) -> Result<u64> {
    end_but(tx, None, "everywhere").await
}

async fn end_but(tx: &Tx, kept: Option<Uuid>, which: &str) -> Result<u64> {
    let ended = tx
        .run(
            "UPDATE session SET ended_at = $3 \
             WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND ended_at IS NULL AND idle_until > $3 AND expires_at > $3",
            [tx.viewer()?.user().into(), kept.into(), tx.now().into()],
        )
        .await?;
    if ended > 0 {
        audit::record_own(tx, Event::new(Kind::SessionsEnded).about(which)).await?;
    }
    Ok(ended)
}
