//! The ways into an account: addresses that links are mailed to, identities at providers, passkeys. Each is its
//! user's to remove, but never the last.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::audit::{self, Event};
use crate::db::Tx;
use crate::error::{Code, Error, Result};

/// How many addresses an account has at most, and how many identities.
pub const MOST: i64 = 20;

/// All ways but the passkeys themselves.
#[derive(Clone, Debug)]
pub struct SignInMethods {
    /// Addresses, oldest first.
    pub emails: Vec<Email>,
    /// Identities at providers, oldest first.
    pub identities: Vec<ExternalIdentity>,
    /// How many passkeys there are.
    pub passkeys: i64,
}

/// An address that a link is mailed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// Its id.
    pub id: Uuid,
    /// As typed.
    pub address: String,
    /// When it was shown to be its user's.
    pub verified_at: Option<DateTime<Utc>>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// Who the user is at a provider of single sign-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// Its id.
    pub id: Uuid,
    /// The provider's name in the configuration, also of one that is not there any more.
    pub provider: String,
    /// The address as the provider said it last.
    pub email: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was signed in with last.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The viewer's own.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn list(tx: &Tx) -> Result<SignInMethods> {
    let user = tx.viewer()?.user();
    let passkeys = tx
        .query_one_row(
            "SELECT count(*) AS passkeys FROM passkey WHERE user_id = $1",
            [user.into()],
        )
        .await?;
    Ok(SignInMethods {
        emails: emails(tx).await?,
        identities: identities(tx).await?,
        passkeys: passkeys.map_or(Ok(0), |row| row.try_get("", "passkeys"))?,
    })
}

async fn emails(tx: &Tx) -> Result<Vec<Email>> {
    let rows = tx
        .query(
            "SELECT id, address, verified_at, created_at FROM user_email WHERE user_id = $1 ORDER BY created_at, id",
            [tx.viewer()?.user().into()],
        )
        .await?;
    let emails = rows.iter().map(|row| {
        Ok(Email {
            id: row.try_get("", "id")?,
            address: row.try_get("", "address")?,
            verified_at: row.try_get("", "verified_at")?,
            created_at: row.try_get("", "created_at")?,
        })
    });
    emails.collect()
}

async fn identities(tx: &Tx) -> Result<Vec<ExternalIdentity>> {
    let rows = tx
        .query(
            "SELECT id, provider, email, created_at, last_used_at FROM external_identity \
             WHERE user_id = $1 ORDER BY created_at, id",
            [tx.viewer()?.user().into()],
        )
        .await?;
    let identities = rows.iter().map(|row| {
        Ok(ExternalIdentity {
            id: row.try_get("", "id")?,
            provider: row.try_get("", "provider")?,
            email: row.try_get("", "email")?,
            created_at: row.try_get("", "created_at")?,
            last_used_at: row.try_get("", "last_used_at")?,
        })
    });
    identities.collect()
}

/// Removes an address of the viewer's, in a transaction of their account. Its open links end with it.
///
/// # Errors
/// [`Error::NotFound`] when it is none of theirs, [`Code::LastSignInMethod`] when it is the last way in.
pub async fn remove_email(tx: &Tx, id: Uuid) -> Result<()> {
    // Before the row is held: a link that is being redeemed holds its own first, and then this.
    tx.run("SELECT spend_links_of($1, $2)", [id.into(), tx.now().into()])
        .await?;
    let row = tx
        .query_one_row(
            "DELETE FROM user_email WHERE id = $1 AND user_id = $2 RETURNING address",
            [id.into(), tx.viewer()?.user().into()],
        )
        .await?
        .ok_or(Error::NotFound)?;
    keep_one(tx).await?;
    let address: String = row.try_get("", "address")?;
    audit::record_own(tx, Event::new(audit::Kind::EmailRemoved).about(&address)).await
}

/// Removes an identity of the viewer's, in a transaction of their account.
///
/// # Errors
/// As [`remove_email`].
pub async fn remove_identity(tx: &Tx, id: Uuid) -> Result<()> {
    let row = tx
        .query_one_row(
            "DELETE FROM external_identity WHERE id = $1 AND user_id = $2 RETURNING provider, email",
            [id.into(), tx.viewer()?.user().into()],
        )
        .await?
        .ok_or(Error::NotFound)?;
    keep_one(tx).await?;
    let (provider, email): (String, Option<String>) =
        (row.try_get("", "provider")?, row.try_get("", "email")?);
    let mut event = Event::new(audit::Kind::IdentityUnlinked).by(provider);
    if let Some(email) = &email {
        event = event.about(email);
    }
    audit::record_own(tx, event).await
}

/// Refuses what has just been done in a transaction of the viewer's account if it leaves no way in. Their row is
/// held from here on, so that of two who remove the last two, one finds nothing left. An identity counts only
/// while its provider is configured.
///
/// # Errors
/// [`Code::LastSignInMethod`].
pub(crate) async fn keep_one(tx: &Tx) -> Result<()> {
    let user = tx.viewer()?.user();
    tx.run(
        "SELECT 1 FROM app_user WHERE id = $1 FOR NO KEY UPDATE",
        [user.into()],
    )
    .await?;
    let row = tx
        .query_one_row(
            "SELECT (SELECT count(*) FROM user_email WHERE user_id = $1 AND verified_at IS NOT NULL) \
                 + (SELECT count(*) FROM external_identity WHERE user_id = $1 AND issuer = ANY ($2)) \
                 + (SELECT count(*) FROM passkey WHERE user_id = $1) AS ways",
            [user.into(), tx.sso_issuers().to_vec().into()],
        )
        .await?;
    let ways: i64 = row.map_or(Ok(0), |row| row.try_get("", "ways"))?;
    if ways > 0 {
        return Ok(());
    }
    Err(Error::invalid(
        "id",
        Code::LastSignInMethod,
        "This is the only way into your account. Add another first.",
    ))
}
