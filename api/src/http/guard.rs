//! Makes the viewer of a request: from the bearer token in its `Authorization` header (RFC 6750,
//! section 2.1), an access token or an API key, and from nothing else: a cookie would let other sites ask in the
//! user's name, and a query stands in logs.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use domain::identity::api_key::{ApiKeys, KeyText};
use domain::identity::session;
use domain::identity::session::ClientInfo;
use domain::identity::token::Tokens;
use domain::limit::{Bucket, Limits, client_key};
use domain::{Config, Db, Error, Result, Viewer};

use super::client;
use super::identity::{Identity, SESSION, value_of};

/// Who lets in. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    tokens: Tokens,
    keys: ApiKeys,
    limits: Limits,
    config: Config,
}

impl Guard {
    /// With that configuration.
    #[must_use]
    pub fn new(config: &Config, db: &Db, limits: Limits, tokens: Tokens) -> Self {
        Self {
            tokens,
            keys: ApiKeys::new(db, config),
            limits,
            config: config.clone(),
        }
    }

    /// Who asks.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] without exactly one good credential; [`Error::RateLimited`] instead for a client
    /// that presented too many that are none. One that is good is let in nevertheless: behind one address there
    /// may be many, and nobody is to lock out the others.
    pub async fn viewer(&self, request: &HttpRequest) -> Result<Viewer> {
        let credential = bearer(request).ok_or(Error::Unauthenticated)?;
        let client = client::info(request, &self.config.trusted_proxies);
        let address = client.address;
        let known = self.known(credential, client).await;
        if matches!(known, Err(Error::Unauthenticated)) {
            let wrong = Bucket::WrongCredentialsPerClient;
            self.limits.take(wrong, &client_key(address), 1).await?;
        }
        known
    }

    async fn known(&self, credential: &str, client: ClientInfo) -> Result<Viewer> {
        if KeyText::is_meant(credential) {
            let key = self.keys.verify(credential).await?;
            #[expect(clippy::disallowed_methods, reason = "this is the guard")]
            return Ok(Viewer::from_api_key(&key, client));
        }
        let token = self.tokens.verify(credential).await?;
        #[expect(clippy::disallowed_methods, reason = "this is the guard")]
        Ok(Viewer::from_access_token(&token, Some(client)))
    }
}

/// Who looks at a page of ours: from the session's cookie, which only our own pages may use, since what changes
/// something there is posted by a form of ours (see [`super::origin`]).
///
/// # Errors
/// [`Error::Unauthenticated`] without a session.
pub(super) async fn page_viewer(request: &HttpRequest, identity: &Identity) -> Result<Viewer> {
    let cookie = value_of(request, SESSION).ok_or(Error::Unauthenticated)?;
    let subject = session::look(&identity.db, &cookie).await?;
    let client = client::info(request, &identity.trusted_proxies);
    #[expect(clippy::disallowed_methods, reason = "this is the guard")]
    Ok(Viewer::from_session(&subject, client))
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return None;
    };
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains([' ', ',']))
        .then_some(token)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(lines: &[&str]) -> Option<String> {
        let mut request =
            TestRequest::with_uri("/graphql?access_token=q").append_header(("Cookie", "Bearer=c"));
        for line in lines {
            request = request.append_header((AUTHORIZATION, *line));
        }
        bearer(&request.to_http_request()).map(str::to_owned)
    }

    #[test]
    fn one_bearer_token_is_read() {
        for line in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(read(&[line]).as_deref(), Some("abc"), "{line}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for lines in [
            &[][..],
            &["abc"],
            &["Bearer"],
            &["Bearer "],
            &["Basic abc"],
            &["Bearer a b"],
            &["Bearer a,Bearer b"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(read(lines), None, "{lines:?}");
        }
    }
}
