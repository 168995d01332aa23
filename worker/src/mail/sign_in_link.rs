//! The mail with a link: one that signs in, or one that adds an address to an account.

use askama::Template;
use chrono::{DateTime, Utc};
use domain::Config;
use domain::identity::link::SignInMail;
use lettre::Message;
use lettre::message::Mailbox;
use uuid::Uuid;

use super::compose;
use crate::job::Failure;

#[derive(Template)]
#[template(path = "sign_in_link.txt")]
struct Text<'a> {
    url: &'a str,
    until: &'a str,
    adds: bool,
}

#[derive(Template)]
#[template(path = "sign_in_link.html")]
struct Html<'a> {
    url: &'a str,
    until: &'a str,
    adds: bool,
}

/// The mail for a link; the same for the same link, to the byte.
///
/// # Errors
/// [`Failure::Permanent`] when the address is none that mail can go to.
pub fn message(config: &Config, link_id: Uuid, mail: &SignInMail) -> Result<Message, Failure> {
    // The parser's message would quote the address.
    let to = mail
        .address
        .parse::<Mailbox>()
        .map_err(|_| Failure::permanent("mail can't go to this address"))?;
    let until = mail.expires_at.format("%-d %B %Y, %H:%M UTC").to_string();
    let (url, until, adds) = (mail.url.as_str(), until.as_str(), mail.adds);
    let text = Text { url, until, adds };
    let html = Html { url, until, adds };
    let text = text.render().map_err(Failure::permanent)?;
    let html = html.render().map_err(Failure::permanent)?;
    let subject = if adds {
        "Your link to add this address"
    } else {
        "Your sign-in link"
    };
    compose(config, (link_id, 0), to, subject, date(link_id, mail), text, html)
}

/// When the link was made: its id, a UUIDv7, says so.
fn date(link_id: Uuid, mail: &SignInMail) -> DateTime<Utc> {
    link_id
        .get_timestamp()
        .and_then(|time| DateTime::from_timestamp_secs(i64::try_from(time.to_unix().0).ok()?))
        .unwrap_or(mail.expires_at)
}
