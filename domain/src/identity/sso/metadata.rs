//! What a provider says of itself (OpenID Connect Discovery 1.0) and its keys (RFC 7517), kept for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthUrl, IssuerUrl, JsonWebKeySet, JsonWebKeySetUrl, ProviderMetadata,
    TokenUrl, UserInfoUrl,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::fault::Fault;
use super::http::Http;
use crate::clock::Clock;

/// For how long it is kept; a key that the provider takes back is believed no longer than this.
const KEPT: TimeDelta = TimeDelta::minutes(15);
/// After it could not be fetched, nobody waits for another try for this long.
const REST: TimeDelta = TimeDelta::seconds(3);
/// How often keys are fetched in a minute, however many tokens name unknown ones.
const MOST_FETCHES: usize = 2;
const WINDOW: TimeDelta = TimeDelta::minutes(1);

pub(super) type Keys = JsonWebKeySet<CoreJsonWebKey>;

/// What the library does not read by itself.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct More {
    /// RFC 9207, section 3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for More {}

type Document = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What is known of a provider.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) authorization: AuthUrl,
    pub(super) token: TokenUrl,
    pub(super) userinfo: Option<UserInfoUrl>,
    pub(super) keys: Keys,
    keys_url: JsonWebKeySetUrl,
    names_itself: bool,
    fetched_at: DateTime<Utc>,
}

impl Known {
    /// Whether every answer says whose it is.
    pub(super) fn names_itself(&self) -> bool {
        self.names_itself
    }
}

#[derive(Default)]
struct State {
    known: Option<Arc<Known>>,
    failed_at: Option<DateTime<Utc>>,
    fetches: VecDeque<DateTime<Utc>>,
}

/// Fetches and keeps it; one fetch at a time.
pub(super) struct Metadata {
    issuer: IssuerUrl,
    state: tokio::sync::Mutex<State>,
    origin: Mutex<Option<String>>,
}

impl Metadata {
    pub(super) fn new(issuer: IssuerUrl) -> Self {
        Self {
            issuer,
            state: tokio::sync::Mutex::default(),
            origin: Mutex::default(),
        }
    }

    /// The origin of the page that people sign in on, once it is known.
    pub(super) fn authorization_origin(&self) -> Option<String> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known, fetched if need be. A document that names another issuer is none.
    pub(super) async fn get(&self, http: &Http, clock: &Clock) -> Result<Arc<Known>, Fault> {
        let mut state = self.state.lock().await;
        let now = clock.now();
        if let Some(known) = &state.known
            && now < known.fetched_at + KEPT
        {
            return Ok(Arc::clone(known));
        }
        if state.failed_at.is_some_and(|at| now < at + REST) {
            return Err(Fault::Away("it did not answer a moment ago".to_owned()));
        }
        state.count(now);
        // Should the caller not wait to the end, it has failed.
        state.failed_at = Some(now);
        let fetched = Document::discover_async(self.issuer.clone(), http).await;
        state.failed_at = Some(clock.now());
        let known = Arc::new(read(&fetched?, now)?);
        let origin = known.authorization.url().origin().ascii_serialization();
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = Some(origin);
        state.failed_at = None;
        state.known = Some(Arc::clone(&known));
        Ok(known)
    }

    /// Keys that are newer than those that were looked among; none if they were fetched often enough lately.
    pub(super) async fn newer_keys(
        &self,
        http: &Http,
        clock: &Clock,
        than: &Known,
    ) -> Result<Option<Keys>, Fault> {
        let mut state = self.state.lock().await;
        let now = clock.now();
        let known = match &state.known {
            // Somebody else fetched them while we waited.
            Some(known) if known.fetched_at != than.fetched_at || known.keys != than.keys => {
                return Ok(Some(known.keys.clone()));
            }
            Some(known) => Arc::clone(known),
            None => return Ok(None),
        };
        if state.lately(now) >= MOST_FETCHES {
            return Ok(None);
        }
        state.count(now);
        let keys = Keys::fetch_async(&known.keys_url, http).await?;
        state.known = Some(Arc::new(Known {
            keys: keys.clone(),
            ..Known::clone(&known)
        }));
        Ok(Some(keys))
    }
}

impl State {
    fn count(&mut self, now: DateTime<Utc>) {
        self.fetches.push_back(now);
        while self.fetches.len() > MOST_FETCHES {
            self.fetches.pop_front();
        }
    }

    fn lately(&self, now: DateTime<Utc>) -> usize {
        self.fetches.iter().filter(|at| now < **at + WINDOW).count()
    }
}

fn read(document: &Document, now: DateTime<Utc>) -> Result<Known, Fault> {
    let token = document
        .token_endpoint()
        .ok_or_else(|| Fault::Away("its configuration names no token endpoint".to_owned()))?;
    if !is_page(document.authorization_endpoint().url(), document.issuer().url()) {
        return Err(Fault::Away(
            "its configuration names no page to sign in on".to_owned(),
        ));
    }
    Ok(Known {
        authorization: document.authorization_endpoint().clone(),
        token: token.clone(),
        userinfo: document.userinfo_endpoint().cloned(),
        keys: document.jwks().clone(),
        keys_url: document.jwks_uri().clone(),
        names_itself: document
            .additional_metadata()
            .authorization_response_iss_parameter_supported,
        fetched_at: now,
    })
}

/// Whether a browser may be sent there: over TLS, unless the issuer itself is on a developer's machine.
fn is_page(url: &Url, issuer: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && issuer.scheme() == "http")
}
