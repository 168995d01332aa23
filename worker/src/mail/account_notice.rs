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
    let (settings, what, facts) = (settings.as_str(), notice.kind.sentence(), facts(notice));
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
