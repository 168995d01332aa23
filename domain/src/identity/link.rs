//! Signing in by a mailed link: asked for by one browser, and good for that browser alone, once, for ten
//! minutes. Only hashes are stored; the worker computes the token again from the link's id.
//!
//! Asking takes the same path for every address, because accounts are made when a link is redeemed.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::account;
use super::audit::{self, Event, Kind};
use super::browser::{BrowserSecret, decode32};
use super::session::{Authentication, ClientInfo, Method, UserRef};
use super::sign_in::{self, Outcome};
use crate::crypto::{Purpose, RootKeys, equal, sha256};
use crate::db::{Db, Tx};
use crate::email_address::EmailAddress;
use crate::error::{Code, Error, Result};
use crate::jobs;
use crate::limit::{Bucket, Limits, client_key};

/// How long a link is good.
pub const VALID: TimeDelta = TimeDelta::minutes(10);
/// How many may be tried against one link.
const MOST_ATTEMPTS: i16 = 10;
/// How many links one address is mailed within [`MAIL_WINDOW`], whatever Redis remembers.
const MOST_MAILS: i64 = 5;
const MAIL_WINDOW: TimeDelta = TimeDelta::minutes(15);

/// What the mail says.
pub struct SignInMail {
    /// To whom.
    pub address: String,
    /// The page with the button. A secret until it is spent.
    pub url: String,
    /// Whether it adds the address to an account that is there, and signs nobody in.
    pub adds: bool,
    /// Until when the link is good.
    pub expires_at: DateTime<Utc>,
}

/// Has a link mailed to `address`, if it may have one: over a limit nothing is sent, and the answer is
/// the same. An older link of the address is dead from then on.
///
/// `return_to` is a URL that [`super::return_to::allowed`] allowed, or empty.
///
/// # Errors
/// [`Error::Invalid`] when the text is no address, [`Error::Unavailable`] without a database.
pub async fn request_link(
    db: &Db,
    limits: &Limits,
    text: &str,
    browser: &BrowserSecret,
    return_to: &str,
    client: IpAddr,
) -> Result<()> {
    mail(db, limits, &address(text)?, browser, return_to, client, None).await
}

/// Reads an address that a link may be mailed to.
pub(super) fn address(text: &str) -> Result<EmailAddress> {
    // Equal is judged by a compatible form, but mail goes where the text says: of two spellings that are
    // not the same to every mail server, only the plain one may sign in.
    EmailAddress::parse(text)
        .filter(EmailAddress::is_plain)
        .ok_or_else(|| Error::invalid("email", Code::Invalid, "This is not an e-mail address."))
}

/// As [`request_link`]; the link adds the address to the account `of`, if there is one.
pub(super) async fn mail(
    db: &Db,
    limits: &Limits,
    address: &EmailAddress,
    browser: &BrowserSecret,
    return_to: &str,
    client: IpAddr,
    of: Option<UserRef>,
) -> Result<()> {
    if !within(limits, address, client).await? {
        tracing::warn!("a sign-in mail was withheld: too many for the address or the client");
        return Ok(());
    }
    let tx = db.begin_auth().await?;
    lock(&tx, address).await?;
    if mails_lately(&tx, address).await? >= MOST_MAILS {
        tracing::warn!("a sign-in mail was withheld: too many for the address");
        return Ok(());
    }
    // Of its own kind: nobody ends the links of somebody else's sign-in by wanting their address.
    tx.run(
        "UPDATE sign_in_link SET spent_at = $2 \
         WHERE canonical = $1 AND spent_at IS NULL AND user_id IS NOT DISTINCT FROM $3",
        [
            address.canonical().into(),
            tx.now().into(),
            of.map(|of| of.user).into(),
        ],
    )
    .await?;
    let id = insert(&tx, address, browser, return_to, of).await?;
    jobs::enqueue(&tx, &jobs::SendSignInLink { link_id: id }, &id.to_string()).await?;
    tx.commit().await
}

async fn insert(
    tx: &Tx,
    address: &EmailAddress,
    browser: &BrowserSecret,
    return_to: &str,
    of: Option<UserRef>,
) -> Result<Uuid> {
    let id = tx.new_id();
    let root = tx.keyring().root();
    let root_key = root.newest().to_owned();
    let token = token_of(root, &root_key, id)?;
    tx.run(
        "INSERT INTO sign_in_link (id, address, canonical, browser_hash, token_hash, root_key, return_to, \
             created_at, expires_at, owner_id, user_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        [
            id.into(),
            address.as_str().into(),
            address.canonical().into(),
            browser.hash().to_vec().into(),
            sha256(token.as_slice()).to_vec().into(),
            root_key.into(),
            return_to.into(),
            tx.now().into(),
            (tx.now() + VALID).into(),
            of.map(|of| of.owner).into(),
            of.map(|of| of.user).into(),
        ],
    )
    .await?;
    Ok(id)
}

async fn within(limits: &Limits, address: &EmailAddress, client: IpAddr) -> Result<bool> {
    for (bucket, key) in [
        (Bucket::SignInMailPerClient, client_key(client)),
        (Bucket::SignInMailPerAddress, address.canonical().to_owned()),
    ] {
        match limits.take(bucket, &key, 1).await {
            Ok(_) => {}
            Err(Error::RateLimited(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// One request for an address at a time: of two at once, one is the newer.
async fn lock(tx: &Tx, address: &EmailAddress) -> Result<()> {
    tx.run(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))",
        [address.canonical().into()],
    )
    .await?;
    Ok(())
}

async fn mails_lately(tx: &Tx, address: &EmailAddress) -> Result<i64> {
    let row = tx
        .query_one_row(
            "SELECT count(*) AS mails FROM sign_in_link WHERE canonical = $1 AND created_at > $2",
            [address.canonical().into(), (tx.now() - MAIL_WINDOW).into()],
        )
        .await?;
    Ok(row.map_or(Ok(0), |row| row.try_get("", "mails"))?)
}

/// What to mail for a link; none when it is spent, replaced by a newer one, too old or gone.
///
/// # Errors
/// [`Error::Internal`] when the root key it was made under is not ours any more.
pub async fn mail_for(db: &Db, link_id: Uuid) -> Result<Option<SignInMail>> {
    let tx = db.begin_auth().await?;
    let row = tx
        .query_one_row(
            "SELECT address, root_key, expires_at, user_id IS NOT NULL AS adds FROM sign_in_link \
             WHERE id = $1 AND spent_at IS NULL AND expires_at > $2",
            [link_id.into(), tx.now().into()],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let root_key: String = row.try_get("", "root_key")?;
    let token = token_of(tx.keyring().root(), &root_key, link_id)?;
    let adds: bool = row.try_get("", "adds")?;
    let path = if adds {
        "/settings/sign-in/email"
    } else {
        "/sign-in/link"
    };
    let mut url = db.public_url().join(path).map_err(Error::internal)?;
    url.query_pairs_mut()
        .append_pair("id", &link_id.to_string())
        .append_pair("token", &URL_SAFE_NO_PAD.encode(token.as_slice()));
    Ok(Some(SignInMail {
        address: row.try_get("", "address")?,
        url: url.into(),
        adds,
        expires_at: row.try_get("", "expires_at")?,
    }))
}

/// Whether a text has the form of a link's token; says nothing about its being one.
#[must_use]
pub fn is_token(text: &str) -> bool {
    decode32(text).is_some()
}

/// Spends a link and begins a session, for the browser that asked for it. Makes the account if the
/// address has none.
///
/// # Errors
/// [`Error::Invalid`] with [`Code::OtherBrowser`] when all is right but the browser, and with
/// [`Code::LinkInvalid`] for whatever else is wrong with the link; [`Error::RateLimited`] for a client
/// that tries too much.
pub async fn redeem_link(
    db: &Db,
    limits: &Limits,
    id: Uuid,
    token: &str,
    browser: Option<&BrowserSecret>,
    client: &ClientInfo,
) -> Result<Outcome> {
    limits
        .take(Bucket::LinkAttemptsPerClient, &client_key(client.address), 1)
        .await?;
    let tx = db.begin_auth().await?;
    let (tx, link) = open(tx, limits, id, token, browser, client, None).await?;
    let address = EmailAddress::parse(&link.address).ok_or_else(|| Error::internal("a stored address"))?;
    let user = account::find_or_create(&tx, &address, client).await?;
    let how = Authentication::by(Method::EmailLink);
    let outcome = sign_in::complete(&tx, user, how, client, link.browser, &link.return_to).await?;
    tx.commit().await?;
    Ok(outcome)
}

/// A link that has just been spent.
pub(super) struct Opened<'a> {
    /// To whom it was mailed.
    pub(super) address: String,
    return_to: String,
    browser: &'a BrowserSecret,
}

/// Spends a link that signs in, or that adds an address to the account `of`; in its transaction, which is to be
/// committed. An attempt that fails is counted.
pub(super) async fn open<'a>(
    tx: Tx,
    limits: &Limits,
    id: Uuid,
    token: &str,
    browser: Option<&'a BrowserSecret>,
    client: &ClientInfo,
    of: Option<UserRef>,
) -> Result<(Tx, Opened<'a>)> {
    let Some(link) = attempt(&tx, id, of).await? else {
        refuse(tx, limits, id, client, "the link was used, replaced or too old").await?;
        return Err(link_invalid());
    };
    let token = decode32(token);
    if !token.is_some_and(|token| equal(&sha256(token.as_slice()), &link.token_hash)) {
        refuse(tx, limits, id, client, "the link was not the one that was mailed").await?;
        return Err(link_invalid());
    }
    let Some(browser) = browser.filter(|browser| equal(&browser.hash(), &link.browser_hash)) else {
        refuse(tx, limits, id, client, "the link was opened in another browser").await?;
        return Err(Error::invalid(
            "",
            Code::OtherBrowser,
            "Open the link in the browser in which you asked for it.",
        ));
    };
    let spent = tx
        .query_one_row(
            "UPDATE sign_in_link SET spent_at = $2 WHERE id = $1 AND spent_at IS NULL RETURNING id",
            [id.into(), tx.now().into()],
        )
        .await?;
    if spent.is_none() {
        return Err(link_invalid());
    }
    let opened = Opened {
        address: link.address,
        return_to: link.return_to,
        browser,
    };
    Ok((tx, opened))
}

/// Says so in the log, and in the trail of the account that the link would have opened, if there is one.
async fn refuse(tx: Tx, limits: &Limits, id: Uuid, client: &ClientInfo, why: &'static str) -> Result<()> {
    tracing::warn!(link = %id, why, "sign-in refused");
    let account = tx
        .query_one_row(
            "SELECT m.owner_id, m.user_id FROM sign_in_link l JOIN user_email m ON m.canonical = l.canonical \
             WHERE l.id = $1 AND l.user_id IS NULL",
            [id.into()],
        )
        .await?;
    if let Some(account) = account {
        let of = UserRef {
            owner: account.try_get("", "owner_id")?,
            user: account.try_get("", "user_id")?,
        };
        let event = Event::new(Kind::SignInRefused)
            .by(Method::EmailLink.as_str())
            .about(why);
        audit::record_refused(&tx, limits, of, client, event).await?;
    }
    tx.commit().await
}

struct Link {
    address: String,
    token_hash: Vec<u8>,
    browser_hash: Vec<u8>,
    return_to: String,
}

/// Counts an attempt, which holds the link's row until the transaction ends, so that of many at once
/// one is first.
async fn attempt(tx: &Tx, id: Uuid, of: Option<UserRef>) -> Result<Option<Link>> {
    let row = tx
        .query_one_row(
            "UPDATE sign_in_link SET attempts = attempts + 1 \
             WHERE id = $1 AND spent_at IS NULL AND expires_at > $2 AND attempts < $3 \
               AND user_id IS NOT DISTINCT FROM $4 \
             RETURNING address, token_hash, browser_hash, return_to",
            [
                id.into(),
                tx.now().into(),
                MOST_ATTEMPTS.into(),
                of.map(|of| of.user).into(),
            ],
        )
        .await?;
    row.map(|row| {
        Ok(Link {
            address: row.try_get("", "address")?,
            token_hash: row.try_get("", "token_hash")?,
            browser_hash: row.try_get("", "browser_hash")?,
            return_to: row.try_get("", "return_to")?,
        })
    })
    .transpose()
}

fn link_invalid() -> Error {
    Error::invalid(
        "",
        Code::LinkInvalid,
        "This link has been used, replaced by a newer one, or is too old.",
    )
}

fn token_of(root: &RootKeys, root_key: &str, id: Uuid) -> Result<Zeroizing<[u8; 32]>> {
    root.mac(root_key, Purpose::SignInLink, id.as_bytes())
        .map(Zeroizing::new)
        .ok_or_else(|| Error::internal(format!("ROOT_KEYS lacks the key {root_key}")))
}

/// For tests: the newest link of an address, spent or not, as its mail would be about.
///
/// # Errors
/// When the database is gone.
#[cfg(feature = "testing")]
pub async fn newest_for(db: &Db, address: &str) -> Result<Option<Uuid>> {
    let Some(address) = EmailAddress::parse(address) else {
        return Ok(None);
    };
    let tx = db.begin_auth().await?;
    let row = tx
        .query_one_row(
            "SELECT id FROM sign_in_link WHERE canonical = $1 ORDER BY created_at DESC, id DESC LIMIT 1",
            [address.canonical().into()],
        )
        .await?;
    Ok(row.map(|row| row.try_get("", "id")).transpose()?)
}
