//! Which scope each field needs (see `domain::identity::scope`). It is declared next to the resolver, as a guard,
//! on a whole type where one scope fits all of it and on the field where it shows another noun:
//!
//! ```ignore
//! /// A tag.
//! #[Object(guard = "Needs(Scope::TagsRead)")]
//! impl Tag { … }
//!
//! /// The notes on it.
//! /// Scope: `notes:read`.
//! #[graphql(guard = "Needs(Scope::NotesRead)")]
//! async fn notes(…)
//! ```
//!
//! `#[derive(SimpleObject)]` takes the same as `#[graphql(guard = …)]` on the type or a field; `payload!` and
//! `connection!` take guard and text as their first two arguments. What API keys may never see or do (keys,
//! sign-in methods, sessions, the audit trail, deletion) has the guard [`SessionOnly`] instead.
//!
//! The last line of each field's description says the same to who reads the schema, in one of these forms:
//!
//! - ``Scope: `tags:read`.``
//! - `Scope: any.`: no guard; for what is only part of a guarded field, or says nothing of the user's own
//!   (`PageInfo`, `PartialDate`, `UserError`, `RateLimit`);
//! - `Scope: that of its kind.`: `node` and `nodes`, whose scope hangs on the id;
//! - `For sessions only.`
//!
//! `api/tests/it/scopes.rs` walks the schema and compares what each field says with what it does.

use std::sync::Arc;

use async_graphql::{Context, Error, ErrorExtensions, Guard, Result};
use domain::Viewer;
use domain::identity::scope::Scope;
use domain::viewer::Via;

use super::reader::Reader;

/// The scope that a field needs.
#[derive(Clone, Copy)]
pub(crate) struct Needs(pub(crate) Scope);

impl Guard for Needs {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        require(ctx, self.0)
    }
}

/// Only who came by a session: a person, and no API key, whatever its scopes.
#[derive(Clone, Copy)]
pub(crate) struct SessionOnly;

impl Guard for SessionOnly {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        require_session(ctx)
    }
}

/// What [`SessionOnly`] does, where it hangs on an argument.
pub(crate) fn require_session(ctx: &Context<'_>) -> Result<()> {
    match viewer(ctx)?.via() {
        Via::Session(_) => Ok(()),
        Via::ApiKey(_) | Via::Job(_) => Err(forbidden("this is for who is signed in; an API key may not")),
    }
}

/// What [`Needs`] does, where it hangs on an argument.
pub(crate) fn require(ctx: &Context<'_>, scope: Scope) -> Result<()> {
    if viewer(ctx)?.may(scope) {
        return Ok(());
    }
    let scope = scope.as_str();
    Err(forbidden(format!("this API key has not the scope {scope}"))
        .extend_with(|_, extensions| extensions.set("scope", scope)))
}

fn viewer<'a>(ctx: &Context<'a>) -> Result<&'a Viewer> {
    Ok(ctx.data::<Arc<Reader>>()?.viewer())
}

fn forbidden(message: impl Into<String>) -> Error {
    let code = domain::Error::Forbidden.class();
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code))
}
