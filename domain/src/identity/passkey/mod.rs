//! Passkeys: discoverable WebAuthn credentials (W3C Web Authentication, level 3) that verify their user, and
//! so are two factors by themselves. Ours are bound to the host of our public URL.

mod assertion;
mod registration;
mod relying_party;

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use uuid::Uuid;

pub(super) use assertion::{Presented, present};
pub use assertion::{begin_sign_in, sign_in};
pub use registration::{begin_registration, register};
pub use relying_party::available;

use super::audit::{self, Event, Kind};
use super::ceremony::Handle;
use super::{methods, second_factor};
use crate::db::Tx;
use crate::error::{Code, Error, Result};

/// How many passkeys a user has at most.
pub const MOST: usize = 20;
/// How long the name of one may be, in characters.
pub const LONGEST_NAME: usize = 100;

/// A passkey, as its user is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its id, which is not the credential's.
    pub id: Uuid,
    /// What its user calls it.
    pub name: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last signed in.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What an authenticator is asked.
pub struct Challenge {
    /// What to come back with beside the authenticator's answer.
    pub handle: Handle,
    /// `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON`.
    pub options: serde_json::Value,
}

/// The viewer's passkeys, oldest first.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn list(tx: &Tx) -> Result<Vec<Passkey>> {
    let rows = tx
        .query(
            "SELECT id, name, created_at, last_used_at FROM passkey WHERE user_id = $1 ORDER BY created_at, id",
            [tx.viewer()?.user().into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &QueryResult) -> Result<Passkey> {
    Ok(Passkey {
        id: row.try_get("", "id")?,
        name: row.try_get("", "name")?,
        created_at: row.try_get("", "created_at")?,
        last_used_at: row.try_get("", "last_used_at")?,
    })
}

/// Gives one of the viewer's passkeys another name.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] for a name that is none.
pub async fn rename(tx: &Tx, id: Uuid, name: &str) -> Result<Passkey> {
    let name = checked_name(name)?;
    let row = tx
        .query_one_row(
            "UPDATE passkey SET name = $3 WHERE user_id = $1 AND id = $2 \
             RETURNING id, name, created_at, last_used_at",
            [tx.viewer()?.user().into(), id.into(), name.into()],
        )
        .await?
        .ok_or(Error::NotFound)?;
    let passkey = read(&row)?;
    audit::record_own(tx, Event::new(Kind::PasskeyRenamed).about(&passkey.name)).await?;
    Ok(passkey)
}

/// Removes one of the viewer's passkeys.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] with [`Code::PasskeyRequired`] for the last one of an account that
/// requires one, and with [`Code::LastSignInMethod`] when nothing else opens the account.
pub async fn remove(tx: &Tx, id: Uuid) -> Result<()> {
    second_factor::hold(tx).await?;
    let user = tx.viewer()?.user();
    let removed = tx
        .query_one_row(
            "DELETE FROM passkey WHERE user_id = $1 AND id = $2 RETURNING name",
            [user.into(), id.into()],
        )
        .await?
        .ok_or(Error::NotFound)?;
    let bereft = tx
        .query_one_row(
            "SELECT 1 AS one FROM app_user u WHERE u.id = $1 AND u.passkey_required \
             AND NOT EXISTS (SELECT FROM passkey p WHERE p.owner_id = u.owner_id AND p.user_id = u.id)",
            [user.into()],
        )
        .await?;
    if bereft.is_some() {
        return Err(Error::invalid(
            "",
            Code::PasskeyRequired,
            "Your account requires a passkey, and this is the last. Add another first, or stop requiring one.",
        ));
    }
    methods::keep_one(tx).await?;
    let name: String = removed.try_get("", "name")?;
    audit::record_own(tx, Event::new(Kind::PasskeyRemoved).about(&name)).await
}

/// A name as it is kept.
fn checked_name(name: &str) -> Result<String> {
    let name = name.trim();
    let wrong = |code, message| Err(Error::invalid("name", code, message));
    if name.is_empty() {
        wrong(Code::Required, "Give the passkey a name.")
    } else if name.chars().count() > LONGEST_NAME {
        wrong(Code::TooLong, "At most 100 characters.")
    } else if name.chars().any(char::is_control) {
        wrong(Code::Invalid, "A name is one line of text.")
    } else {
        Ok(name.to_owned())
    }
}

/// An authenticator's answer that was not accepted.
fn refused() -> Error {
    Error::invalid(
        "",
        Code::PasskeyRefused,
        "This passkey was not accepted. If it is no longer in your account, use another way to sign in.",
    )
}

/// A challenge that was answered already, too late, or in another browser.
fn too_late() -> Error {
    Error::invalid("", Code::LinkInvalid, "This took too long. Please try again.")
}
