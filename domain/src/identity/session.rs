//! Sessions, each a family of refresh tokens of which one is current.
//!
//! A token's successor is computed from it under a root key and stored only as a hash, so that the
//! token just before can be answered with the very same successor for a while (two tabs, a lost answer),
//! and a stolen database can't go on. An older token of ours says that two use the family: it ends.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::audit::{self, Event, Kind};
use super::refresh_token::RefreshToken;
use crate::crypto::{RootKeys, equal, random};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};

/// A session ends when it has not been used for this long.
pub const IDLE: TimeDelta = TimeDelta::days(30);
/// A session ends at this age, used or not.
pub const ABSOLUTE: TimeDelta = TimeDelta::days(90);
/// For how long the token before the current one gets the same successor again.
pub const GRACE: TimeDelta = TimeDelta::seconds(30);

/// Where a session is used from, as its user is shown it.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// The client's address.
    pub address: IpAddr,
    /// What the browser calls itself; cut at 500 characters.
    pub user_agent: Option<String>,
    /// What the browser keeps for ever, so that it is known again.
    pub device: Option<String>,
}

impl ClientInfo {
    /// What the browser calls itself, as it is kept.
    pub(crate) fn browser(&self) -> Option<String> {
        let text = self.user_agent.as_ref()?;
        Some(text.chars().filter(|c| !c.is_control()).take(500).collect())
    }
}

/// How a session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By a mailed link.
    EmailLink,
    /// At a provider of single sign-on.
    Sso,
    /// By a passkey, which is two factors.
    Passkey,
    /// By a command on a developer's machine.
    Development,
}

impl Method {
    /// As it is stored and shown; stable.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmailLink => "email_link",
            Self::Sso => "sso",
            Self::Passkey => "passkey",
            Self::Development => "development",
        }
    }

    /// Reads what [`Method::as_str`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::EmailLink, Self::Sso, Self::Passkey, Self::Development]
            .into_iter()
            .find(|method| method.as_str() == text)
    }
}

/// What was presented after the first factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondFactor {
    /// A passkey.
    Passkey,
    /// A recovery code.
    RecoveryCode,
}

impl SecondFactor {
    /// As it is stored and shown; stable.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passkey => "passkey",
            Self::RecoveryCode => "recovery_code",
        }
    }
}

/// By what a person showed who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The way.
    pub method: Method,
    /// At which provider of single sign-on.
    pub provider: Option<String>,
    /// What came after it.
    pub second_factor: Option<SecondFactor>,
}

impl Authentication {
    /// By that way alone.
    #[must_use]
    pub fn by(method: Method) -> Self {
        Self {
            method,
            provider: None,
            second_factor: None,
        }
    }

    /// Whether it is more than one factor, or a developer's own.
    pub(super) fn is_strong(&self) -> bool {
        self.second_factor.is_some() || matches!(self.method, Method::Passkey | Method::Development)
    }

    /// What the audit trail calls it.
    pub(super) fn name(&self) -> String {
        self.provider
            .clone()
            .unwrap_or_else(|| self.method.as_str().to_owned())
    }
}

/// A user, and whose rows are theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRef {
    pub(crate) owner: Uuid,
    pub(crate) user: Uuid,
}

/// For whom an access token is made. Only a session that was just looked at makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    pub(crate) owner: Uuid,
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
}

impl Subject {
    /// The session.
    #[must_use]
    pub fn session(&self) -> Uuid {
        self.session
    }
}

/// A session with the refresh token that is current from now on.
pub struct NewSession {
    /// Whose it is.
    pub subject: Subject,
    /// What the browser's cookie holds from now on.
    pub refresh_token: RefreshToken,
    /// When the cookie may go: the session ends then if it is not used before.
    pub idle_until: DateTime<Utc>,
}

/// Begins a session, in the transaction of what proved who it is. [`super::sign_in::complete`] calls it, which
/// asks for a second factor first.
pub(super) async fn create(
    tx: &Tx,
    of: UserRef,
    how: &Authentication,
    client: &ClientInfo,
) -> Result<NewSession> {
    let (id, now) = (tx.new_id(), tx.now());
    let root = tx.keyring().root();
    let secret = Zeroizing::new(random::<32>()?);
    let refresh_token = RefreshToken::new(root, root.newest(), id, 0, &secret)
        .ok_or_else(|| Error::internal("no root key"))?;
    tx.run(
        "INSERT INTO session (owner_id, id, user_id, method, created_at, authenticated_at, last_used_at, \
             idle_until, expires_at, current_hash, rotated_at, user_agent, address, provider, second_factor) \
         VALUES ($1, $2, $3, $4, $5, $5, $5, $6, $7, $8, $5, $9, $10, $11, $12)",
        [
            of.owner.into(),
            id.into(),
            of.user.into(),
            how.method.as_str().into(),
            now.into(),
            (now + IDLE).into(),
            (now + ABSOLUTE).into(),
            refresh_token.hash().to_vec().into(),
            client.browser().into(),
            client.address.to_string().into(),
            how.provider.clone().into(),
            how.second_factor.map(SecondFactor::as_str).into(),
        ],
    )
    .await?;
    Ok(NewSession {
        subject: Subject {
            owner: of.owner,
            user: of.user,
            session: id,
        },
        refresh_token,
        idle_until: now + IDLE,
    })
}

struct Family {
    subject: Subject,
    generation: i32,
    current_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    rotated_at: DateTime<Utc>,
    idle_until: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// The session's row, held until the transaction ends; none when it has ended.
async fn hold(tx: &Tx, id: Uuid) -> Result<Option<Family>> {
    let row = tx
        .query_one_row(
            "SELECT owner_id, user_id, generation, current_hash, previous_hash, rotated_at, idle_until, expires_at \
             FROM session WHERE id = $1 AND ended_at IS NULL AND idle_until > $2 AND expires_at > $2 FOR UPDATE",
            [id.into(), tx.now().into()],
        )
        .await?;
    row.map(|row| {
        Ok(Family {
            subject: Subject {
                owner: row.try_get("", "owner_id")?,
                user: row.try_get("", "user_id")?,
                session: id,
            },
            generation: row.try_get("", "generation")?,
            current_hash: row.try_get("", "current_hash")?,
            previous_hash: row.try_get("", "previous_hash")?,
            rotated_at: row.try_get("", "rotated_at")?,
            idle_until: row.try_get("", "idle_until")?,
            expires_at: row.try_get("", "expires_at")?,
        })
    })
    .transpose()
}

/// Changes a refresh token, as the cookie holds it, for its successor.
///
/// # Errors
/// [`Error::Unauthenticated`] for a token that is not ours or whose session has ended, and for one used
/// again too late, which ends its session.
pub async fn refresh(db: &Db, cookie: &str, client: &ClientInfo) -> Result<NewSession> {
    let root = db.keyring().root();
    let token = RefreshToken::parse(root, cookie).ok_or(Error::Unauthenticated)?;
    let tx = db.begin_auth().await?;
    let family = hold(&tx, token.session()).await?.ok_or(Error::Unauthenticated)?;
    let hash = token.hash();
    if equal(&hash, &family.current_hash) {
        return rotate(tx, root, &token, &family).await;
    }
    let previous = family.previous_hash.as_deref();
    if previous.is_some_and(|previous| equal(&hash, previous)) && tx.now() <= family.rotated_at + GRACE {
        return again(root, &token, &family);
    }
    // One of a later generation was current in a database that has since been restored: not a theft.
    if token.generation() <= family.generation {
        end(&tx, token.session(), client, Kind::RefreshTokenReused, None).await?;
        tx.commit().await?;
        tracing::warn!(session = %token.session(), "refresh token reused");
    }
    Err(Error::Unauthenticated)
}

async fn rotate(tx: Tx, root: &RootKeys, token: &RefreshToken, family: &Family) -> Result<NewSession> {
    let next = token
        .successor(root, root.newest())
        .ok_or_else(|| Error::internal("no root key"))?;
    let idle_until = (tx.now() + IDLE).min(family.expires_at);
    tx.run(
        "UPDATE session SET generation = $2, previous_hash = current_hash, current_hash = $3, rotated_at = $4, \
             last_used_at = $4, idle_until = $5 WHERE id = $1",
        [
            family.subject.session.into(),
            next.generation().into(),
            next.hash().to_vec().into(),
            tx.now().into(),
            idle_until.into(),
        ],
    )
    .await?;
    tx.commit().await?;
    Ok(NewSession {
        subject: family.subject,
        refresh_token: next,
        idle_until,
    })
}

/// The successor that this token had already: under the newest root key, or under the token's own if
/// the rotation was done by a process that did not have the newest yet.
fn again(root: &RootKeys, token: &RefreshToken, family: &Family) -> Result<NewSession> {
    [root.newest(), token.root_key()]
        .into_iter()
        .filter_map(|root_key| token.successor(root, root_key))
        .find(|next| equal(&next.hash(), &family.current_hash))
        .map(|refresh_token| NewSession {
            subject: family.subject,
            refresh_token,
            idle_until: family.idle_until,
        })
        .ok_or(Error::Unauthenticated)
}

/// Whose session the cookie is of, for our own pages: the token stays as it is.
///
/// # Errors
/// [`Error::Unauthenticated`] for a token that is not current (nor just before it), or whose session has
/// ended.
pub async fn look(db: &Db, cookie: &str) -> Result<Subject> {
    let root = db.keyring().root();
    let token = RefreshToken::parse(root, cookie).ok_or(Error::Unauthenticated)?;
    let tx = db.begin_auth().await?;
    let family = hold(&tx, token.session()).await?.ok_or(Error::Unauthenticated)?;
    let hash = token.hash();
    let previous = family.previous_hash.as_deref();
    let just_before =
        previous.is_some_and(|previous| equal(&hash, previous)) && tx.now() <= family.rotated_at + GRACE;
    if just_before || equal(&hash, &family.current_hash) {
        Ok(family.subject)
    } else {
        Err(Error::Unauthenticated)
    }
}

/// Why a session ends by its own token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its user signed out.
    SignedOut,
    /// The browser signed in again.
    Replaced,
}

/// Ends the session of a refresh token of ours, current or not: its next request is refused. Signing out
/// twice is no error.
///
/// # Errors
/// When the database refuses.
pub async fn end_by_token(db: &Db, cookie: &str, client: &ClientInfo, why: End) -> Result<()> {
    let Some(token) = RefreshToken::parse(db.keyring().root(), cookie) else {
        return Ok(());
    };
    let detail = match why {
        End::SignedOut => "signed out",
        End::Replaced => "the browser signed in again",
    };
    let tx = db.begin_auth().await?;
    end(&tx, token.session(), client, Kind::SessionEnded, Some(detail)).await?;
    tx.commit().await
}

/// Ends a session and writes down why, unless it has ended already.
async fn end(tx: &Tx, session: Uuid, client: &ClientInfo, kind: Kind, detail: Option<&str>) -> Result<()> {
    let ended = tx
        .query_one_row(
            "UPDATE session SET ended_at = $2 \
             WHERE id = $1 AND ended_at IS NULL AND idle_until > $2 AND expires_at > $2 RETURNING owner_id, user_id",
            [session.into(), tx.now().into()],
        )
        .await?;
    let Some(ended) = ended else { return Ok(()) };
    let of = UserRef {
        owner: ended.try_get("", "owner_id")?,
        user: ended.try_get("", "user_id")?,
    };
    let event = Event::new(kind).session(session);
    let event = detail.map_or(event.clone(), |detail| event.about(detail));
    audit::record(tx, of, Some(client), event).await
}
