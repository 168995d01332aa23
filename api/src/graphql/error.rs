//! Errors: what the caller can mend is data in the payload, the rest is a coded top-level error.

use async_graphql::{Context, Enum, ErrorExtensions, SimpleObject};
use domain::db::Freshness;
use domain::{Code, Error, Tx};

use super::reader::Reader;
use std::sync::Arc;

macro_rules! user_error_codes {
    ($($name:ident),* $(,)?) => {
        /// What is wrong with an input. Stable: a program can rely on it.
        #[derive(Enum, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum UserErrorCode {
            /// There is nothing with this id.
            NotFound,
            /// Something that is needed is missing or empty.
            Required,
            /// A text is longer than it may be.
            TooLong,
            /// A list is longer than it may be.
            TooMany,
            /// A value does not have the form it should have.
            Invalid,
            /// The same is there already.
            Taken,
            /// It has changed since the version that was sent.
            Conflict,
            /// A file did not arrive whole, or is used already.
            FileUnusable,
            /// It is the last way into the account.
            LastSignInMethod,
            /// It can't be taken away: the account requires a passkey.
            PasskeyRequired,
            /// The session began with one factor; this wants one that began with a passkey or a second factor.
            StrongSessionRequired,
        }

        impl From<Code> for UserErrorCode {
            fn from(code: Code) -> Self {
                match code {
                    $(Code::$name => Self::$name,)*
                    // No mutation says these: they are of uploads and of the sign-in's pages.
                    Code::FileTooLarge | Code::LinkInvalid | Code::OtherBrowser | Code::PasskeyRefused => {
                        Self::Invalid
                    }
                }
            }
        }
    };
}

user_error_codes!(
    NotFound,
    Required,
    TooLong,
    TooMany,
    Invalid,
    Taken,
    Conflict,
    FileUnusable,
    LastSignInMethod,
    PasskeyRequired,
    StrongSessionRequired
);

/// One thing that is wrong with a mutation's input. If there is any, nothing was changed.
#[derive(SimpleObject, Clone)]
pub(crate) struct UserError {
    /// What is wrong, for programs.
    /// Scope: any.
    code: UserErrorCode,
    /// Where in the input, outermost first, e.g. `["emails", "0", "address"]`; empty for the whole.
    /// Scope: any.
    field: Vec<String>,
    /// What is wrong, for people. May be improved at any time.
    /// Scope: any.
    message: String,
}

impl From<domain::UserError> for UserError {
    fn from(error: domain::UserError) -> Self {
        Self {
            code: error.code.into(),
            field: error.field,
            message: error.message.into_owned(),
        }
    }
}

/// A top-level error of the domain's error. One without a code is a defect of ours: the HTTP layer logs
/// its text under an id and shows the id alone.
pub(crate) fn top_level(error: Error) -> async_graphql::Error {
    let message = match &error {
        Error::Internal(cause) => return async_graphql::Error::new(cause.to_string()),
        Error::Invalid(errors) => errors
            .iter()
            .map(|e| e.message.as_ref())
            .collect::<Vec<_>>()
            .join(" "),
        Error::NotFound => "there is no such thing".to_owned(),
        Error::Unauthenticated => "the session has ended".to_owned(),
        Error::TooLarge => "this is too much at once; ask for less".to_owned(),
        Error::Forbidden => "this is not allowed".to_owned(),
        Error::StepUpRequired => "sign in again first: the last time is more than 10 minutes ago".to_owned(),
        Error::RateLimited(_) => "too many requests".to_owned(),
        Error::Unavailable(cause) => {
            tracing::warn!(error = %cause, "unavailable");
            "try again in a moment".to_owned()
        }
    };
    let seconds = if let Error::RateLimited(wait) = &error {
        Some(wait.as_secs().max(1))
    } else {
        None
    };
    async_graphql::Error::new(message).extend_with(|_, extensions| {
        extensions.set("code", error.class());
        if let Some(seconds) = seconds {
            extensions.set("retryAfter", seconds);
        }
    })
}

/// The error of an answer that would hold more than `maximum` bytes.
pub(crate) fn too_large(maximum: usize) -> async_graphql::Error {
    async_graphql::Error::new("the answer is too large; ask for less at once").extend_with(|_, extensions| {
        extensions.set("code", "QUERY_TOO_COMPLEX");
        extensions.set("limit", "bytes of the answer");
        extensions.set("maximum", maximum);
    })
}

/// The request's reading transaction.
pub(crate) fn reader(ctx: &Context<'_>) -> async_graphql::Result<Arc<Reader>> {
    ctx.data::<Arc<Reader>>().cloned()
}

/// What a mutation came to: its result read in a transaction of its own, or what is wrong with the input.
pub(crate) type Outcome<T> = Result<(T, Arc<Reader>), Vec<UserError>>;

/// Does one mutation in one transaction. `id` names the argument that [`Error::NotFound`] is about.
pub(crate) async fn mutate<T>(
    ctx: &Context<'_>,
    id: &str,
    operation: impl AsyncFnOnce(&Tx) -> domain::Result<T>,
) -> async_graphql::Result<Outcome<T>> {
    let reader = reader(ctx)?;
    let opened = reader.begin().await;
    settle(&reader, opened, id, operation).await
}

/// As [`mutate`], of the viewer's own account.
pub(crate) async fn mutate_account<T>(
    ctx: &Context<'_>,
    freshness: Freshness,
    id: &str,
    operation: impl AsyncFnOnce(&Tx) -> domain::Result<T>,
) -> async_graphql::Result<Outcome<T>> {
    let reader = reader(ctx)?;
    let opened = reader.begin_account(freshness).await;
    settle(&reader, opened, id, operation).await
}

async fn settle<T>(
    reader: &Reader,
    opened: domain::Result<Tx>,
    id: &str,
    operation: impl AsyncFnOnce(&Tx) -> domain::Result<T>,
) -> async_graphql::Result<Outcome<T>> {
    let done = async {
        let tx = opened?;
        let done = operation(&tx).await?;
        tx.commit().await?;
        Ok(done)
    };
    match done.await {
        Ok(done) => Ok(Ok((done, reader.fresh()))),
        Err(Error::Invalid(errors)) => Ok(Err(errors.into_iter().map(Into::into).collect())),
        Err(Error::NotFound) => {
            let error = domain::UserError::at(id, Code::NotFound, "There is nothing with this id.");
            Ok(Err(vec![error.into()]))
        }
        Err(error) => Err(top_level(error)),
    }
}

/// A mutation's payload: one nullable result, and what is wrong with the input. The mutation's guard (see
/// [`super::scope`]) and how it says so come first.
macro_rules! payload {
    ($guard:expr, $says:literal, $(#[$about:meta])* $name:ident, $(#[$field_about:meta])* $field:ident: $type:ty) => {
        $(#[$about])*
        #[derive(async_graphql::SimpleObject)]
        #[graphql(guard = $guard)]
        pub(crate) struct $name {
            $(#[$field_about])*
            #[doc = concat!($says)]
            $field: Option<$type>,
            /// What is wrong with the input; empty when it was done.
            #[doc = concat!($says)]
            user_errors: Vec<$crate::graphql::error::UserError>,
        }

        impl $name {
            pub(crate) fn of<T>(
                outcome: $crate::graphql::error::Outcome<T>,
                wrap: impl FnOnce(T, std::sync::Arc<$crate::graphql::reader::Reader>) -> $type,
            ) -> Self {
                match outcome {
                    Ok((done, reader)) => Self { $field: Some(wrap(done, reader)), user_errors: Vec::new() },
                    Err(user_errors) => Self { $field: None, user_errors },
                }
            }
        }
    };
}
pub(crate) use payload;
