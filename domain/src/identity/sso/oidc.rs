//! OpenID Connect (Core 1.0, with Discovery 1.0): what a provider says of itself, how its sign-in is begun, and
//! what is believed of the ID token at its end.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreResponseType, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthType, AuthenticationFlow, AuthorizationCode,
    ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointNotSet,
    EndpointSet, IdToken, IdTokenFields, IdTokenVerifier, IssuerUrl, JsonWebKeySet, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, SignatureVerificationError,
    StandardErrorResponse, StandardTokenResponse, TokenResponse,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use url::Url;

use super::fault::Fault;
use super::http::Http;
use super::metadata::{Keys, Known, Metadata};
use super::settings::{Settings, TokenAuth};
use super::{Identity, Secrets};
use crate::clock::Clock;
use crate::email_address::EmailAddress;

/// What an ID token may be signed with, whatever it says of itself: never nothing, and never a secret that the
/// provider's public key could be mistaken for.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 4] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EdDsa,
];
/// By how much a provider's clock may be ahead of ours.
const LEEWAY: TimeDelta = TimeDelta::minutes(1);
/// How old an ID token may be: it was made for this sign-in, a moment ago.
const OLDEST: TimeDelta = TimeDelta::minutes(10);

/// What the library does not read by itself.
#[derive(Debug, Deserialize, Serialize)]
struct Times {
    /// Not before, in seconds since 1970 (RFC 7519, section 4.1.5).
    nbf: Option<f64>,
}

impl AdditionalClaims for Times {}

type Token = IdToken<Times, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type Fields = IdTokenFields<
    Times,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Client<Authorization, Token> = openidconnect::Client<
    Times,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    Authorization,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    Token,
    EndpointNotSet,
>;

/// A provider that speaks OpenID Connect.
pub(super) struct Oidc {
    issuer: IssuerUrl,
    metadata: Metadata,
}

/// What a token endpoint and a userinfo endpoint say of somebody's address.
#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    email: Option<String>,
    email_verified: Option<bool>,
}

impl Oidc {
    pub(super) fn new(issuer: &str) -> Result<Self, url::ParseError> {
        let issuer = IssuerUrl::new(issuer.to_owned())?;
        Ok(Self {
            metadata: Metadata::new(issuer.clone()),
            issuer,
        })
    }

    /// The origin of the page that people sign in on, as far as it is known.
    pub(super) fn origin(&self) -> String {
        let found = self.metadata.authorization_origin();
        found.unwrap_or_else(|| self.issuer.url().origin().ascii_serialization())
    }

    /// Asks for what has to be known before a sign-in is begun.
    pub(super) async fn prepare(&self, with: &Parties<'_>) -> Result<(), Fault> {
        self.metadata.get(with.http, with.clock).await.map(drop)
    }

    /// Where the browser goes to sign in.
    pub(super) async fn authorization_url(
        &self,
        with: &Parties<'_>,
        secrets: &Secrets,
        state: String,
    ) -> Result<Url, Fault> {
        let known = self.metadata.get(with.http, with.clock).await?;
        let client = client(with, &known, &self.issuer);
        let nonce = secrets.nonce.clone();
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let mut request = client.authorize_url(flow, || CsrfToken::new(state), || Nonce::new(nonce));
        for scope in with
            .settings
            .scopes
            .split_whitespace()
            .filter(|scope| *scope != "openid")
        {
            request = request.add_scope(Scope::new(scope.to_owned()));
        }
        if with.settings.pkce {
            let verifier = PkceCodeVerifier::new(secrets.verifier.clone());
            request = request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        }
        Ok(request.url().0)
    }

    /// Who came back with this code.
    pub(super) async fn identify(
        &self,
        with: &Parties<'_>,
        secrets: &Secrets,
        code: &str,
        iss: Option<&str>,
    ) -> Result<Identity, Fault> {
        let known = self.metadata.get(with.http, with.clock).await?;
        // RFC 9207: whose answer it is, so that another's is not taken for it.
        let named = match iss {
            Some(iss) => iss == self.issuer.as_str(),
            None => !known.names_itself(),
        };
        if !named {
            return Err(Fault::nonsense("the answer is another issuer's"));
        }
        let client = client(with, &known, &self.issuer);
        let mut request = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        if with.settings.pkce {
            request = request.set_pkce_verifier(PkceCodeVerifier::new(secrets.verifier.clone()));
        }
        let answer = request.request_async(with.http).await?;
        let token = answer.id_token().ok_or_else(|| Fault::nonsense("no ID token"))?;
        refuse_strange_headers(token)?;
        let keys = self.keys_for(with, &known, token, secrets).await?;
        let verifier = self.verifier(with, keys);
        let claims = token.claims(&verifier, nonce(with, secrets)).map_err(refused)?;
        check_times(claims.additional_claims(), with.clock.now())?;
        if claims
            .authorized_party()
            .is_some_and(|party| party.as_str() != with.settings.client_id)
        {
            return Err(Fault::nonsense("an ID token that another party asked for"));
        }
        if let Some(expected) = claims.access_token_hash() {
            let key = token.signing_key(&verifier).map_err(|_| unsigned())?;
            let algorithm = token.signing_alg().map_err(|_| unsigned())?;
            let hash = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
            if hash.as_ref().ok() != Some(expected) {
                return Err(Fault::nonsense("an access token of another answer"));
            }
        }
        let subject = claims.subject().as_str();
        let said = (
            claims.email().map(|email| email.as_str().to_owned()),
            claims.email_verified(),
        );
        let (email, verified) = match said {
            (Some(email), verified) => (Some(email), verified),
            (None, _) => {
                let token = answer.access_token().secret();
                address_of(with.http, &known, token, subject).await?
            }
        };
        Identity::new(
            self.issuer.as_str(),
            subject,
            email.as_deref().and_then(EmailAddress::parse),
            verified == Some(true),
        )
    }

    /// The keys among which the token's is; fetched once more if it is not among those that are known.
    async fn keys_for(
        &self,
        with: &Parties<'_>,
        known: &Known,
        token: &Token,
        secrets: &Secrets,
    ) -> Result<Keys, Fault> {
        let verifier = self.verifier(with, known.keys.clone());
        let found = token.claims(&verifier, nonce(with, secrets));
        if let Err(ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey,
        )) = found
        {
            let newer = self.metadata.newer_keys(with.http, with.clock, known).await?;
            return newer.ok_or_else(|| Fault::nonsense("an ID token of an unknown key"));
        }
        Ok(known.keys.clone())
    }

    /// As of a public client: there is no secret that a token could be signed with.
    fn verifier<'a>(&self, with: &'a Parties<'_>, keys: Keys) -> IdTokenVerifier<'a, CoreJsonWebKey> {
        let client = ClientId::new(with.settings.client_id.clone());
        let clock = with.clock;
        IdTokenVerifier::new_public_client(client, self.issuer.clone(), keys)
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(|| clock.now())
            .set_issue_time_verifier_fn(|issued| {
                let now = clock.now();
                if issued <= now + LEEWAY && issued >= now - OLDEST {
                    Ok(())
                } else {
                    Err("it was not made just now".to_owned())
                }
            })
    }
}

/// Between whom a sign-in is: the provider as it is configured, the way to it, and where browsers come back to.
pub(super) struct Parties<'a> {
    pub(super) settings: &'a Settings,
    pub(super) http: &'a Http,
    pub(super) clock: &'a Clock,
    pub(super) callback: &'a Url,
}

fn client(with: &Parties<'_>, known: &Known, issuer: &IssuerUrl) -> Client<EndpointSet, EndpointSet> {
    let settings = with.settings;
    Client::<EndpointNotSet, EndpointNotSet>::new(
        ClientId::new(settings.client_id.clone()),
        issuer.clone(),
        JsonWebKeySet::default(),
    )
    .set_client_secret(ClientSecret::new(
        settings.client_secret.expose_secret().to_owned(),
    ))
    .set_auth_type(match settings.token_auth {
        TokenAuth::Basic => AuthType::BasicAuth,
        TokenAuth::Post => AuthType::RequestBody,
    })
    .set_redirect_uri(RedirectUrl::from_url(with.callback.clone()))
    .set_auth_uri(known.authorization.clone())
    .set_token_uri(known.token.clone())
}

/// The nonce is ours; only where the provider is known to send none back may it be missing.
fn nonce<'a>(
    with: &Parties<'_>,
    secrets: &'a Secrets,
) -> impl FnOnce(Option<&Nonce>) -> Result<(), String> + 'a {
    let needed = with.settings.nonce;
    move |said| match said {
        Some(said) if crate::crypto::equal(said.secret().as_bytes(), secrets.nonce.as_bytes()) => Ok(()),
        None if !needed => Ok(()),
        _ => Err("not our nonce".to_owned()),
    }
}

/// A token that brings its own key, or says where one is, is not from a provider that we asked.
fn refuse_strange_headers(token: &Token) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Header {
        jwk: Option<serde::de::IgnoredAny>,
        jku: Option<serde::de::IgnoredAny>,
        x5u: Option<serde::de::IgnoredAny>,
    }
    let text = token.to_string();
    let header = text
        .split('.')
        .next()
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let header: Option<Header> = header.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match header {
        Some(Header {
            jwk: None,
            jku: None,
            x5u: None,
        }) => Ok(()),
        _ => Err(Fault::nonsense("an ID token that brings its own key")),
    }
}

fn check_times(times: &Times, now: DateTime<Utc>) -> Result<(), Fault> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds, which are exact for a long time"
    )]
    let latest = (now + LEEWAY).timestamp() as f64;
    if times.nbf.is_some_and(|begins| begins > latest) {
        return Err(Fault::nonsense("an ID token that is not good yet"));
    }
    Ok(())
}

/// What the provider says of the address where it asks for it (Core 1.0, section 5.3), of the same person.
async fn address_of(
    http: &Http,
    known: &Known,
    token: &str,
    subject: &str,
) -> Result<(Option<String>, Option<bool>), Fault> {
    let Some(url) = &known.userinfo else {
        return Ok((None, None));
    };
    let found: Option<UserInfo> = http.get(url.as_str(), token).await?;
    match found {
        Some(found) if found.sub == subject => Ok((found.email, found.email_verified)),
        Some(_) => Err(Fault::nonsense("userinfo of somebody else")),
        None => Ok((None, None)),
    }
}

fn unsigned() -> Fault {
    Fault::nonsense("an ID token that is not signed as it should be")
}

/// Which check refused the token; not with which values, for they may say who it is.
fn refused(error: ClaimsVerificationError) -> Fault {
    let check = match error {
        ClaimsVerificationError::Expired(_) => "its time",
        ClaimsVerificationError::InvalidAudience(_) => "its audience",
        ClaimsVerificationError::InvalidIssuer(_) => "its issuer",
        ClaimsVerificationError::InvalidNonce(_) => "its nonce",
        ClaimsVerificationError::SignatureVerification(_) => "its signature",
        _ => "its form",
    };
    Fault::nonsense(format!("an ID token that is refused for {check}"))
}
