//! Keys for integrations. Nothing of it is for the keys themselves: who has one can't make another.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::db::Freshness;
use domain::identity::api_key::{self, NewApiKey};

use super::error::{UserError, mutate_account, payload, top_level};
use super::node::Kind;
use super::reader::Reader;
use super::scope::SessionOnly;

/// A key by which an integration comes in its maker's name.
#[derive(Clone)]
pub(crate) struct ApiKey(pub(crate) api_key::ApiKey);

/// A key by which an integration comes in its maker's name. It may do what its scopes allow, until it ends.
#[Object(guard = "SessionOnly")]
impl ApiKey {
    /// The global id.
    /// For sessions only.
    pub(crate) async fn id(&self) -> ID {
        Kind::ApiKey.id(self.0.id)
    }
    /// What it is for, as its maker calls it.
    /// For sessions only.
    async fn name(&self) -> &str {
        &self.0.name
    }
    /// Its first characters. The rest is shown once, when it is made, and kept nowhere.
    /// For sessions only.
    async fn hint(&self) -> &str {
        &self.0.hint
    }
    /// What it may do, such as `contacts:read`: each field says which of them it needs.
    /// For sessions only.
    async fn scopes(&self) -> Vec<&'static str> {
        self.0.scopes.iter().map(|scope| scope.as_str()).collect()
    }
    /// When it was made.
    /// For sessions only.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
    /// When it ends by itself.
    /// For sessions only.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }
    /// When it was last used, give or take a minute; null if never.
    /// For sessions only.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }
    /// When it was revoked; null if it was not.
    /// For sessions only.
    async fn revoked_at(&self) -> Option<DateTime<Utc>> {
        self.0.revoked_at
    }
}

/// The viewer's keys.
pub(super) async fn all(reader: &Reader) -> Result<Vec<ApiKey>> {
    let tx = reader.tx().await.map_err(top_level)?;
    let keys = api_key::list(tx).await.map_err(top_level)?;
    Ok(keys.into_iter().map(ApiKey).collect())
}

/// What `createApiKey` did.
#[derive(SimpleObject)]
#[graphql(guard = "SessionOnly")]
pub(crate) struct CreateApiKeyPayload {
    /// The new key.
    /// For sessions only.
    api_key: Option<ApiKey>,
    /// The key itself, for the `Authorization: Bearer` header of the integration. Shown here and never again.
    /// For sessions only.
    secret: Option<String>,
    /// What is wrong with the input; empty when it was done.
    /// For sessions only.
    user_errors: Vec<UserError>,
}
payload! {
    SessionOnly, "For sessions only.",
    /// What `revokeApiKey` did.
    RevokeApiKeyPayload,
    /// The key, which opens nothing any more.
    api_key: ApiKey
}

/// A new key.
#[derive(InputObject)]
pub(crate) struct CreateApiKeyInput {
    /// What it is for, 1 to 100 characters.
    name: String,
    /// What it may do, such as `contacts:read`: at least one scope. None stands for another; who writes contacts does not
    /// see them by that.
    scopes: Vec<String>,
    /// When it ends: in a year if nothing is said, and in five at the latest.
    expires_at: Option<DateTime<Utc>>,
}

/// The key to revoke.
#[derive(InputObject)]
pub(crate) struct RevokeApiKeyInput {
    /// The key.
    id: ID,
}

#[derive(Default)]
pub(crate) struct ApiKeyMutation;

#[Object(guard = "SessionOnly")]
impl ApiKeyMutation {
    /// Makes a key for an integration. Wants an authentication not older than 10 minutes, and else answers
    /// `STEP_UP_REQUIRED`.
    /// For sessions only.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new key.")] input: CreateApiKeyInput,
    ) -> Result<CreateApiKeyPayload> {
        let new = NewApiKey {
            name: input.name,
            scopes: input.scopes,
            expires_at: input.expires_at,
        };
        let made = mutate_account(ctx, Freshness::Recent, "", async |tx| {
            api_key::create(tx, new).await
        });
        Ok(match made.await? {
            Ok(((key, text), _)) => CreateApiKeyPayload {
                api_key: Some(ApiKey(key)),
                secret: Some(text.expose().to_owned()),
                user_errors: Vec::new(),
            },
            Err(user_errors) => CreateApiKeyPayload {
                api_key: None,
                secret: None,
                user_errors,
            },
        })
    }

    /// Revokes a key: its next request is refused.
    /// For sessions only.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: RevokeApiKeyInput,
    ) -> Result<RevokeApiKeyPayload> {
        let id = Kind::ApiKey.uuid(&input.id);
        let revoked = mutate_account(ctx, Freshness::Any, "id", async |tx| {
            api_key::revoke(tx, id).await
        });
        Ok(RevokeApiKeyPayload::of(revoked.await?, |key, _| ApiKey(key)))
    }
}
