//! The way out for mail: over SMTP, or in development without one into files.

pub mod account_notice;
pub mod sign_in_link;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Config, Environment, Error, Result};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, MultiPartKind, SinglePart};
use lettre::transport::smtp::{self, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use uuid::Uuid;

use crate::job::Failure;

/// How long the server may take to accept a connection, and then to take a mail.
const CONNECT: Duration = Duration::from_secs(10);
const TAKE: Duration = Duration::from_secs(30);
/// How many connections are kept open at most, and for how long unused.
const CONNECTIONS: u32 = 8;
const IDLE: Duration = Duration::from_secs(30);
/// SMTP's answers that speak of our own login, not of the mail (RFC 4954): somebody has to mend the
/// configuration, and then the mail goes out.
const LOGIN: [u16; 4] = [530, 534, 535, 538];

/// Where mail goes.
#[derive(Clone)]
pub enum Mailer {
    /// To a server.
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    /// Into a file each, in this directory.
    Files(PathBuf),
}

impl Mailer {
    /// The way that the configuration names.
    ///
    /// # Errors
    /// [`Error::Internal`] when `SMTP_URL` or `MAIL_FROM` can't be used.
    pub fn new(config: &Config) -> Result<Self> {
        sender(config)?;
        match &config.smtp_url {
            Some(url) => smtp(url, config.environment),
            None => Ok(Self::Files(config.mail_dir.clone())),
        }
    }

    /// Hands a mail over: when it succeeds, the other side has it.
    ///
    /// # Errors
    /// [`Failure::Permanent`] for what the server will never take, [`Failure::Retry`] for the rest. The
    /// server's own words stay out of it, since they may name the recipient.
    pub async fn send(&self, message: &Message) -> Result<(), Failure> {
        match self {
            Self::Smtp(transport) => {
                let mail = message.formatted();
                // lettre's own time-out ends with the connecting: a silent server would hold it for ever.
                match tokio::time::timeout(TAKE, transport.send_raw(message.envelope(), &mail)).await {
                    Ok(answer) => answer.map(drop).map_err(|error| failure(&error)),
                    Err(_) => Err(Failure::retry("the mail server did not answer in time")),
                }
            }
            Self::Files(directory) => write(directory, message).await.map_err(Failure::retry),
        }
    }
}

fn smtp(url: &SecretString, environment: Environment) -> Result<Mailer> {
    let url = Url::parse(url.expose_secret()).map_err(|_| Error::internal("SMTP_URL is no URL"))?;
    let url = with_tls(url, environment);
    let pool = PoolConfig::new().max_size(CONNECTIONS).idle_timeout(IDLE);
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())
        .map_err(|_| Error::internal("SMTP_URL can't be used"))?
        .timeout(Some(CONNECT))
        .pool_config(pool)
        .build();
    tracing::info!(server = url.host_str(), "mail goes out over SMTP");
    Ok(Mailer::Smtp(transport))
}

/// `smtps://` speaks TLS from the first byte. `smtp://` must switch to TLS before anything is said
/// (RFC 3207), except to this machine itself; in development it only tries to.
fn with_tls(mut url: Url, environment: Environment) -> Url {
    // Of a scheme that is not the web's, the host is never parsed as an address.
    let local = url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    });
    url.set_query(match (url.scheme(), local, environment.is_development()) {
        ("smtp", true, _) => None,
        ("smtp", false, true) => Some("tls=opportunistic"),
        _ => Some("tls=required"),
    });
    url
}

fn failure(error: &smtp::Error) -> Failure {
    match error.status().map(u16::from) {
        Some(code) if error.is_permanent() && !LOGIN.contains(&code) => {
            Failure::permanent(format!("the mail server refused the mail for good ({code})"))
        }
        Some(code) => Failure::retry(format!("the mail server refused for now ({code})")),
        None if error.is_timeout() => Failure::retry("the mail server did not answer in time"),
        None if error.is_tls() => Failure::retry("no TLS connection to the mail server"),
        None => Failure::retry("no connection to the mail server, or not one that speaks SMTP"),
    }
}

/// Named by the message, so that a second copy replaces the first.
async fn write(directory: &Path, message: &Message) -> std::io::Result<()> {
    let id = message
        .headers()
        .get_raw("Message-ID")
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '@'))
        .collect::<String>();
    tokio::fs::create_dir_all(directory).await?;
    let path = directory.join(format!("{id}.eml"));
    // Nobody reads half a mail: it gets its name when it is whole.
    let part = directory.join(format!(".{id}.part"));
    tokio::fs::write(&part, message.formatted()).await?;
    tokio::fs::rename(&part, &path).await?;
    tracing::info!(path = %path.display(), "mail written");
    Ok(())
}

/// A mail about a row, in two forms; the same at each attempt, to the byte. `copy` tells apart what goes to
/// several people, who need not know of each other.
fn compose(
    config: &Config,
    (row, copy): (Uuid, usize),
    to: Mailbox,
    subject: &str,
    date: DateTime<Utc>,
    text: String,
    html: String,
) -> Result<Message, Failure> {
    let from = sender(config)?;
    let part = |kind, body| SinglePart::builder().header(kind).body(body);
    // Not random, so that a second copy is the same.
    let alternatives = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(row.simple().to_string())
        .singlepart(part(ContentType::TEXT_PLAIN, text))
        .singlepart(part(ContentType::TEXT_HTML, html));
    let id = message_id(row, copy, &from);
    let mut message = Message::builder()
        .from(from)
        .to(to)
        .subject(subject)
        .message_id(Some(id))
        .date(date.into())
        .multipart(alternatives)
        .map_err(Failure::permanent)?;
    // No holiday notes in answer (RFC 3834).
    message.headers_mut().insert_raw(HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    ));
    Ok(message)
}

/// Whom mail is from.
fn sender(config: &Config) -> Result<Mailbox> {
    config
        .mail_from
        .parse()
        .map_err(|_| Error::internal("MAIL_FROM is no mailbox"))
}

/// The `Message-ID` (RFC 5322, 3.6.4) of the mail about a row: the same at each attempt.
fn message_id(id: Uuid, copy: usize, from: &Mailbox) -> String {
    let domain = from.email.domain();
    match copy {
        0 => format!("<{id}@{domain}>"),
        _ => format!("<{id}.{copy}@{domain}>"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn tls(url: &str, environment: Environment) -> Option<String> {
        let url = with_tls(Url::parse(url).unwrap(), environment);
        url.query().map(str::to_owned)
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for local in ["smtp://localhost:25", "smtp://127.0.0.1", "smtp://[::1]:2525"] {
            assert_eq!(tls(local, Environment::Production), None, "{local}");
        }
        for url in [
            "smtp://mail.example.test",
            "smtp://mail.example.test?tls=opportunistic",
            "smtp://127.0.0.1.example.test",
            "smtps://127.0.0.1",
        ] {
            assert_eq!(
                tls(url, Environment::Production).unwrap(),
                "tls=required",
                "{url}"
            );
        }
        let development = tls("smtp://mailpit:1025", Environment::Development);
        assert_eq!(development.unwrap(), "tls=opportunistic");
    }
}
