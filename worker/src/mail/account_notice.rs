//! The mail that tells a user what was done with their account, so that they notice what they did not do.

use askama::Template;
use domain::Config;
use domain::identity::audit::{Kind, Notice, way};
use lettre::Message;
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

/// The mails about an event, one for each address, since one that was removed need not learn of the others; the
/// same for the same event, to the byte. An address that mail can't go to has none.
///
/// # Errors
/// [`Failure::Permanent`] when no mail can be made of it.
pub fn messages(config: &Config, event: Uuid, notice: &Notice) -> Result<Vec<Message>, Failure> {
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
    let mut messages = Vec::new();
    for (copy, address) in notice.addresses.iter().enumerate() {
        match address.parse() {
            Ok(to) => {
                let (text, html) = (text.clone(), html.clone());
                messages.push(compose(config, (event, copy), to, what, notice.at, text, html)?);
            }
            // The parser's message would quote the address.
            Err(_) => tracing::warn!(%event, "mail can't go to an address of this account"),
        }
    }
    Ok(messages)
}

fn facts(notice: &Notice) -> Vec<(&'static str, String)> {
    let date = |at: chrono::DateTime<chrono::Utc>| at.format("%-d %B %Y, %H:%M UTC").to_string();
    let deletion = notice.kind == Kind::DeletionRequested;
    let mut facts = vec![("When", date(notice.at))];
    let optional = [
        ("What", notice.detail.clone()),
        (
            "How",
            notice.method.as_deref().map(|method| way(method).to_owned()),
        ),
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
