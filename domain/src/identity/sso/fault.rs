//! Why a sign-in at a provider came to nothing.

use openidconnect::core::CoreErrorResponseType;
use openidconnect::{DiscoveryError, RequestTokenError, StandardErrorResponse};

use super::http::HttpError;
use crate::error::Error;

/// What went wrong between a provider and us.
pub(super) enum Fault {
    /// The provider is away, or not in its senses. What for the log: never what it said of a person.
    Away(String),
    /// What it says can't be believed, or can't be understood.
    Refused(String),
    /// On our side.
    Ours(Error),
}

impl Fault {
    pub(super) fn nonsense(what: impl Into<String>) -> Self {
        Self::Refused(what.into())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TooLarge => Self::Refused(error.to_string()),
            HttpError::Away(_) | HttpError::Down(_) => Self::Away(error.to_string()),
        }
    }
}

impl From<DiscoveryError<HttpError>> for Fault {
    fn from(error: DiscoveryError<HttpError>) -> Self {
        match error {
            // Where a configuration can't be used, nothing can be begun.
            DiscoveryError::Request(error) => Self::Away(error.to_string()),
            DiscoveryError::Validation(_) => Self::Away("its configuration names another issuer".to_owned()),
            DiscoveryError::Parse(_) => Self::Away("its configuration can't be read".to_owned()),
            DiscoveryError::Response(status, ..) => Self::Away(format!("it answered {status}")),
            _ => Self::Away("its configuration can't be fetched".to_owned()),
        }
    }
}

impl From<RequestTokenError<HttpError, StandardErrorResponse<CoreErrorResponseType>>> for Fault {
    fn from(error: RequestTokenError<HttpError, StandardErrorResponse<CoreErrorResponseType>>) -> Self {
        match error {
            RequestTokenError::Request(error) => error.into(),
            RequestTokenError::ServerResponse(answer) => {
                Self::Refused(format!("the code was refused: {}", code(answer.error().as_ref())))
            }
            // The answer may hold tokens: nothing of it goes on.
            RequestTokenError::Parse(..) => Self::nonsense("a token answer that is not what it should be"),
            RequestTokenError::Other(_) => Self::nonsense("no token answer"),
        }
    }
}

/// An error's code, if it looks like one (RFC 6749, section 5.2).
pub(super) fn code(text: &str) -> &str {
    let sound = text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if sound { text } else { "?" }
}
