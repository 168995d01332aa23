//! The mail with a sign-in link.

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
}

#[derive(Template)]
#[template(path = "sign_in_link.html")]
struct Html<'a> {
    url: &'a str,
    until: &'a str,
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
        .map_err(|_| Failure::permanent("mail can't go to this address"))?
        .into();
    let until = mail.expires_at.format("%-d %B %Y, %H:%M UTC").to_string();
    let (url, until) = (mail.url.as_str(), until.as_str());
    let text = Text { url, until }.render().map_err(Failure::permanent)?;
    let html = Html { url, until }.render().map_err(Failure::permanent)?;
    compose(
        config,
        link_id,
        to,
        "Your sign-in link",
        date(link_id, mail),
        text,
        html,
    )
}

/// When the link was made: its id, a UUIDv7, says so.
fn date(link_id: Uuid, mail: &SignInMail) -> DateTime<Utc> {
    link_id
        .get_timestamp()
        .and_then(|time| DateTime::from_timestamp_secs(i64::try_from(time.to_unix().0).ok()?))
        .unwrap_or(mail.expires_at)
}
