//! The audit trail: what was done with an account, when, from where and by what. Written in the
//! transaction of what it tells, read by its user, and changed by nobody. What its user should hear of at
//! once is mailed as well.

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use uuid::Uuid;

use super::session::{ClientInfo, UserRef};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::jobs;
use crate::limit::{Bucket, Limits};

macro_rules! events {
    ($($(#[$about:meta])* $name:ident = $text:literal, $mailed:literal, $sentence:literal;)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$about])* $name),* }
        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// As it is stored and shown; stable.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
            /// Whether its user is mailed.
            #[must_use]
            pub fn is_mailed(self) -> bool {
                match self { $(Self::$name => $mailed),* }
            }
            /// It in a sentence, as its user is told.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence),* }
            }
            /// The kind that is stored so.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
            }
        }
    };
}

events! {
    /// The account was made.
    AccountCreated = "account.created", false, "Your account was made";
    /// Somebody signed in.
    SignedIn = "sign_in.succeeded", false, "A sign-in to your account";
    /// Somebody signed in from a device or a network that is new.
    SignedInAnew = "sign_in.new_client", true, "A sign-in from a new device or network";
    /// A way to sign in was tried that did not open.
    SignInRefused = "sign_in.refused", false, "A sign-in to your account was refused";
    /// A session was ended.
    SessionEnded = "session.ended", false, "A session of yours was ended";
    /// All sessions, or all others, were ended.
    SessionsEnded = "session.all_ended", false, "Your sessions were ended";
    /// A refresh token came a second time, too late: its session was ended.
    RefreshTokenReused = "session.token_reused", true, "A session of yours was used twice, and was ended";
    /// An address was added.
    EmailAdded = "email.added", true, "An e-mail address was added to your account";
    /// An address was removed.
    EmailRemoved = "email.removed", true, "An e-mail address was removed from your account";
    /// A provider of single sign-on was added.
    IdentityLinked = "identity.linked", true, "A way to sign in was added to your account";
    /// A provider of single sign-on was removed.
    IdentityUnlinked = "identity.unlinked", true, "A way to sign in was removed from your account";
    /// A passkey was added.
    PasskeyAdded = "passkey.added", true, "A passkey was added to your account";
    /// A passkey got another name.
    PasskeyRenamed = "passkey.renamed", false, "A passkey of yours was renamed";
    /// A passkey was removed.
    PasskeyRemoved = "passkey.removed", true, "A passkey was removed from your account";
    /// A passkey's counter went back: there may be a copy of it.
    PasskeyCloned = "passkey.cloned", true, "A passkey of yours may have been copied, and was refused";
    /// From now on whoever signs in presents a passkey.
    PasskeyRequired = "second_factor.required", true, "Your account now wants a passkey at each sign-in";
    /// That is no longer so.
    PasskeyOptional = "second_factor.released", true, "Your account no longer wants a passkey at each sign-in";
    /// A second factor was wrong.
    SecondFactorRefused = "second_factor.refused", false, "A second factor was refused";
    /// New recovery codes were made; the ones before are void.
    RecoveryCodesCreated = "recovery_codes.created", true, "New recovery codes were made for your account";
    /// A recovery code was used.
    RecoveryCodeUsed = "recovery_code.used", true, "A recovery code of yours was used";
    /// An API key was made.
    ApiKeyCreated = "api_key.created", true, "An API key was made for your account";
    /// An API key was revoked.
    ApiKeyRevoked = "api_key.revoked", true, "An API key of yours was revoked";
    /// The account is to be deleted.
    DeletionRequested = "account.deletion_requested", true, "Your account is going to be deleted";
    /// The account stays after all.
    DeletionCancelled = "account.deletion_cancelled", true, "Your account stays";
}

/// A space for what would begin a line, or turn the order of what is shown: nobody forges a line of the trail
/// or of a mail by what they call a thing.
fn plain(c: char) -> char {
    let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { ' ' } else { c }
}

/// By what, as its user is told: a way to sign in, what came after it, or the name of a provider.
#[must_use]
pub fn way(method: &str) -> &str {
    match method {
        "email_link" => "a mailed link",
        "passkey" => "a passkey",
        "recovery_code" => "a recovery code",
        "development" => "a developer's command",
        provider => provider,
    }
}

/// What is written down besides who, when and from where.
#[derive(Clone, Debug)]
pub struct Event {
    kind: Kind,
    method: Option<String>,
    detail: Option<String>,
    session: Option<Uuid>,
    api_key: Option<Uuid>,
}

impl Event {
    /// One of that kind, with nothing more to say.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            method: None,
            detail: None,
            session: None,
            api_key: None,
        }
    }

    /// By what: a way to sign in, the name of a provider.
    #[must_use]
    pub fn by(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// What it was about, as its user calls it; made one line, and cut at 500 characters.
    #[must_use]
    pub fn about(mut self, detail: &str) -> Self {
        self.detail = Some(detail.chars().map(plain).take(500).collect());
        self
    }

    /// In, or with, which session.
    #[must_use]
    pub fn session(mut self, session: Uuid) -> Self {
        self.session = Some(session);
        self
    }

    /// With which API key.
    #[must_use]
    pub fn api_key(mut self, key: Uuid) -> Self {
        self.api_key = Some(key);
        self
    }
}

/// Writes an event down, and has its user mailed if they should hear of it.
pub(crate) async fn record(tx: &Tx, of: UserRef, client: Option<&ClientInfo>, event: Event) -> Result<()> {
    let id = tx.new_id();
    tx.run(
        "INSERT INTO audit_event (owner_id, id, user_id, at, kind, method, detail, session_id, api_key_id, address, user_agent) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        [
            of.owner.into(),
            id.into(),
            of.user.into(),
            tx.now().into(),
            event.kind.as_str().into(),
            event.method.clone().into(),
            event.detail.into(),
            event.session.into(),
            event.api_key.into(),
            client.map(|client| client.address.to_string()).into(),
            client.and_then(ClientInfo::browser).into(),
        ],
    )
    .await?;
    tracing::info!(
        event = event.kind.as_str(),
        user_id = %of.user,
        session = event.session.map(tracing::field::display),
        method = event.method,
        "audit"
    );
    if event.kind.is_mailed() {
        jobs::enqueue(tx, &jobs::SendAccountNotice { event_id: id }, &id.to_string()).await?;
    }
    Ok(())
}

/// As [`record`], by the viewer of the transaction.
pub(crate) async fn record_own(tx: &Tx, event: Event) -> Result<()> {
    let viewer = tx.viewer()?;
    let of = UserRef {
        owner: viewer.owner(),
        user: viewer.user(),
    };
    let event = match viewer.via() {
        crate::viewer::Via::Session(session) => event.session(session),
        crate::viewer::Via::ApiKey(key) => event.api_key(key),
        crate::viewer::Via::Job(_) => event,
    };
    record(tx, of, viewer.client(), event).await
}

/// As [`record`], of a way into an account that did not open. So many in an hour and no more: nobody buries the
/// rest of the trail under what they try.
pub(crate) async fn record_refused(
    tx: &Tx,
    limits: &Limits,
    of: UserRef,
    client: &ClientInfo,
    event: Event,
) -> Result<()> {
    match limits
        .take(Bucket::RefusalsPerUser, &of.user.to_string(), 1)
        .await
    {
        Ok(_) => record(tx, of, Some(client), event).await,
        Err(Error::RateLimited(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What a user is mailed about their account.
pub struct Notice {
    /// To all addresses of theirs, and to one that was just removed.
    pub addresses: Vec<String>,
    /// What happened.
    pub kind: Kind,
    /// When.
    pub at: DateTime<Utc>,
    /// By what.
    pub method: Option<String>,
    /// What it was about.
    pub detail: Option<String>,
    /// From which address.
    pub address: Option<String>,
    /// By which browser, as it calls itself.
    pub user_agent: Option<String>,
    /// When the account goes, if it is to be deleted.
    pub delete_after: Option<DateTime<Utc>>,
}

/// What to mail about an event; none when it, or the account, is gone.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn notice_for(db: &Db, event: Uuid) -> Result<Option<Notice>> {
    let tx = db.begin_auth().await?;
    let row = tx
        .query_one_row(
            "SELECT e.at, e.kind, e.method, e.detail, e.address, e.user_agent, u.delete_after, \
                 (SELECT coalesce(array_agg(m.address ORDER BY m.created_at, m.id), '{}') FROM user_email m \
                  WHERE m.owner_id = e.owner_id AND m.user_id = e.user_id AND m.verified_at IS NOT NULL) AS addresses \
             FROM audit_event e JOIN app_user u ON u.owner_id = e.owner_id AND u.id = e.user_id WHERE e.id = $1",
            [event.into()],
        )
        .await?;
    row.map(|row| notice(&row)).transpose()
}

fn notice(row: &QueryResult) -> Result<Notice> {
    let text: String = row.try_get("", "kind")?;
    let kind = Kind::parse(&text).ok_or_else(|| Error::internal("an unknown kind of event"))?;
    let detail: Option<String> = row.try_get("", "detail")?;
    let mut addresses: Vec<String> = row.try_get("", "addresses")?;
    if kind == Kind::EmailRemoved
        && let Some(removed) = &detail
    {
        addresses.push(removed.clone());
    }
    Ok(Notice {
        addresses,
        kind,
        at: row.try_get("", "at")?,
        method: row.try_get("", "method")?,
        detail,
        address: row.try_get("", "address")?,
        user_agent: row.try_get("", "user_agent")?,
        delete_after: row.try_get("", "delete_after")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_unique() {
        let texts: std::collections::HashSet<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(texts.len(), Kind::ALL.len());
    }
}
