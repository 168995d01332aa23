//! Removes what nothing needs any more: old sign-in links, ceremonies, sessions and API keys, files that no import
//! will read, and what the audit trail keeps no longer.

use chrono::TimeDelta;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::identity::{api_key, ceremony};

/// How long a sign-in link is kept after its end, so that a late click can be told so.
const LINKS: TimeDelta = TimeDelta::days(1);
/// How long a file may wait for its import.
const UPLOADS: TimeDelta = TimeDelta::days(1);
/// How long a session that has ended is kept, for its user to see.
const SESSIONS: TimeDelta = TimeDelta::days(30);
/// How long the audit trail keeps an event: a year, and some time to look back on it.
pub const AUDIT: TimeDelta = TimeDelta::days(400);
/// How many links, ceremonies, sessions or keys one transaction removes.
const LINKS_AT_ONCE: i64 = 10_000;
/// How many events one transaction removes.
const EVENTS_AT_ONCE: i32 = 10_000;
/// How many files one transaction removes; each is up to 100 MB of chunks.
const UPLOADS_AT_ONCE: i32 = 20;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Sign-in links that had ended.
    pub links: u64,
    /// Ceremonies that nobody can end any more.
    pub ceremonies: u64,
    /// Sessions that had ended.
    pub sessions: u64,
    /// API keys that had ended.
    pub api_keys: u64,
    /// Files that were never finished, or that no import refers to.
    pub uploads: u64,
    /// Events of the audit trail.
    pub events: u64,
}

/// Removes what has ended by the clock.
///
/// # Errors
/// When the database refuses; what was removed before that stays removed.
pub async fn run(db: &Db) -> Result<Swept> {
    let mut swept = Swept::default();
    loop {
        let links = remove_links(db).await?;
        swept.links += links;
        if links < LINKS_AT_ONCE.unsigned_abs() {
            break;
        }
    }
    loop {
        let tx = db.begin_auth().await?;
        let ceremonies = ceremony::remove_expired(&tx, LINKS_AT_ONCE).await?;
        tx.commit().await?;
        swept.ceremonies += ceremonies;
        if ceremonies < LINKS_AT_ONCE.unsigned_abs() {
            break;
        }
    }
    loop {
        let sessions = remove_sessions(db).await?;
        swept.sessions += sessions;
        if sessions < LINKS_AT_ONCE.unsigned_abs() {
            break;
        }
    }
    loop {
        let tx = db.begin_auth().await?;
        let api_keys = api_key::remove_ended(&tx, LINKS_AT_ONCE).await?;
        tx.commit().await?;
        swept.api_keys += api_keys;
        if api_keys < LINKS_AT_ONCE.unsigned_abs() {
            break;
        }
    }
    loop {
        let uploads = remove_uploads(db).await?;
        swept.uploads += uploads;
        if uploads < u64::from(UPLOADS_AT_ONCE.unsigned_abs()) {
            break;
        }
    }
    loop {
        let events = remove_events(db).await?;
        swept.events += events;
        if events < u64::from(EVENTS_AT_ONCE.unsigned_abs()) {
            break;
        }
    }
    Ok(swept)
}

async fn remove_links(db: &Db) -> Result<u64> {
    let tx = db.begin_auth().await?;
    let removed = tx
        .run(
            "DELETE FROM sign_in_link WHERE id IN (
                SELECT id FROM sign_in_link WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
            [(tx.now() - LINKS).into(), LINKS_AT_ONCE.into()],
        )
        .await?;
    tx.commit().await?;
    Ok(removed)
}

async fn remove_sessions(db: &Db) -> Result<u64> {
    let tx = db.begin_auth().await?;
    let removed = tx
        .run(
            "DELETE FROM session WHERE id IN (
                SELECT id FROM session WHERE least(ended_at, idle_until, expires_at) < $1 LIMIT $2)",
            [(tx.now() - SESSIONS).into(), LINKS_AT_ONCE.into()],
        )
        .await?;
    tx.commit().await?;
    Ok(removed)
}

/// Whose files they are does not come into it: the database removes them itself and says how many.
async fn remove_uploads(db: &Db) -> Result<u64> {
    let tx = db.begin_system().await?;
    let row = tx
        .query_one_row(
            "SELECT delete_stale_uploads($1, $2) AS removed",
            [(tx.now() - UPLOADS).into(), UPLOADS_AT_ONCE.into()],
        )
        .await?
        .ok_or_else(|| Error::internal("delete_stale_uploads returned no row"))?;
    let removed: i32 = row.try_get("", "removed")?;
    tx.commit().await?;
    Ok(u64::from(removed.unsigned_abs()))
}

/// Of the trail the database alone takes away, for it is changed by no role of ours.
async fn remove_events(db: &Db) -> Result<u64> {
    let tx = db.begin_system().await?;
    let row = tx
        .query_one_row(
            "SELECT delete_old_audit_events($1, $2) AS removed",
            [(tx.now() - AUDIT).into(), EVENTS_AT_ONCE.into()],
        )
        .await?
        .ok_or_else(|| Error::internal("delete_old_audit_events returned no row"))?;
    let removed: i32 = row.try_get("", "removed")?;
    tx.commit().await?;
    Ok(u64::from(removed.unsigned_abs()))
}
