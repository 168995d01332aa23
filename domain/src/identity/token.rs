//! Access tokens: what `/graphql` accepts, and nothing else. JSON Web Tokens in the profile of RFC 9068,
//! signed with Ed25519; ten minutes long, and no longer than their session, which every transaction
//! looks at as it opens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{KeySet, SigningKeys, is_key_id};
use super::session::Subject;
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::crypto::sha256;
use crate::db::Db;
use crate::error::{Error, Result};

/// How long a token is good.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// How long a token from the command line is good: a developer's working day.
pub(super) const DEVELOPMENT_LIFETIME: TimeDelta = TimeDelta::hours(12);
/// The `aud` of every token.
pub const AUDIENCE: &str = "personal-crm";
/// The `typ` of every token (RFC 9068, section 2.1).
const TYPE: &str = "at+jwt";
/// By how much another process's clock may be ahead of ours.
const LEEWAY: TimeDelta = TimeDelta::seconds(5);
/// Longer than any token of ours; longer ones aren't looked at.
const LONGEST: usize = 2048;
/// How many verified tokens are remembered at most.
const REMEMBERED: usize = 10_000;

/// How long a token of that environment is good at most.
pub(super) fn longest_lifetime(environment: Environment) -> TimeDelta {
    match environment {
        Environment::Development => DEVELOPMENT_LIFETIME,
        Environment::Staging | Environment::Production => LIFETIME,
    }
}

/// What a verified access token says. Only verifying a token makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    pub(crate) owner: Uuid,
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
    pub(crate) expires_at: DateTime<Utc>,
}

impl AccessToken {
    /// The session that it belongs to.
    #[must_use]
    pub fn session(&self) -> Uuid {
        self.session
    }

    /// When it stops being good.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }
}

/// The claims of RFC 7519, and our own: `own` is the owner, `sid` the session, `env` the environment.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    own: Uuid,
    sid: Uuid,
    env: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Makes and verifies access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    issuer: String,
    environment: Environment,
    clock: Clock,
    keys: SigningKeys,
    validation: Validation,
    verified: Mutex<HashMap<[u8; 32], (AccessToken, u64)>>,
}

impl Tokens {
    /// Of that issuer and environment. The keys are first read when they are needed.
    #[must_use]
    pub fn new(db: &Db, config: &Config) -> Self {
        let issuer = config.public_url.origin().ascii_serialization();
        // The one algorithm, whatever a token says. Times are ours to check: the library asks the
        // system's clock.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        Self(Arc::new(Inner {
            issuer,
            environment: config.environment,
            clock: db.clock().clone(),
            keys: SigningKeys::new(db),
            validation,
            verified: Mutex::default(),
        }))
    }

    /// The `iss` of every token: the public URL's origin.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    pub(crate) fn environment(&self) -> Environment {
        self.0.environment
    }

    /// A token for a session that was just looked at.
    ///
    /// # Errors
    /// When the keys can't be read.
    pub async fn issue(&self, subject: &Subject) -> Result<String> {
        self.issue_for(subject, LIFETIME).await
    }

    pub(crate) async fn issue_for(&self, subject: &Subject, lifetime: TimeDelta) -> Result<String> {
        let inner = &self.0;
        let known = inner.keys.latest().await?;
        let now = inner.clock.now();
        let (kid, key) = known
            .signer(now)
            .ok_or_else(|| Error::unavailable("no key signs yet"))?;
        let header = header_of(kid);
        let claims = Claims {
            iss: inner.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: subject.user,
            own: subject.owner,
            sid: subject.session,
            env: inner.environment.as_str().to_owned(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: (now + lifetime).timestamp(),
        };
        encode(&header, &claims, &key.encoding).map_err(Error::internal)
    }

    /// What a token says, if it is one of ours and good now. Whether its session still is, the
    /// transaction finds out that the viewer opens.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for whatever is wrong with it.
    pub async fn verify(&self, token: &str) -> Result<AccessToken> {
        if token.len() > LONGEST {
            return Err(Error::Unauthenticated);
        }
        let inner = &self.0;
        let version = inner.keys.current().await?.version;
        let hash = sha256(token.as_bytes());
        let now = inner.clock.now();
        if let Some(found) = inner.remembered(&hash, version) {
            return if found.expires_at > now {
                Ok(found)
            } else {
                Err(Error::Unauthenticated)
            };
        }
        let header = decode_header(token).map_err(|_| Error::Unauthenticated)?;
        // To the letter what we write, so that nothing else in it can mean anything: another algorithm, a key
        // of its own or an address to fetch one from, something that must be understood.
        let kid = header.kid.clone().ok_or(Error::Unauthenticated)?;
        if header != header_of(&kid) || !is_key_id(&kid) {
            return Err(Error::Unauthenticated);
        }
        let known = inner.keys.with(&kid).await?;
        let key = known.get(&kid, now).ok_or(Error::Unauthenticated)?;
        let claims = decode::<Claims>(token, &key.decoding, &inner.validation)
            .map_err(|_| Error::Unauthenticated)?
            .claims;
        let verified = inner.check(&claims, now).ok_or(Error::Unauthenticated)?;
        inner.remember(hash, verified.clone(), known.version, now);
        Ok(verified)
    }

    /// The public keys, for `/.well-known/jwks.json`.
    ///
    /// # Errors
    /// When the keys can't be read.
    pub async fn key_set(&self) -> Result<KeySet> {
        Ok(self.0.keys.current().await?.public(self.0.clock.now()))
    }
}

fn header_of(kid: &str) -> Header {
    Header {
        typ: Some(TYPE.to_owned()),
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    }
}

impl Inner {
    fn check(&self, claims: &Claims, now: DateTime<Utc>) -> Option<AccessToken> {
        let expires_at = DateTime::from_timestamp(claims.exp, 0)?;
        let issued = DateTime::from_timestamp(claims.iat, 0)?;
        let begins = DateTime::from_timestamp(claims.nbf, 0)?.max(issued);
        let sound = claims.iss == self.issuer
            && claims.aud == AUDIENCE
            && claims.env == self.environment.as_str()
            && begins <= now + LEEWAY
            && expires_at > now
            && expires_at - issued <= longest_lifetime(self.environment);
        sound.then_some(AccessToken {
            owner: claims.own,
            user: claims.sub,
            session: claims.sid,
            expires_at,
        })
    }

    fn remembered(&self, hash: &[u8; 32], version: u64) -> Option<AccessToken> {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, under) = verified.get(hash)?;
        (*under == version).then(|| token.clone())
    }

    fn remember(&self, hash: [u8; 32], token: AccessToken, version: u64, now: DateTime<Utc>) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= REMEMBERED {
            verified.retain(|_, (token, under)| *under == version && token.expires_at > now);
        }
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(hash, (token, version));
    }
}
