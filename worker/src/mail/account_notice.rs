//! The mail that tells a user what was done with their account, so that they notice what they did not do.

use askama::Template;
use domain::Config;
use domain::identity::audit::{Kind, Notice};
use lettre::Message;
use lettre::message::Mailboxes;
use uuid::Uuid;

use super::compose;
use crate::job::Failure;

#[derive(Template)]
#[template(path = "account_notice.txt")]
struct Text<'a> {
    what: &'a str,
    facts: &'a [(&'static str, String)],
    settings: &'a str,
    deletion: bool,
}

#[derive(Template)]
#[template(path = "account_notice.html")]
struct Html<'a> {
    what: &'a str,
    facts: &'a [(&'static str, String)],
    settings: &'a str,
    deletion: bool,
}

/// The mail about an event; the same for the same event, to the byte. None when the user has no address.
///
/// # Errors
/// [`Failure::Permanent`] when the address is none that mail can go to.
pub fn message(config: &Config, event: Uuid, notice: &Notice) -> Result<Option<Message>, Failure> {
    let mut to = Mailboxes::new();
    for address in &notice.addresses {
        // The parser's message would quote the address.
        let parsed = address
            .parse()
            .map_err(|_| Failure::permanent("mail can't go to this address"))?;
        to.push(parsed);
    }
    if notice.addresses.is_empty() {
        return Ok(None);
    }
    let settings = config.public_url.join("/settings").map_err(Failure::permanent)?;
    let (settings, what, facts) = (settings.as_str(), what(notice.kind), facts(notice));
    let deletion = notice.kind == Kind::DeletionRequested;
    let text = Text {
        what,
        facts: &facts,
        settings,
        deletion,
    };
    let html = Html {
        what,
        facts: &facts,
        settings,
        deletion,
    };
    let text = text.render().map_err(Failure::permanent)?;
    let html = html.render().map_err(Failure::permanent)?;
    compose(config, event, to, what, notice.at, text, html).map(Some)
}

/// The event in a sentence.
fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::AccountCreated => "Your account was made",
        Kind::SignedIn => "Somebody signed in to your account",
        Kind::SignedInAnew => "A sign-in from a new device or network",
        Kind::SignInRefused => "A sign-in to your account was refused",
        Kind::SessionEnded => "A session of yours was ended",
        Kind::SessionsEnded => "Your sessions were ended",
        Kind::RefreshTokenReused => "A session of yours was used twice, and was ended",
        Kind::EmailAdded => "An e-mail address was added to your account",
        Kind::EmailRemoved => "An e-mail address was removed from your account",
        Kind::IdentityLinked => "A way to sign in was added to your account",
        Kind::IdentityUnlinked => "A way to sign in was removed from your account",
        Kind::PasskeyAdded => "A passkey was added to your account",
        Kind::PasskeyRenamed => "A passkey of yours was renamed",
        Kind::PasskeyRemoved => "A passkey was removed from your account",
        Kind::PasskeyCloned => "A passkey of yours may have been copied, and was refused",
        Kind::PasskeyRequired => "Your account now wants a passkey at each sign-in",
        Kind::PasskeyOptional => "Your account no longer wants a passkey at each sign-in",
        Kind::SecondFactorRefused => "A second factor was refused",
        Kind::RecoveryCodesCreated => "New recovery codes were made for your account",
        Kind::RecoveryCodeUsed => "A recovery code of yours was used",
        Kind::ApiKeyCreated => "An API key was made for your account",
        Kind::ApiKeyRevoked => "An API key of yours was revoked",
        Kind::DeletionRequested => "Your account is going to be deleted",
        Kind::DeletionCancelled => "Your account stays",
    }
}

fn facts(notice: &Notice) -> Vec<(&'static str, String)> {
    let date = |at: chrono::DateTime<chrono::Utc>| at.format("%-d %B %Y, %H:%M UTC").to_string();
    let deletion = notice.kind == Kind::DeletionRequested;
    let mut facts = vec![("When", date(notice.at))];
    let optional = [
        ("What", notice.detail.clone()),
        ("How", notice.method.clone()),
        ("From", notice.address.clone()),
        ("Browser", notice.user_agent.clone()),
        ("Deleted on", notice.delete_after.filter(|_| deletion).map(date)),
    ];
    facts.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    facts
}
