//! How a person signs in: their addresses, and who they are at providers of single sign-on.

use async_graphql::{Context, ID, InputObject, Object, Result};
use chrono::{DateTime, Utc};
use domain::db::Freshness;
use domain::identity::methods;
use uuid::Uuid;

use super::error::{mutate_account, payload};
use super::node::Kind;
use super::scalars::EmailAddress;
use super::scope::SessionOnly;

/// How a person signs in. There is always at least one way: an address, an identity at a provider, or a passkey.
pub(crate) struct SignInMethods(pub(crate) methods::SignInMethods);

/// How a person signs in. There is always at least one way: an address, an identity at a provider, or a passkey.
#[Object(guard = "SessionOnly")]
impl SignInMethods {
    /// The addresses that a link is mailed to, oldest first; at most 20.
    /// For sessions only.
    async fn emails(&self) -> Vec<UserEmail> {
        self.0.emails.iter().cloned().map(UserEmail).collect()
    }
    /// Who they are at providers of single sign-on, oldest first; at most 20.
    /// For sessions only.
    async fn identities(&self) -> Vec<ExternalIdentity> {
        self.0.identities.iter().cloned().map(ExternalIdentity).collect()
    }
}

/// An address that a link for signing in is mailed to.
#[derive(Clone)]
pub(crate) struct UserEmail(methods::Email);

impl UserEmail {
    pub(crate) fn find(methods: &methods::SignInMethods, id: Uuid) -> Option<Self> {
        methods
            .emails
            .iter()
            .find(|email| email.id == id)
            .cloned()
            .map(Self)
    }
}

/// An address that a link for signing in is mailed to.
#[Object(guard = "SessionOnly")]
impl UserEmail {
    /// The global id.
    /// For sessions only.
    pub(crate) async fn id(&self) -> ID {
        Kind::UserEmail.id(self.0.id)
    }
    /// The address.
    /// For sessions only.
    async fn address(&self) -> EmailAddress {
        EmailAddress(self.0.address.clone())
    }
    /// When it was shown to be theirs.
    /// For sessions only.
    async fn verified_at(&self) -> Option<DateTime<Utc>> {
        self.0.verified_at
    }
    /// When it was added.
    /// For sessions only.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// Who a person is at a provider of single sign-on.
#[derive(Clone)]
pub(crate) struct ExternalIdentity(methods::ExternalIdentity);

impl ExternalIdentity {
    pub(crate) fn find(methods: &methods::SignInMethods, id: Uuid) -> Option<Self> {
        let found = methods.identities.iter().find(|identity| identity.id == id);
        found.cloned().map(Self)
    }
}

/// Who a person is at a provider of single sign-on.
#[Object(guard = "SessionOnly")]
impl ExternalIdentity {
    /// The global id.
    /// For sessions only.
    pub(crate) async fn id(&self) -> ID {
        Kind::ExternalIdentity.id(self.0.id)
    }
    /// The provider, as the configuration names it, e.g. `google`.
    /// For sessions only.
    async fn provider(&self) -> &str {
        &self.0.provider
    }
    /// The address as the provider said it last; to recognise it by, and for nothing else.
    /// For sessions only.
    async fn email(&self) -> Option<EmailAddress> {
        self.0.email.clone().map(EmailAddress)
    }
    /// When it was added.
    /// For sessions only.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
    /// When it was signed in with last.
    /// For sessions only.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }
}

payload! {
    SessionOnly, "For sessions only.",
    /// What `removeEmail` did.
    RemoveEmailPayload,
    /// The id of the address that is gone.
    removed_email_id: ID
}
payload! {
    SessionOnly, "For sessions only.",
    /// What `removeIdentity` did.
    RemoveIdentityPayload,
    /// The id of the identity that is gone.
    removed_identity_id: ID
}

/// The address to remove.
#[derive(InputObject)]
pub(crate) struct RemoveEmailInput {
    /// The address.
    id: ID,
}

/// The identity to remove.
#[derive(InputObject)]
pub(crate) struct RemoveIdentityInput {
    /// The identity.
    id: ID,
}

#[derive(Default)]
pub(crate) struct SignInMutation;

#[Object(guard = "SessionOnly")]
impl SignInMutation {
    /// Removes an address from the account, and ends the links that are open for it. The last way to sign in stays. Wants a
    /// sign-in of the last 10 minutes. Addresses are added on the page `/settings/sign-in`.
    /// For sessions only.
    async fn remove_email(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The address.")] input: RemoveEmailInput,
    ) -> Result<RemoveEmailPayload> {
        let id = Kind::UserEmail.uuid(&input.id);
        let remove = async |tx: &domain::Tx| methods::remove_email(tx, id).await;
        let outcome = mutate_account(ctx, Freshness::Recent, "id", remove).await?;
        Ok(RemoveEmailPayload::of(outcome, |(), _| input.id))
    }

    /// Removes an identity at a provider from the account. The last way to sign in stays. Wants a sign-in of the last 10
    /// minutes. Identities are added on the page `/settings/sign-in`.
    /// For sessions only.
    async fn remove_identity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The identity.")] input: RemoveIdentityInput,
    ) -> Result<RemoveIdentityPayload> {
        let id = Kind::ExternalIdentity.uuid(&input.id);
        let remove = async |tx: &domain::Tx| methods::remove_identity(tx, id).await;
        let outcome = mutate_account(ctx, Freshness::Recent, "id", remove).await?;
        Ok(RemoveIdentityPayload::of(outcome, |(), _| input.id))
    }
}
