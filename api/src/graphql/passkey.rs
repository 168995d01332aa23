//! A person's passkeys, whether one is required of them, and their recovery codes. Nothing of it is for API keys.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::db::Freshness;
use domain::identity::passkey as passkeys;
use domain::identity::second_factor::{self, RecoveryCode, Setting};

use super::error::{mutate_account, payload, top_level};
use super::node::Kind;
use super::reader::Reader;
use super::scope::SessionOnly;

/// A passkey of the person's: a WebAuthn credential that signs in without anything else.
#[derive(Clone)]
pub(crate) struct Passkey(pub(crate) passkeys::Passkey);

/// A passkey of the person's: a WebAuthn credential that signs in without anything else.
#[Object(guard = "SessionOnly")]
impl Passkey {
    /// The global id; not the credential's.
    /// For sessions only.
    pub(crate) async fn id(&self) -> ID {
        Kind::Passkey.id(self.0.id)
    }
    /// What the person calls it.
    /// For sessions only.
    async fn name(&self) -> &str {
        &self.0.name
    }
    /// When it was added.
    /// For sessions only.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
    /// When it was last presented.
    /// For sessions only.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }
}

/// The viewer's passkeys.
pub(super) async fn all(reader: &Reader) -> Result<Vec<Passkey>> {
    let tx = reader.tx().await.map_err(top_level)?;
    let list = passkeys::list(tx).await.map_err(top_level)?;
    Ok(list.into_iter().map(Passkey).collect())
}

/// What the viewer requires of a sign-in.
pub(super) async fn setting(reader: &Reader) -> Result<Setting> {
    let tx = reader.tx().await.map_err(top_level)?;
    second_factor::setting(tx).await.map_err(top_level)
}

/// What is required of whoever signs in.
#[derive(SimpleObject)]
#[graphql(guard = "SessionOnly")]
pub(crate) struct PasskeyRequirement {
    /// Whether a passkey is required besides a mailed link or a provider.
    /// For sessions only.
    required: bool,
    /// The new recovery codes, shown this once, when it was not required before; else null.
    /// For sessions only.
    recovery_codes: Option<Vec<String>>,
}

payload! {
    SessionOnly, "For sessions only.",
    /// What `renamePasskey` did.
    RenamePasskeyPayload,
    /// The passkey as it is now.
    passkey: Passkey
}
payload! {
    SessionOnly, "For sessions only.",
    /// What `removePasskey` did.
    RemovePasskeyPayload,
    /// The id of the passkey that is gone.
    removed_passkey_id: ID
}
payload! {
    SessionOnly, "For sessions only.",
    /// What `setPasskeyRequired` did.
    SetPasskeyRequiredPayload,
    /// What is required from now on.
    requirement: PasskeyRequirement
}
payload! {
    SessionOnly, "For sessions only.",
    /// What `createRecoveryCodes` did.
    CreateRecoveryCodesPayload,
    /// The codes, shown this once.
    recovery_codes: Vec<String>
}

/// The passkey and its new name.
#[derive(InputObject)]
pub(crate) struct RenamePasskeyInput {
    /// The passkey.
    id: ID,
    /// Its new name, 1 to 100 characters.
    name: String,
}

/// The passkey to remove.
#[derive(InputObject)]
pub(crate) struct RemovePasskeyInput {
    /// The passkey.
    id: ID,
}

/// Whether a passkey is to be required.
#[derive(InputObject)]
pub(crate) struct SetPasskeyRequiredInput {
    /// Whether it is.
    required: bool,
}

#[derive(Default)]
pub(crate) struct PasskeyMutation;

#[Object(guard = "SessionOnly")]
impl PasskeyMutation {
    /// Gives a passkey another name. Wants that the person signed in within the last 10 minutes, else answers
    /// `STEP_UP_REQUIRED`. There is no mutation that adds a passkey: send the person to the page
    /// `/settings/passkeys`.
    /// For sessions only.
    async fn rename_passkey(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The passkey and its new name.")] input: RenamePasskeyInput,
    ) -> Result<RenamePasskeyPayload> {
        let id = Kind::Passkey.uuid(&input.id);
        let outcome = mutate_account(ctx, Freshness::Recent, "id", async |tx| {
            passkeys::rename(tx, id, &input.name).await
        })
        .await?;
        Ok(RenamePasskeyPayload::of(outcome, |passkey, _| Passkey(passkey)))
    }

    /// Removes a passkey, but not the last way into the account, and not the last passkey of an account that requires
    /// one. Wants that the person signed in within the last 10 minutes, else answers `STEP_UP_REQUIRED`.
    /// For sessions only.
    async fn remove_passkey(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The passkey.")] input: RemovePasskeyInput,
    ) -> Result<RemovePasskeyPayload> {
        let id = Kind::Passkey.uuid(&input.id);
        let outcome = mutate_account(ctx, Freshness::Recent, "id", async |tx| {
            passkeys::remove(tx, id).await
        })
        .await?;
        Ok(RemovePasskeyPayload::of(outcome, |(), _| input.id))
    }

    /// Requires a passkey of whoever signs in by something else, or does so no longer. Requiring it ends the person's
    /// other sessions that began without one, and makes recovery codes; releasing it voids them. Wants a session that
    /// began with a passkey or a second factor, and that the person signed in within the last 10 minutes, else answers
    /// `STEP_UP_REQUIRED`.
    /// For sessions only.
    async fn set_passkey_required(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether it is.")] input: SetPasskeyRequiredInput,
    ) -> Result<SetPasskeyRequiredPayload> {
        let required = input.required;
        let outcome = mutate_account(ctx, Freshness::Recent, "", async |tx| {
            if required {
                second_factor::require(tx).await
            } else {
                second_factor::release(tx).await.map(|()| None)
            }
        })
        .await?;
        Ok(SetPasskeyRequiredPayload::of(outcome, |codes, _| {
            PasskeyRequirement {
                required,
                recovery_codes: codes.map(|codes| texts(&codes)),
            }
        }))
    }

    /// Makes ten new recovery codes and voids the ones before, for an account that requires a passkey. Wants what
    /// `setPasskeyRequired` wants.
    /// For sessions only.
    async fn create_recovery_codes(&self, ctx: &Context<'_>) -> Result<CreateRecoveryCodesPayload> {
        let outcome = mutate_account(ctx, Freshness::Recent, "", async |tx| {
            second_factor::renew_codes(tx).await
        })
        .await?;
        Ok(CreateRecoveryCodesPayload::of(outcome, |codes, _| texts(&codes)))
    }
}

fn texts(codes: &[RecoveryCode]) -> Vec<String> {
    codes.iter().map(RecoveryCode::to_text).collect()
}
