//! Single sign-on: people show who they are at a provider that is configured (OpenID Connect, or OAuth 2.0 at
//! GitHub and X). A browser is sent there and comes back; what was begun waits in a ceremony, which is bound to
//! the browser and ends once. Nothing is kept open while a provider is waited for.
//!
//! The provider's tokens are used for this one sign-in and forgotten: they are never stored.

mod fault;
mod flow;
mod http;
mod metadata;
mod oauth;
mod oidc;
mod rules;
pub mod settings;

use std::sync::Arc;

use serde::Deserialize;
use url::Url;
use zeroize::Zeroize;

pub use self::flow::{begin, finish};

use self::fault::Fault;
use self::http::Http;
use self::oauth::OAuth;
use self::oidc::{Oidc, Parties};
use self::settings::Settings;
use super::sign_in::Outcome;
use crate::clock::Clock;
use crate::config::Config;
use crate::email_address::EmailAddress;
use crate::error::{Error, Result};
use crate::viewer::Viewer;

/// The configured providers, with what is known of each. Cheap to clone.
#[derive(Clone)]
pub struct Providers(Arc<Inner>);

struct Inner {
    http: Http,
    clock: Clock,
    all: Vec<Provider>,
}

struct Provider {
    settings: Settings,
    callback: Url,
    protocol: Protocol,
}

enum Protocol {
    Oidc(Oidc),
    OAuth(OAuth),
}

/// A provider to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name in addresses.
    pub name: String,
    /// What people call it.
    pub label: String,
}

/// Why a sign-in at a provider came to nothing; none of it is our fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The provider is not there, or too slow.
    Away,
    /// The person said no there.
    Denied,
    /// What was begun is over, or was begun elsewhere.
    Stale,
    /// What the provider said can't be believed.
    Refused,
    /// The identity is nobody's yet, and the provider does not say that an address is proved which would make or
    /// find an account.
    Unproven,
    /// The identity belongs to another account.
    Taken,
    /// The account has as many as it may have.
    TooMany,
}

/// What is to come of it.
#[derive(Clone, Copy)]
pub enum Purpose<'a> {
    /// Signing in, and then to this URL that [`super::return_to::allowed`] allowed; or nowhere.
    SignIn(&'a str),
    /// One more way to sign in for who is signed in, and has shown lately who they are.
    Link(&'a Viewer),
}

/// What came back from a provider, as the callback's query has it.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    /// The ceremony's handle.
    pub state: Option<String>,
    /// What is changed for tokens.
    pub code: Option<String>,
    /// Whose answer it is (RFC 9207).
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// How it ended.
pub enum Finished {
    /// Somebody signed in, or gave a first factor.
    Arrived(Outcome),
    /// The account has one more way to sign in.
    Linked,
}

/// What only the ceremony knows: the nonce of the ID token, and the verifier of PKCE.
struct Secrets {
    nonce: String,
    verifier: String,
}

/// Who somebody is at a provider.
struct Identity {
    issuer: String,
    subject: String,
    email: Option<EmailAddress>,
    verified: bool,
}

impl Identity {
    /// The address is dropped if it is another to some mail servers than to us.
    fn new(issuer: &str, subject: &str, email: Option<EmailAddress>, verified: bool) -> Result<Self, Fault> {
        let sound = (1..=255).contains(&subject.chars().count()) && !subject.chars().any(char::is_control);
        if !sound {
            return Err(Fault::nonsense("a subject that is none"));
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            email: email.filter(EmailAddress::is_plain),
            verified,
        })
    }

    /// The address, if the provider says that it is proved.
    fn proved(&self) -> Option<&EmailAddress> {
        self.email.as_ref().filter(|_| self.verified)
    }
}

impl Providers {
    /// Those of the configuration. None is asked for anything yet.
    ///
    /// # Errors
    /// When there is no way out to the web, or an address can't be used.
    pub fn new(config: &Config, clock: Clock) -> Result<Self> {
        let all = config.sso_providers.iter().map(|settings| {
            let path = format!("/sign-in/with/{}/callback", settings.name);
            let protocol = if settings.kind.is_oidc() {
                Protocol::Oidc(Oidc::new(&settings.issuer).map_err(Error::internal)?)
            } else {
                Protocol::OAuth(OAuth::new(settings).map_err(Error::internal)?)
            };
            Ok(Provider {
                settings: settings.clone(),
                callback: config.public_url.join(&path).map_err(Error::internal)?,
                protocol,
            })
        });
        Ok(Self(Arc::new(Inner {
            http: Http::new(config.environment)?,
            clock,
            all: all.collect::<Result<_>>()?,
        })))
    }

    /// All of them, in the order of the configuration.
    pub fn choices(&self) -> impl Iterator<Item = Choice> {
        self.0.all.iter().map(|provider| Choice {
            name: provider.settings.name.clone(),
            label: provider.settings.label.clone(),
        })
    }

    /// What people call the provider of that name; the name itself when it is not configured any more.
    #[must_use]
    pub fn label<'a>(&'a self, name: &'a str) -> &'a str {
        self.find(name).map_or(name, |provider| &provider.settings.label)
    }

    /// The origins that a browser may be led to when it signs in at any of them.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        let mut origins = Vec::new();
        for provider in &self.0.all {
            origins.push(match &provider.protocol {
                Protocol::Oidc(oidc) => oidc.origin(),
                Protocol::OAuth(oauth) => oauth.origin(),
            });
            origins.extend(provider.settings.origins.iter().cloned());
        }
        origins
    }

    fn find(&self, name: &str) -> Option<&Provider> {
        self.0.all.iter().find(|provider| provider.settings.name == name)
    }

    fn parties<'a>(&'a self, provider: &'a Provider) -> Parties<'a> {
        Parties {
            settings: &provider.settings,
            http: &self.0.http,
            clock: &self.0.clock,
            callback: &provider.callback,
        }
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.nonce.zeroize();
        self.verifier.zeroize();
    }
}
