//! OAuth 2.0 with PKCE, and who somebody is from the provider's own endpoints: GitHub and X, which do not speak
//! OpenID Connect.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::fault::{Fault, code as error_code};
use super::http::Http;
use super::oidc::Parties;
use super::settings::{Kind, Settings, TokenAuth};
use super::{Identity, Secrets};
use crate::crypto::sha256;
use crate::email_address::EmailAddress;

/// Where a provider's endpoints are.
pub(super) struct OAuth {
    kind: Kind,
    issuer: String,
    authorization: Url,
    token: Url,
    user: Url,
    emails: Option<Url>,
}

/// What a token endpoint answers: GitHub says also what is wrong with the status 200.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct GitHubUser {
    id: u64,
}

#[derive(Deserialize)]
struct GitHubEmail {
    email: String,
    primary: bool,
    verified: bool,
}

#[derive(Deserialize)]
struct XAnswer {
    data: XUser,
}

#[derive(Deserialize)]
struct XUser {
    id: String,
    /// There only when the address is confirmed.
    confirmed_email: Option<String>,
}

impl OAuth {
    /// The endpoints of GitHub or X; at the stand-in they have the same paths.
    pub(super) fn new(settings: &Settings) -> Result<Self, url::ParseError> {
        let at = |url: &str| -> Result<Url, url::ParseError> {
            let mut url = Url::parse(url)?;
            if let Some(stand_in) = &settings.stand_in {
                let path = url[url::Position::BeforePath..].to_owned();
                url = stand_in.join(&path)?;
            }
            Ok(url)
        };
        let (authorization, token, user, emails) = if settings.kind == Kind::X {
            (
                "https://x.com/i/oauth2/authorize",
                "https://api.x.com/2/oauth2/token",
                "https://api.x.com/2/users/me?user.fields=confirmed_email",
                None,
            )
        } else {
            (
                "https://github.com/login/oauth/authorize",
                "https://github.com/login/oauth/access_token",
                "https://api.github.com/user",
                Some("https://api.github.com/user/emails"),
            )
        };
        Ok(Self {
            kind: settings.kind,
            issuer: settings.issuer.clone(),
            authorization: at(authorization)?,
            token: at(token)?,
            user: at(user)?,
            emails: emails.map(at).transpose()?,
        })
    }

    /// The origin of the page that people sign in on.
    pub(super) fn origin(&self) -> String {
        self.authorization.origin().ascii_serialization()
    }

    /// Where the browser goes to sign in (RFC 6749, section 4.1.1).
    pub(super) fn authorization_url(&self, with: &Parties<'_>, secrets: &Secrets, state: &str) -> Url {
        let mut url = self.authorization.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &with.settings.client_id)
            .append_pair("redirect_uri", with.callback.as_str())
            .append_pair("scope", &with.settings.scopes)
            .append_pair("state", state);
        if with.settings.pkce {
            let challenge = URL_SAFE_NO_PAD.encode(sha256(secrets.verifier.as_bytes()));
            query
                .append_pair("code_challenge", &challenge)
                .append_pair("code_challenge_method", "S256");
        }
        drop(query);
        url
    }

    /// Who came back with this code.
    pub(super) async fn identify(
        &self,
        with: &Parties<'_>,
        secrets: &Secrets,
        code: &str,
        iss: Option<&str>,
    ) -> Result<Identity, Fault> {
        // Neither says whose answer it is in every case; each has a callback of its own besides.
        if iss.is_some_and(|iss| !self.is_own(iss)) {
            return Err(Fault::nonsense("the answer is another issuer's"));
        }
        let token = self.token(with, secrets, code).await?;
        if self.kind == Kind::X {
            self.x(with.http, &token).await
        } else {
            self.github(with.http, &token).await
        }
    }

    fn is_own(&self, iss: &str) -> bool {
        Url::parse(iss).is_ok_and(|url| url.origin() == self.authorization.origin())
    }

    async fn token(&self, with: &Parties<'_>, secrets: &Secrets, code: &str) -> Result<String, Fault> {
        let settings = with.settings;
        let secret = settings.client_secret.expose_secret();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", with.callback.as_str()),
            ("client_id", settings.client_id.as_str()),
        ];
        if settings.pkce {
            fields.push(("code_verifier", &secrets.verifier));
        }
        let authorization = match settings.token_auth {
            TokenAuth::Basic => Some(basic(&settings.client_id, secret)),
            TokenAuth::Post => {
                fields.push(("client_secret", secret));
                None
            }
        };
        let answer: TokenAnswer = with
            .http
            .post(self.token.as_str(), &fields, authorization)
            .await?;
        match answer {
            TokenAnswer {
                access_token: Some(token),
                error: None,
            } if is_token(&token) => Ok(token),
            TokenAnswer {
                error: Some(error), ..
            } => Err(Fault::nonsense(format!(
                "the code was refused: {}",
                error_code(&error)
            ))),
            _ => Err(Fault::nonsense("a token answer that is not what it should be")),
        }
    }

    async fn github(&self, http: &Http, token: &str) -> Result<Identity, Fault> {
        let user: Option<GitHubUser> = http.get(self.user.as_str(), token).await?;
        let user = user.ok_or_else(nobody)?;
        // Whether an address is proved stands here alone; a person may refuse to let us see it.
        let emails: Option<Vec<GitHubEmail>> = match &self.emails {
            Some(emails) => http.get(emails.as_str(), token).await?,
            None => None,
        };
        let primary = emails.into_iter().flatten().find(|email| email.primary);
        let verified = primary.as_ref().is_some_and(|email| email.verified);
        let email = primary.and_then(|primary| EmailAddress::parse(&primary.email));
        Identity::new(&self.issuer, &user.id.to_string(), email, verified)
    }

    async fn x(&self, http: &Http, token: &str) -> Result<Identity, Fault> {
        let answer: Option<XAnswer> = http.get(self.user.as_str(), token).await?;
        let user = answer.ok_or_else(nobody)?.data;
        if !user.id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(nobody());
        }
        let email = user.confirmed_email.as_deref().and_then(EmailAddress::parse);
        Identity::new(&self.issuer, &user.id, email, true)
    }
}

fn nobody() -> Fault {
    Fault::nonsense("it does not say who it is")
}

/// Whether it may stand in a header (RFC 6750, section 2.1).
fn is_token(text: &str) -> bool {
    (1..=8192).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)))
    )
}
