//! How providers are spoken to: briefly. No redirect is followed, no answer is waited for long, and none may be
//! large.

use std::pin::Pin;
use std::time::Duration;

use openidconnect::http::{Request, Response, StatusCode};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;

use super::fault::Fault;
use crate::config::Environment;
use crate::error::{Error, Result};

/// How long connecting may take, and a whole request.
const CONNECT: Duration = Duration::from_secs(3);
const REQUEST: Duration = Duration::from_secs(5);
/// The largest answer: what providers send is a few kilobytes.
const MOST: usize = 256 * 1024;
/// Who asks; GitHub answers nobody without it.
const USER_AGENT: &str = "personal-crm";

/// A client for providers.
pub(super) struct Http(reqwest::Client);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// Nobody answered, or not in time.
    #[error("no answer: {0}")]
    Away(#[source] reqwest::Error),
    /// The provider says that it can't answer now.
    #[error("it answered {0}")]
    Down(StatusCode),
    /// More than we read.
    #[error("the answer is too large")]
    TooLarge,
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        Self::Away(error.without_url())
    }
}

impl Http {
    pub(super) fn new(environment: Environment) -> Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .https_only(!environment.is_development())
            .build()
            .map_err(Error::internal)?;
        Ok(Self(client))
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut answer = self.0.execute(request.try_into()?).await?;
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(HttpError::Down(status));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            if body.len() + piece.len() > MOST {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }

    /// What a provider says, in JSON, to whoever holds this access token; none if it says no.
    pub(super) async fn get<T: DeserializeOwned>(&self, url: &str, token: &str) -> Result<Option<T>, Fault> {
        let request = Request::get(url)
            .header("accept", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .body(Vec::new())
            .map_err(|_| Fault::nonsense("a request that can't be made"))?;
        let answer = self.send(request).await?;
        if answer.status() != StatusCode::OK {
            return Ok(None);
        }
        serde_json::from_slice(answer.body())
            .map(Some)
            .map_err(|_| Fault::nonsense("an answer that is not what it should be"))
    }

    /// What a provider says, in JSON, to a form that is posted to it, whatever the status.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        url: &str,
        fields: &[(&str, &str)],
        authorization: Option<String>,
    ) -> Result<T, Fault> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut request = Request::post(url)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request
            .body(body.into_bytes())
            .map_err(|_| Fault::nonsense("a request that can't be made"))?;
        let answer = self.send(request).await?;
        serde_json::from_slice(answer.body())
            .map_err(|_| Fault::nonsense("an answer that is not what it should be"))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
