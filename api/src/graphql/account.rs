//! Who asks, and what they have left to ask for.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::identity::account::{self, ProfileChange};
use domain::identity::methods;
use domain::identity::scope::Scope;
use domain::limit::Budget;
use domain::page::PageRequest;

use super::api_key::{self, ApiKey};
use super::audit::{self, AuditEventConnection};
use super::error::{mutate, payload, reader, top_level};
use super::node::Kind;
use super::passkey::{self, Passkey};
use super::reader::Reader;
use super::scalars::{EmailAddress, TimeZone};
use super::scope::{Needs, SessionOnly};
use super::session::{self, Session};
use super::sign_in::SignInMethods;
use crate::http::limits::Cost;

/// The person who signed in.
#[derive(Clone)]
pub(crate) struct User {
    user: account::User,
    reader: Arc<Reader>,
}

impl User {
    pub(crate) fn new(user: account::User, reader: Arc<Reader>) -> Self {
        Self { user, reader }
    }
}

/// The person who signed in.
#[Object(guard = "Needs(Scope::ProfileRead)")]
impl User {
    /// The global id.
    /// Scope: `profile:read`.
    pub(crate) async fn id(&self) -> ID {
        Kind::User.id(self.user.id)
    }
    /// Their name, if they gave one.
    /// Scope: `profile:read`.
    async fn name(&self) -> Option<&str> {
        self.user.name.as_deref()
    }
    /// The address that they first signed in with.
    /// Scope: `profile:read`.
    async fn email(&self) -> Option<EmailAddress> {
        self.user
            .emails
            .first()
            .map(|email| EmailAddress(email.address.clone()))
    }
    /// Their time zone.
    /// Scope: `profile:read`.
    async fn time_zone(&self) -> TimeZone {
        TimeZone(self.user.time_zone.clone())
    }
    /// The country (ISO 3166, two letters) that phone numbers without one are read in; null: such numbers are kept as typed.
    /// Scope: `profile:read`.
    async fn phone_region(&self) -> Option<&str> {
        self.user.phone_region.as_deref()
    }
    /// How they sign in. Only the page `/settings/sign-in` adds to it, where what is added is proved.
    /// For sessions only.
    #[graphql(guard = "SessionOnly")]
    async fn sign_in_methods(&self) -> Result<SignInMethods> {
        let tx = self.reader.tx().await.map_err(top_level)?;
        Ok(SignInMethods(methods::list(tx).await.map_err(top_level)?))
    }
    /// When they first signed in.
    /// Scope: `profile:read`.
    async fn created_at(&self) -> DateTime<Utc> {
        self.user.created_at
    }
    /// When the account goes, if that was asked for: see `requestAccountDeletion`.
    /// Scope: `profile:read`.
    async fn delete_after(&self) -> Option<DateTime<Utc>> {
        self.user.delete_after
    }
    /// Where they are signed in, the last used first; at most 100.
    /// For sessions only.
    #[graphql(guard = "SessionOnly")]
    async fn sessions(&self) -> Result<Vec<Session>> {
        session::all(&self.reader).await
    }
    /// Their passkeys, oldest first; at most 20. Only the page `/settings/passkeys` adds one, since an authenticator
    /// makes it for our own address.
    /// For sessions only.
    #[graphql(guard = "SessionOnly")]
    async fn passkeys(&self) -> Result<Vec<Passkey>> {
        passkey::all(&self.reader).await
    }
    /// Whether whoever signs in by something else presents a passkey too.
    /// For sessions only.
    #[graphql(guard = "SessionOnly")]
    async fn passkey_required(&self) -> Result<bool> {
        Ok(passkey::setting(&self.reader).await?.required)
    }
    /// How many recovery codes are left.
    /// For sessions only.
    #[graphql(guard = "SessionOnly")]
    async fn recovery_codes_left(&self) -> Result<u32> {
        Ok(passkey::setting(&self.reader).await?.codes_left)
    }
    /// Their API keys, those that are good first, then the newest first; at most 200. One that has ended is shown for
    /// 90 days.
    /// For sessions only.
    #[graphql(guard = "SessionOnly")]
    async fn api_keys(&self) -> Result<Vec<ApiKey>> {
        api_key::all(&self.reader).await
    }
    /// What was done with the account, newest first.
    /// For sessions only.
    #[graphql(guard = "SessionOnly")]
    async fn audit_events(
        &self,
        #[graphql(desc = "The first so many, 0 to 100. If neither this nor `last` is given: the first 50.")]
        first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
        #[graphql(desc = "The last so many, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only those before this cursor.")] before: Option<String>,
    ) -> Result<AuditEventConnection> {
        let request = PageRequest::new(first, last, after, before).map_err(top_level)?;
        audit::page(&self.reader, &request).await
    }
}

/// What is left to ask for. Each operation has a cost, known before it runs; the bucket refills steadily.
#[derive(SimpleObject)]
pub(crate) struct RateLimit {
    /// The cost of this operation: 1, a tenth of the entries it can return at most, a twentieth of its fields, 10 for each
    /// total that is counted and each list that is filtered, and 5 for each mutation.
    /// Scope: any.
    cost: u32,
    /// What the bucket holds when full.
    /// Scope: any.
    limit: u32,
    /// What it holds now.
    /// Scope: any.
    remaining: u32,
    /// When it is full again if nothing more is asked.
    /// Scope: any.
    reset_at: DateTime<Utc>,
}

#[derive(Default)]
pub(crate) struct AccountQuery;

#[Object]
impl AccountQuery {
    /// The person who signed in.
    /// Scope: `profile:read`.
    #[graphql(guard = "Needs(Scope::ProfileRead)")]
    async fn viewer(&self, ctx: &Context<'_>) -> Result<User> {
        let reader = reader(ctx)?;
        let user = account::me(reader.tx().await.map_err(top_level)?).await;
        Ok(User::new(user.map_err(top_level)?, reader))
    }

    /// What is left to ask for.
    /// Scope: any.
    async fn rate_limit(&self, ctx: &Context<'_>) -> Result<RateLimit> {
        let budget = ctx.data::<Budget>()?;
        Ok(RateLimit {
            cost: ctx.data::<Cost>()?.points,
            limit: budget.limit,
            remaining: budget.remaining,
            reset_at: budget.reset_at,
        })
    }
}

payload! {
    Needs(Scope::ProfileWrite), "Scope: `profile:write`.",
    /// What `updateProfile` did.
    UpdateProfilePayload,
    /// The person as they are now.
    user: User
}

/// The changes to the person who signed in. What is not given stays; null clears.
#[derive(InputObject)]
pub(crate) struct UpdateProfileInput {
    /// Their name, at most 200 characters.
    name: MaybeUndefined<String>,
    /// Their time zone.
    time_zone: Option<TimeZone>,
    /// The country (ISO 3166, two letters) that phone numbers without one are read in.
    phone_region: MaybeUndefined<String>,
}

fn change(text: MaybeUndefined<String>) -> Option<Option<String>> {
    match text {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(text) => Some(Some(text)),
    }
}

#[derive(Default)]
pub(crate) struct AccountMutation;

#[Object(guard = "Needs(Scope::ProfileWrite)")]
impl AccountMutation {
    /// Changes what the person who signed in says of themselves.
    /// Scope: `profile:write`.
    async fn update_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The changes.")] input: UpdateProfileInput,
    ) -> Result<UpdateProfilePayload> {
        let change = ProfileChange {
            name: change(input.name),
            time_zone: input.time_zone.map(|zone| zone.0),
            phone_region: change(input.phone_region),
        };
        let outcome = mutate(ctx, "", async |tx| account::update_profile(tx, change).await).await?;
        Ok(UpdateProfilePayload::of(outcome, User::new))
    }
}
