//! The mail with a sign-in link.

use askama::Template;
use chrono::{DateTime, Utc};
use domain::Config;
use domain::identity::link::SignInMail;
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{MultiPart, MultiPartKind, SinglePart};
use uuid::Uuid;

use super::{message_id, sender};
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
    let from = sender(config)?;
    // The parser's message would quote the address.
    let to = mail
        .address
        .parse()
        .map_err(|_| Failure::permanent("mail can't go to this address"))?;
    let until = mail.expires_at.format("%-d %B %Y, %H:%M UTC").to_string();
    let (url, until) = (mail.url.as_str(), until.as_str());
    let text = Text { url, until }.render().map_err(Failure::permanent)?;
    let html = Html { url, until }.render().map_err(Failure::permanent)?;
    let part = |kind, body| SinglePart::builder().header(kind).body(body);
    // Not random, so that a second copy is the same.
    let alternatives = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(link_id.simple().to_string())
        .singlepart(part(ContentType::TEXT_PLAIN, text))
        .singlepart(part(ContentType::TEXT_HTML, html));
    let id = message_id(link_id, &from);
    let mut message = Message::builder()
        .from(from)
        .to(to)
        .subject("Your sign-in link")
        .message_id(Some(id))
        .date(date(link_id, mail).into())
        .multipart(alternatives)
        .map_err(Failure::permanent)?;
    // No holiday notes in answer (RFC 3834).
    message.headers_mut().insert_raw(HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    ));
    Ok(message)
}

/// When the link was made: its id, a UUIDv7, says so.
fn date(link_id: Uuid, mail: &SignInMail) -> DateTime<Utc> {
    link_id
        .get_timestamp()
        .and_then(|time| DateTime::from_timestamp_secs(i64::try_from(time.to_unix().0).ok()?))
        .unwrap_or(mail.expires_at)
}
