//! Makes the viewer of a request: from the bearer token in its `Authorization` header (RFC 6750,
//! section 2.1), and from nothing else: a cookie would let other sites ask in the user's name, and a
//! query stands in logs.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use domain::identity::session;
use domain::identity::token::Tokens;
use domain::{Error, Result, Viewer};

use super::client;
use super::identity::{Identity, SESSION, value_of};

/// Who asks.
///
/// # Errors
/// [`Error::Unauthenticated`] without exactly one good token.
pub async fn viewer_from(request: &HttpRequest, tokens: &Tokens, trusted: &[IpAddr]) -> Result<Viewer> {
    let token = bearer(request).ok_or(Error::Unauthenticated)?;
    let token = tokens.verify(token).await?;
    #[expect(clippy::disallowed_methods, reason = "this is the guard")]
    Ok(Viewer::from_access_token(
        &token,
        Some(client::info(request, trusted)),
    ))
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
