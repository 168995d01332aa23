//! The way there and back: a sign-in at a provider is begun, and what the browser comes back with is ended.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::fault::{self, Fault};
use super::{Answer, Finished, Protocol, Providers, Purpose, Refusal, Secrets, rules};
use crate::crypto::random;
use crate::db::{Db, Freshness};
use crate::error::{Error, Result};
use crate::identity::browser::BrowserSecret;
use crate::identity::ceremony::{self, Handle};
use crate::identity::session::{ClientInfo, UserRef};
use crate::limit::{Bucket, Limits, client_key};
use crate::viewer::{Via, Viewer};

/// How long a browser waits for all that is asked of a provider.
const PATIENCE: Duration = Duration::from_secs(8);
/// Longer than any code.
const LONGEST_CODE: usize = 4096;

/// Of the ceremony.
#[derive(Serialize, Deserialize)]
struct State {
    provider: String,
    nonce: String,
    verifier: String,
    return_to: String,
    /// For which session a way to sign in is added; none for a sign-in.
    session: Option<Uuid>,
}

/// Begins a sign-in at a provider, for this browser. Where the browser goes.
///
/// # Errors
/// [`Error::NotFound`] without such a provider; [`Error::StepUpRequired`] when a way to sign in is to be added and
/// the last authentication is too long ago; [`Error::RateLimited`] for a client that does it too often.
pub async fn begin(
    db: &Db,
    limits: &Limits,
    providers: &Providers,
    name: &str,
    browser: &BrowserSecret,
    purpose: Purpose<'_>,
    client: IpAddr,
) -> Result<Result<Url, Refusal>> {
    limits.take(Bucket::SsoPerClient, &client_key(client), 1).await?;
    let provider = providers.find(name).ok_or(Error::NotFound)?;
    let (return_to, of, session) = match purpose {
        Purpose::SignIn(return_to) => (return_to, None, None),
        Purpose::Link(viewer) => {
            // Asked for its check alone.
            drop(db.begin_account(viewer, Freshness::Recent).await?);
            let of = UserRef {
                owner: viewer.owner(),
                user: viewer.user(),
            };
            ("", Some(of), session_of(viewer))
        }
    };
    let with = providers.parties(provider);
    if let Protocol::Oidc(oidc) = &provider.protocol
        && let Err(refusal) = patiently(name, oidc.prepare(&with)).await?
    {
        return Ok(Err(refusal));
    }
    let state = State {
        provider: name.to_owned(),
        nonce: URL_SAFE_NO_PAD.encode(random::<32>()?),
        verifier: URL_SAFE_NO_PAD.encode(random::<48>()?),
        return_to: return_to.to_owned(),
        session,
    };
    let tx = db.begin_auth().await?;
    let handle = ceremony::begin(&tx, ceremony::Kind::Sso, browser, of, &state).await?;
    tx.commit().await?;
    let handle = handle.to_text();
    let secrets = Secrets {
        nonce: state.nonce,
        verifier: state.verifier,
    };
    match &provider.protocol {
        Protocol::Oidc(oidc) => patiently(name, oidc.authorization_url(&with, &secrets, handle)).await,
        Protocol::OAuth(oauth) => Ok(Ok(oauth.authorization_url(&with, &secrets, &handle))),
    }
}

/// Ends what a browser comes back with: once, in the browser that began it, and at the provider where it was begun.
/// Whatever goes wrong from there on, it has to be begun anew.
///
/// `viewer` is who is signed in in that browser, which matters only when a way to sign in is added.
///
/// # Errors
/// [`Error::NotFound`] without such a provider, [`Error::RateLimited`] for a client that does it too often,
/// [`Error::Unauthenticated`] when a way to sign in is to be added and the session that asked for it has ended.
#[expect(clippy::too_many_arguments, reason = "a callback is all of this")]
pub async fn finish(
    db: &Db,
    limits: &Limits,
    providers: &Providers,
    name: &str,
    answer: &Answer,
    browser: Option<&BrowserSecret>,
    client: &ClientInfo,
    viewer: Option<&Viewer>,
) -> Result<Result<Finished, Refusal>> {
    limits
        .take(Bucket::SsoPerClient, &client_key(client.address), 1)
        .await?;
    let provider = providers.find(name).ok_or(Error::NotFound)?;
    let handle = answer.state.as_deref().and_then(Handle::parse);
    let (Some(handle), Some(browser)) = (handle, browser) else {
        return Ok(Err(Refusal::Stale));
    };
    let tx = db.begin_auth().await?;
    let ended = ceremony::end::<State>(&tx, ceremony::Kind::Sso, &handle, browser).await?;
    tx.commit().await?;
    let Some(ended) = ended else {
        tracing::warn!(
            provider = name,
            "single sign-on refused: nothing of the kind was begun here"
        );
        return Ok(Err(Refusal::Stale));
    };
    if ended.state.provider != name {
        tracing::warn!(
            provider = name,
            "single sign-on refused: it was begun at another provider"
        );
        return Ok(Err(Refusal::Refused));
    }
    let code = match code(name, answer) {
        Ok(code) => code,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let secrets = Secrets {
        nonce: ended.state.nonce,
        verifier: ended.state.verifier,
    };
    let with = providers.parties(provider);
    let asked = async {
        match &provider.protocol {
            Protocol::Oidc(oidc) => oidc.identify(&with, &secrets, code, answer.iss.as_deref()).await,
            Protocol::OAuth(oauth) => oauth.identify(&with, &secrets, code, answer.iss.as_deref()).await,
        }
    };
    let identity = match patiently(name, asked).await? {
        Ok(identity) => identity,
        Err(refusal) => return Ok(Err(refusal)),
    };
    match (ended.of, ended.state.session) {
        (Some(of), Some(session)) => {
            let viewer =
                viewer.filter(|viewer| viewer.user() == of.user && session_of(viewer) == Some(session));
            let viewer = viewer.ok_or(Error::Unauthenticated)?;
            let linked = rules::link(db, viewer, name, &identity).await?;
            Ok(linked.map(|()| Finished::Linked))
        }
        _ => {
            let return_to = &ended.state.return_to;
            let outcome = rules::sign_in(db, limits, name, &identity, client, browser, return_to).await?;
            Ok(outcome.map(Finished::Arrived))
        }
    }
}

/// The code of an answer, or what its error means.
fn code<'a>(name: &str, answer: &'a Answer) -> Result<&'a str, Refusal> {
    match (&answer.code, &answer.error) {
        (Some(code), None) if (1..=LONGEST_CODE).contains(&code.len()) => Ok(code),
        (_, Some(error)) => {
            let error = fault::code(error);
            tracing::info!(provider = name, error, "the provider sent no code");
            Err(match error {
                "access_denied" | "user_cancelled_login" | "user_cancelled_authorize" => Refusal::Denied,
                "temporarily_unavailable" | "server_error" => Refusal::Away,
                _ => Refusal::Refused,
            })
        }
        _ => Err(Refusal::Refused),
    }
}

/// Asks a provider, and does not wait for it for ever.
async fn patiently<T>(
    name: &str,
    asked: impl Future<Output = Result<T, Fault>>,
) -> Result<Result<T, Refusal>> {
    let fault = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => return Ok(Ok(answer)),
        Ok(Err(fault)) => fault,
        Err(_) => Fault::Away("it takes too long".to_owned()),
    };
    match fault {
        Fault::Ours(error) => Err(error),
        Fault::Away(reason) => {
            tracing::warn!(provider = name, reason, "a provider of single sign-on is away");
            Ok(Err(Refusal::Away))
        }
        Fault::Refused(reason) => {
            tracing::warn!(provider = name, reason, "single sign-on refused");
            Ok(Err(Refusal::Refused))
        }
    }
}

fn session_of(viewer: &Viewer) -> Option<Uuid> {
    match viewer.via() {
        Via::Session(session) => Some(session),
        Via::ApiKey(_) | Via::Job(_) => None,
    }
}
