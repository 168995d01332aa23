//! What every way to sign in ends in: one function, so that none forgets the second factor, the audit
//! trail or the word to its user.

use serde::{Deserialize, Serialize};

use super::audit::{self, Event};
use super::browser::BrowserSecret;
use super::ceremony::{self, Handle};
use super::client::{self, Acquaintance};
use super::session::{self, Authentication, ClientInfo, NewSession, UserRef};
use crate::db::Tx;
use crate::error::{Error, Result};

/// What came of a sign-in.
pub enum Outcome {
    /// A session.
    SignedIn(SignedIn),
    /// The user wants a second factor to be presented: until then there is no session, and the handle opens
    /// nothing but the place to present it.
    SecondFactor(Handle),
}

/// A sign-in that is done.
pub struct SignedIn {
    /// The session it began.
    pub session: NewSession,
    /// Where the browser wanted to go; checked again before it goes there.
    pub return_to: Option<String>,
}

/// What is remembered between the first factor and the second.
#[derive(Serialize, Deserialize)]
pub(super) struct FirstFactor {
    pub(super) method: String,
    pub(super) provider: Option<String>,
    pub(super) return_to: String,
}

/// Ends a sign-in in which somebody showed to be `of`: with a session, or by asking for the second factor.
/// `return_to` is empty, or where the browser wants to go.
pub(super) async fn complete(
    tx: &Tx,
    of: UserRef,
    how: Authentication,
    client: &ClientInfo,
    browser: &BrowserSecret,
    return_to: &str,
) -> Result<Outcome> {
    if !how.is_strong() && passkey_required(tx, of).await? {
        let first = FirstFactor {
            method: how.method.as_str().to_owned(),
            provider: how.provider,
            return_to: return_to.to_owned(),
        };
        let handle = ceremony::begin(tx, ceremony::Kind::SecondFactor, browser, Some(of), &first).await?;
        return Ok(Outcome::SecondFactor(handle));
    }
    let session = session::create(tx, of, &how, client).await?;
    let id = session.subject.session();
    let kind = match client::meet(tx, of, client).await? {
        Acquaintance::First | Acquaintance::Known => audit::Kind::SignedIn,
        Acquaintance::New => audit::Kind::SignedInAnew,
    };
    let event = Event::new(kind).by(how.name()).session(id);
    audit::record(tx, of, Some(client), event).await?;
    Ok(Outcome::SignedIn(SignedIn {
        session,
        return_to: (!return_to.is_empty()).then(|| return_to.to_owned()),
    }))
}

/// Whether the user wants it; held, so that nobody gets in by one factor while that changes.
async fn passkey_required(tx: &Tx, of: UserRef) -> Result<bool> {
    let row = tx
        .query_one_row(
            "SELECT passkey_required FROM app_user WHERE owner_id = $1 AND id = $2 FOR SHARE",
            [of.owner.into(), of.user.into()],
        )
        .await?
        .ok_or(Error::Unauthenticated)?;
    Ok(row.try_get("", "passkey_required")?)
}
