//! The one error type of the product, and the one table of its codes.
//!
//! What a user can mend is data ([`UserError`], a list of them in [`Error::Invalid`]); "not yours" and
//! "not there" are both [`Error::NotFound`]; the rest says only what class it is to the caller and
//! keeps its cause for the log.

use std::borrow::Cow;
use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr};

/// Any error, kept for the log alone.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of every operation of the product.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input can't be accepted; the caller can mend each.
    #[error("invalid input: {0:?}")]
    Invalid(Vec<UserError>),
    /// There is no such thing for this viewer. Another user's thing does not exist.
    #[error("not found")]
    NotFound,
    /// The caller is nobody, or is no longer who they were.
    #[error("unauthenticated")]
    Unauthenticated,
    /// The caller may not do this.
    #[error("forbidden")]
    Forbidden,
    /// The caller has to show again who they are: the last time is too long ago for this.
    #[error("step-up required")]
    StepUpRequired,
    /// Too many requests; the same may succeed after the given time.
    #[error("rate limited for {0:?}")]
    RateLimited(Duration),
    /// What was asked for is more than is read at once; less of it can be had.
    #[error("too much at once")]
    TooLarge,
    /// A part that the operation needs is away; the same may succeed later.
    #[error("unavailable: {0}")]
    Unavailable(#[source] Cause),
    /// A defect of ours.
    #[error("internal: {0}")]
    Internal(#[source] Cause),
}

/// One thing that is wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserError {
    /// What is wrong, for programs; stable.
    pub code: Code,
    /// Where in the input, outermost first, e.g. `["emails", "0", "address"]`; empty for the whole.
    pub field: Vec<String>,
    /// What is wrong, for people; may improve.
    pub message: Cow<'static, str>,
}

impl UserError {
    /// An error at a path written with dots, e.g. `emails.0.address`.
    pub fn at(field: &str, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let field = field
            .split('.')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        Self {
            code,
            field,
            message: message.into(),
        }
    }
}

macro_rules! codes {
    ($($(#[$about:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// The codes of user errors.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$about])* $name),* }
        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// As clients see it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

codes! {
    /// Nothing with this id, for this viewer.
    NotFound = "NOT_FOUND",
    /// Something that is needed is missing or empty.
    Required = "REQUIRED",
    /// A text is longer than it may be.
    TooLong = "TOO_LONG",
    /// A list is longer than it may be.
    TooMany = "TOO_MANY",
    /// A value does not have the form it should have.
    Invalid = "INVALID",
    /// The same is there already.
    Taken = "TAKEN",
    /// The row has changed since the version that was sent.
    Conflict = "CONFLICT",
    /// A file is larger than it may be.
    FileTooLarge = "FILE_TOO_LARGE",
    /// A file did not arrive whole, or is used already.
    FileUnusable = "FILE_UNUSABLE",
    /// The code or link is wrong, used or too old.
    LinkInvalid = "LINK_INVALID",
    /// A sign-in is continued in another browser than the one that began it.
    OtherBrowser = "OTHER_BROWSER",
    /// It is the last way into the account.
    LastSignInMethod = "LAST_SIGN_IN_METHOD",
    /// A passkey was not accepted.
    PasskeyRefused = "PASSKEY_REFUSED",
    /// It can't be taken away: the account requires a passkey.
    PasskeyRequired = "PASSKEY_REQUIRED",
    /// The session began with one factor; this wants one that began with a passkey or a second factor.
    StrongSessionRequired = "STRONG_SESSION_REQUIRED",
}

impl Error {
    /// One user error.
    pub fn invalid(field: &str, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(vec![UserError::at(field, code, message)])
    }

    /// A defect of ours.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    /// Something that is away.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// The stable code of the error's class, as top-level GraphQL errors and JSON answers carry it.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "BAD_USER_INPUT",
            Self::NotFound => "NOT_FOUND",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::StepUpRequired => "STEP_UP_REQUIRED",
            Self::RateLimited(_) => "RATE_LIMITED",
            Self::TooLarge => "QUERY_TOO_COMPLEX",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Internal(_) => "INTERNAL",
        }
    }
}

/// What the database's named constraints mean to a user: code, field and message, once for all.
const CONSTRAINTS: &[(&str, Code, &str, &str)] = &[
    (
        "tag_name",
        Code::Taken,
        "name",
        "There is a tag of this name already.",
    ),
    (
        "contact_tag_contact",
        Code::NotFound,
        "contactId",
        "There is no such contact.",
    ),
    (
        "contact_tag_tag",
        Code::NotFound,
        "tagId",
        "There is no such tag.",
    ),
    (
        "affiliation_company",
        Code::NotFound,
        "companyId",
        "There is no such company.",
    ),
    (
        "note_contact",
        Code::NotFound,
        "contactId",
        "There is no such contact.",
    ),
    ("import_upload", Code::NotFound, "file", "There is no such file."),
    (
        "passkey_credential",
        Code::Taken,
        "",
        "This passkey is registered already.",
    ),
];

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.code().as_deref() {
                // Raised by assert_session.
                Some("CRM01") => Self::Unauthenticated,
                // Raised by assert_recent.
                Some("CRM03") => Self::StepUpRequired,
                // Connection trouble, shutting down, too many connections, cancelled by a time-out; a lock
                // that did not come, a deadlock, a serialisation that failed: try again.
                Some(code)
                    if code.starts_with("08")
                        || code.starts_with("57")
                        || ["53300", "55P03", "40P01", "40001"].contains(&code) =>
                {
                    Self::unavailable(error)
                }
                _ => match database
                    .constraint()
                    .and_then(|name| CONSTRAINTS.iter().find(|c| c.0 == name))
                {
                    Some((_, code, field, message)) => Self::invalid(field, *code, *message),
                    None => Self::internal(error),
                },
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed => Self::unavailable(error),
            _ => Self::internal(error),
        }
    }
}

/// How a transaction says [`Error::TooLarge`] through SeaORM.
pub(crate) const TOO_LARGE: &str = "too much at once";

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match error {
            DbErr::Conn(RuntimeErr::SqlxError(e))
            | DbErr::Exec(RuntimeErr::SqlxError(e))
            | DbErr::Query(RuntimeErr::SqlxError(e)) => match std::sync::Arc::try_unwrap(e) {
                Ok(e) => e.into(),
                Err(shared) => Self::internal(shared.to_string()),
            },
            DbErr::Custom(text) if text == TOO_LARGE => Self::TooLarge,
            other => Self::internal(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_shouted() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()));
            assert!(code.as_str().chars().all(|c| c.is_ascii_uppercase() || c == '_'));
        }
    }

    #[test]
    fn a_path_is_split_at_its_dots() {
        let error = UserError::at("emails.0.address", Code::Invalid, "no");
        assert_eq!(error.field, ["emails", "0", "address"]);
        assert!(UserError::at("", Code::Invalid, "no").field.is_empty());
    }
}
