//! Adding an address to an account: a link is mailed to it, and opened by whoever asked, while they are signed in.
//! Whose the address is otherwise is said only to who has shown that the mailbox is theirs.

use std::net::IpAddr;

use uuid::Uuid;

use super::account;
use super::audit::{self, Event};
use super::browser::BrowserSecret;
use super::link;
use super::methods::MOST;
use super::session::{ClientInfo, UserRef};
use crate::db::{Db, Freshness};
use crate::email_address::EmailAddress;
use crate::error::{Code, Error, Result};
use crate::limit::{Bucket, Limits, client_key};
use crate::viewer::Viewer;

/// Has a link mailed to an address that the viewer wants to add. Over a limit nothing is sent, and the answer is the
/// same.
///
/// # Errors
/// [`Error::Invalid`] when the text is no address, or one of theirs already, or one too many;
/// [`Error::StepUpRequired`] when the last authentication is too long ago.
pub async fn request(
    db: &Db,
    limits: &Limits,
    viewer: &Viewer,
    address: &str,
    browser: &BrowserSecret,
    client: IpAddr,
) -> Result<()> {
    let tx = db.begin_account(viewer, Freshness::Recent).await?;
    let address = link::address(address)?;
    let rows = tx
        .query(
            "SELECT canonical FROM user_email WHERE user_id = $1",
            [viewer.user().into()],
        )
        .await?;
    drop(tx);
    for row in &rows {
        if row.try_get::<String>("", "canonical")? == address.canonical() {
            return Err(Error::invalid(
                "email",
                Code::Taken,
                "This address is yours already.",
            ));
        }
    }
    if i64::try_from(rows.len()).is_ok_and(|own| own >= MOST) {
        return Err(Error::invalid("email", Code::TooMany, "At most 20 addresses."));
    }
    link::mail(db, limits, &address, browser, "", client, Some(of(viewer))).await
}

/// Adds the address of a link to the account of the viewer, who asked for it in this browser.
///
/// # Errors
/// As [`link::redeem_link`]; and [`Code::Taken`] when the address belongs to another account.
pub async fn redeem(
    db: &Db,
    limits: &Limits,
    viewer: &Viewer,
    id: Uuid,
    token: &str,
    browser: Option<&BrowserSecret>,
    client: &ClientInfo,
) -> Result<()> {
    limits
        .take(Bucket::LinkAttemptsPerClient, &client_key(client.address), 1)
        .await?;
    let tx = db.begin_auth().await?;
    let (tx, opened) = link::open(tx, limits, id, token, browser, client, Some(of(viewer))).await?;
    tx.commit().await?;
    let address = EmailAddress::parse(&opened.address).ok_or_else(|| Error::internal("a stored address"))?;
    add(db, viewer, &address).await
}

async fn add(db: &Db, viewer: &Viewer, address: &EmailAddress) -> Result<()> {
    let tx = db.begin_account(viewer, Freshness::Any).await?;
    account::lock(&tx, address).await?;
    let added = tx
        .run(
            "INSERT INTO user_email (owner_id, id, user_id, address, canonical, verified_at, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (canonical) DO NOTHING",
            [
                viewer.owner().into(),
                tx.new_id().into(),
                viewer.user().into(),
                address.as_str().into(),
                address.canonical().into(),
                tx.now().into(),
            ],
        )
        .await?;
    if added == 0 {
        return Err(Error::invalid(
            "",
            Code::Taken,
            "This address belongs to an account already.",
        ));
    }
    audit::record_own(&tx, Event::new(audit::Kind::EmailAdded).about(address.as_str())).await?;
    tx.commit().await
}

fn of(viewer: &Viewer) -> UserRef {
    UserRef {
        owner: viewer.owner(),
        user: viewer.user(),
    }
}
