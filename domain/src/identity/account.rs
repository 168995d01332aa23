//! The account of who is signed in: made at the first sign-in, read and changed by its user.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::audit::{self, Event, Kind};
use super::session::{self, Authentication, ClientInfo, Method, UserRef};
use super::token::{DEVELOPMENT_LIFETIME, Tokens};
use crate::config::Environment;
use crate::crypto::create_owner_keys;
use crate::db::{Db, Tx};
use crate::email_address::EmailAddress;
use crate::error::{Code, Error, Result, UserError};

/// A user, as they see themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: Uuid,
    /// What they want to be called.
    pub name: Option<String>,
    /// By which addresses they sign in, oldest first.
    pub emails: Vec<UserEmail>,
    /// An IANA time zone's name.
    pub time_zone: String,
    /// The country that phone numbers without one are read in (ISO 3166-1 alpha-2).
    pub phone_region: Option<String>,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
    /// When it goes, if its user asked for that.
    pub delete_after: Option<DateTime<Utc>>,
}

/// An address by which a user signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEmail {
    /// As typed.
    pub address: String,
    /// When it was shown to be theirs.
    pub verified_at: Option<DateTime<Utc>>,
}

/// What is to change; a `None` leaves it as it is, and an inner `None` empties it.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// What they want to be called; at most 200 characters.
    pub name: Option<Option<String>>,
    /// An IANA time zone's name.
    pub time_zone: Option<String>,
    /// ISO 3166-1 alpha-2, in capitals.
    pub phone_region: Option<Option<String>>,
}

/// Who is signed in.
///
/// # Errors
/// [`Error::NotFound`] when the account has just gone.
pub async fn me(tx: &Tx) -> Result<User> {
    let user = tx.viewer()?.user();
    let row = tx
        .query_one_row(
            "SELECT name, time_zone, phone_region, created_at, delete_after FROM app_user WHERE id = $1",
            [user.into()],
        )
        .await?
        .ok_or(Error::NotFound)?;
    let emails = tx
        .query(
            "SELECT address, verified_at FROM user_email WHERE user_id = $1 ORDER BY created_at, id",
            [user.into()],
        )
        .await?;
    let emails = emails.iter().map(|row| {
        Ok(UserEmail {
            address: row.try_get("", "address")?,
            verified_at: row.try_get("", "verified_at")?,
        })
    });
    Ok(User {
        id: user,
        name: row.try_get("", "name")?,
        emails: emails.collect::<Result<_>>()?,
        time_zone: row.try_get("", "time_zone")?,
        phone_region: row.try_get("", "phone_region")?,
        created_at: row.try_get("", "created_at")?,
        delete_after: row.try_get("", "delete_after")?,
    })
}

/// The country that the viewer's phone numbers without one are read in (ISO 3166).
///
/// # Errors
/// When the database refuses or is gone.
pub async fn phone_region(tx: &Tx) -> Result<Option<String>> {
    let row = tx
        .query_one_row(
            "SELECT phone_region FROM app_user WHERE id = $1",
            [tx.viewer()?.user().into()],
        )
        .await?;
    Ok(row
        .map(|row| row.try_get("", "phone_region"))
        .transpose()?
        .flatten())
}

/// Changes what a user says of themselves.
///
/// # Errors
/// [`Error::Invalid`] with all that is wrong.
pub async fn update_profile(tx: &Tx, change: ProfileChange) -> Result<User> {
    let name = change.name.map(|name| {
        name.map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
    });
    let mut wrong = Vec::new();
    if let Some(Some(name)) = &name {
        if name.chars().count() > 200 {
            wrong.push(UserError::at("name", Code::TooLong, "At most 200 characters."));
        }
        if name.chars().any(char::is_control) {
            wrong.push(UserError::at(
                "name",
                Code::Invalid,
                "A name is one line of text.",
            ));
        }
    }
    if let Some(zone) = &change.time_zone
        && !is_time_zone(tx, zone).await?
    {
        wrong.push(UserError::at(
            "timeZone",
            Code::Invalid,
            "There is no such time zone.",
        ));
    }
    if let Some(Some(region)) = &change.phone_region
        && !is_region(region)
    {
        wrong.push(UserError::at(
            "phoneRegion",
            Code::Invalid,
            "There is no such country code.",
        ));
    }
    if !wrong.is_empty() {
        return Err(Error::Invalid(wrong));
    }
    tx.run(
        "UPDATE app_user SET name = CASE WHEN $2 THEN $3 ELSE name END, \
             time_zone = coalesce($4, time_zone), \
             phone_region = CASE WHEN $5 THEN $6 ELSE phone_region END WHERE id = $1",
        [
            tx.viewer()?.user().into(),
            name.is_some().into(),
            name.flatten().into(),
            change.time_zone.into(),
            change.phone_region.is_some().into(),
            change.phone_region.flatten().into(),
        ],
    )
    .await?;
    me(tx).await
}

/// Whether Postgres knows a zone by that very name. What its system adds of its own is no zone.
async fn is_time_zone(tx: &Tx, name: &str) -> Result<bool> {
    let strange = ["posix/", "right/", "posixrules", "localtime", "Factory"];
    if name.len() > 64 || name.contains('\0') || strange.iter().any(|start| name.starts_with(start)) {
        return Ok(false);
    }
    let row = tx
        .query_one_row(
            "SELECT 1 AS one FROM pg_timezone_names WHERE name = $1",
            [name.into()],
        )
        .await?;
    Ok(row.is_some())
}

fn is_region(code: &str) -> bool {
    code.len() == 2
        && code.bytes().all(|byte| byte.is_ascii_uppercase())
        && phonenumber::country::Id::from_str(code).is_ok()
}

/// The account of a proven address; made if there is none. Of two that do this for one address at once,
/// the second finds what the first made.
pub(crate) async fn find_or_create(tx: &Tx, address: &EmailAddress, client: &ClientInfo) -> Result<UserRef> {
    lock(tx, address).await?;
    let found = tx
        .query_one_row(
            "UPDATE user_email SET verified_at = coalesce(verified_at, $2) WHERE canonical = $1 \
             RETURNING owner_id, user_id",
            [address.canonical().into(), tx.now().into()],
        )
        .await?;
    match found {
        Some(row) => user_of(&row),
        None => create(tx, address, client).await,
    }
}

/// The account of an address, proved or not.
pub(super) async fn find(tx: &Tx, address: &EmailAddress) -> Result<Option<UserRef>> {
    let row = tx
        .query_one_row(
            "SELECT owner_id, user_id FROM user_email WHERE canonical = $1",
            [address.canonical().into()],
        )
        .await?;
    row.map(|row| user_of(&row)).transpose()
}

/// What is there for an address that somebody else says is proved.
pub(super) enum Found {
    /// An account that has proved it too.
    Account(UserRef),
    /// None; there is one now.
    Created(UserRef),
    /// An account that has not proved it.
    Unproved,
}

/// As [`find_or_create`], where the address is not proved to us.
pub(super) async fn find_or_create_proved(
    tx: &Tx,
    address: &EmailAddress,
    client: &ClientInfo,
) -> Result<Found> {
    lock(tx, address).await?;
    let found = tx
        .query_one_row(
            "SELECT owner_id, user_id, verified_at IS NOT NULL AS proved FROM user_email WHERE canonical = $1 FOR SHARE",
            [address.canonical().into()],
        )
        .await?;
    match found {
        Some(row) if row.try_get("", "proved")? => Ok(Found::Account(user_of(&row)?)),
        Some(_) => Ok(Found::Unproved),
        None => Ok(Found::Created(create(tx, address, client).await?)),
    }
}

/// One at a time for an address.
pub(super) async fn lock(tx: &Tx, address: &EmailAddress) -> Result<()> {
    tx.run(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))",
        [address.canonical().into()],
    )
    .await?;
    Ok(())
}

fn user_of(row: &sea_orm::QueryResult) -> Result<UserRef> {
    Ok(UserRef {
        owner: row.try_get("", "owner_id")?,
        user: row.try_get("", "user_id")?,
    })
}

async fn create(tx: &Tx, address: &EmailAddress, client: &ClientInfo) -> Result<UserRef> {
    let of = UserRef {
        owner: tx.new_id(),
        user: tx.new_id(),
    };
    tx.run(
        "INSERT INTO owner (id, created_at) VALUES ($1, $2)",
        [of.owner.into(), tx.now().into()],
    )
    .await?;
    tx.run(
        "INSERT INTO app_user (owner_id, id, created_at) VALUES ($1, $2, $3)",
        [of.owner.into(), of.user.into(), tx.now().into()],
    )
    .await?;
    tx.run(
        "INSERT INTO user_email (owner_id, id, user_id, address, canonical, verified_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
        [
            of.owner.into(),
            tx.new_id().into(),
            of.user.into(),
            address.as_str().into(),
            address.canonical().into(),
            tx.now().into(),
        ],
    )
    .await?;
    create_owner_keys(tx, of.owner).await?;
    audit::record(tx, of, Some(client), Event::new(Kind::AccountCreated)).await?;
    Ok(of)
}

/// An access token for the user of that address, who is made if missing; good for twelve hours. On a
/// developer's machine alone.
///
/// # Errors
/// [`Error::Forbidden`] elsewhere, [`Error::Invalid`] when the text is no address.
pub async fn development_token(db: &Db, tokens: &Tokens, email: &str) -> Result<String> {
    if tokens.environment() != Environment::Development {
        return Err(Error::Forbidden);
    }
    let address = EmailAddress::parse(email)
        .ok_or_else(|| Error::invalid("email", Code::Invalid, "This is not an e-mail address."))?;
    let client = ClientInfo {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        user_agent: None,
        device: None,
    };
    let tx = db.begin_auth().await?;
    let user = find_or_create(&tx, &address, &client).await?;
    let session = session::create(&tx, user, &Authentication::by(Method::Development), &client).await?;
    tx.commit().await?;
    tokens.issue_for(&session.subject, DEVELOPMENT_LIFETIME).await
}
