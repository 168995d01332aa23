//! Creating, changing, deleting and tagging contacts.

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::contact as contacts;
use domain::identity::scope::Scope;

use super::input::{CreateContactInput, UpdateContactInput};
use super::types::{Contact, ContactPage};
use crate::graphql::error::{mutate, payload};
use crate::graphql::node::Kind;
use crate::graphql::scope::Needs;

payload! {
    Needs(Scope::ContactsWrite), "Scope: `contacts:write`.",
    /// What `createContact` did.
    CreateContactPayload,
    /// The new contact.
    contact: Contact
}
payload! {
    Needs(Scope::ContactsWrite), "Scope: `contacts:write`.",
    /// What `updateContact` did.
    UpdateContactPayload,
    /// The contact as it is now.
    contact: Contact
}
payload! {
    Needs(Scope::ContactsWrite), "Scope: `contacts:write`.",
    /// What `deleteContact` did.
    DeleteContactPayload,
    /// The id of the contact that is gone.
    deleted_contact_id: ID
}
payload! {
    Needs(Scope::ContactsWrite), "Scope: `contacts:write`.",
    /// What `tagContact` did.
    TagContactPayload,
    /// The contact as it is now.
    contact: Contact
}
payload! {
    Needs(Scope::ContactsWrite), "Scope: `contacts:write`.",
    /// What `untagContact` did.
    UntagContactPayload,
    /// The contact as it is now.
    contact: Contact
}

/// The contact to delete.
#[derive(InputObject)]
pub(crate) struct DeleteContactInput {
    /// The contact.
    id: ID,
}

/// A contact and a tag to put on it.
#[derive(InputObject)]
pub(crate) struct TagContactInput {
    /// The contact.
    contact_id: ID,
    /// The tag.
    tag_id: ID,
}

/// A contact and a tag to take off it.
#[derive(InputObject)]
pub(crate) struct UntagContactInput {
    /// The contact.
    contact_id: ID,
    /// The tag.
    tag_id: ID,
}

#[derive(Default)]
pub(crate) struct ContactMutation;

#[Object(guard = "Needs(Scope::ContactsWrite)")]
impl ContactMutation {
    /// Adds a contact.
    /// Scope: `contacts:write`.
    async fn create_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new contact.")] input: CreateContactInput,
    ) -> Result<CreateContactPayload> {
        let outcome = mutate(ctx, "", async |tx| {
            contacts::create(tx, input.into_domain()).await
        })
        .await?;
        Ok(CreateContactPayload::of(outcome, ContactPage::one))
    }

    /// Changes a contact.
    /// Scope: `contacts:write`.
    async fn update_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contact and the changes.")] input: UpdateContactInput,
    ) -> Result<UpdateContactPayload> {
        let (id, version) = (Kind::Contact.uuid(&input.id), input.expected_version);
        let outcome = mutate(ctx, "id", async |tx| {
            contacts::update(tx, id, version, input.into_domain()).await
        })
        .await?;
        Ok(UpdateContactPayload::of(outcome, ContactPage::one))
    }

    /// Deletes a contact and all that hangs on it.
    /// Scope: `contacts:write`.
    async fn delete_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contact.")] input: DeleteContactInput,
    ) -> Result<DeleteContactPayload> {
        let outcome = mutate(ctx, "id", async |tx| {
            contacts::delete(tx, Kind::Contact.uuid(&input.id)).await
        })
        .await?;
        Ok(DeleteContactPayload::of(outcome, |(), _| input.id))
    }

    /// Puts a tag on a contact. Nothing changes if it is there already.
    /// Scope: `contacts:write`.
    async fn tag_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contact and the tag.")] input: TagContactInput,
    ) -> Result<TagContactPayload> {
        let (contact, tag) = (
            Kind::Contact.uuid(&input.contact_id),
            Kind::Tag.uuid(&input.tag_id),
        );
        let outcome = mutate(ctx, "contactId", async |tx| contacts::tag(tx, contact, tag).await).await?;
        Ok(TagContactPayload::of(outcome, ContactPage::one))
    }

    /// Takes a tag off a contact. Nothing changes if it is not there.
    /// Scope: `contacts:write`.
    async fn untag_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contact and the tag.")] input: UntagContactInput,
    ) -> Result<UntagContactPayload> {
        let (contact, tag) = (
            Kind::Contact.uuid(&input.contact_id),
            Kind::Tag.uuid(&input.tag_id),
        );
        let outcome = mutate(ctx, "contactId", async |tx| {
            contacts::untag(tx, contact, tag).await
        })
        .await?;
        Ok(UntagContactPayload::of(outcome, ContactPage::one))
    }
}
