//! Tags.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, Result};
use chrono::{DateTime, Utc};
use domain::identity::scope::Scope;
use domain::page::PageRequest;
use domain::tag as tags;

use super::connection::connection;
use super::error::{mutate, payload, reader, top_level};
use super::node::Kind;
use super::reader::Reader;
use super::scope::Needs;

/// A name that the user puts on contacts.
#[derive(Clone)]
pub(crate) struct Tag(pub(crate) tags::Tag);

/// A name that the user puts on contacts.
#[Object(guard = "Needs(Scope::TagsRead)")]
impl Tag {
    /// The global id.
    /// Scope: `tags:read`.
    pub(crate) async fn id(&self) -> ID {
        Kind::Tag.id(self.0.id)
    }
    /// The name. No two tags have the same, whatever its case and accents.
    /// Scope: `tags:read`.
    async fn name(&self) -> &str {
        &self.0.name
    }
    /// When the tag was added.
    /// Scope: `tags:read`.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// Counts tags when asked to.
pub(crate) struct TagCount(Arc<Reader>);

impl TagCount {
    async fn count(&self) -> domain::Result<u64> {
        tags::count(self.0.tx().await?).await
    }
}

connection! {
    Needs(Scope::TagsRead), "Scope: `tags:read`.",
    /// A page of tags.
    TagConnection, TagEdge, Tag, TagCount
}

#[derive(Default)]
pub(crate) struct TagQuery;

#[Object(guard = "Needs(Scope::TagsRead)")]
impl TagQuery {
    /// The user's tags, by name.
    /// Scope: `tags:read`.
    async fn tags(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first so many, 0 to 100. If neither this nor `last` is given: the first 50.")]
        first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
        #[graphql(desc = "The last so many, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only those before this cursor.")] before: Option<String>,
    ) -> Result<TagConnection> {
        let request = PageRequest::new(first, last, after, before).map_err(top_level)?;
        let reader = reader(ctx)?;
        let tx = reader.tx().await.map_err(top_level)?;
        let page = tags::list(tx, &request).await.map_err(top_level)?;
        let entries = page
            .items
            .into_iter()
            .map(|row| (tags::cursor(&row), Tag(row)))
            .collect();
        Ok(TagConnection::new(
            entries,
            page.has_previous,
            page.has_next,
            TagCount(reader),
        ))
    }
}

payload! {
    Needs(Scope::TagsWrite), "Scope: `tags:write`.",
    /// What `createTag` did.
    CreateTagPayload,
    /// The new tag.
    tag: Tag
}
payload! {
    Needs(Scope::TagsWrite), "Scope: `tags:write`.",
    /// What `updateTag` did.
    UpdateTagPayload,
    /// The tag as it is now.
    tag: Tag
}
payload! {
    Needs(Scope::TagsWrite), "Scope: `tags:write`.",
    /// What `deleteTag` did.
    DeleteTagPayload,
    /// The id of the tag that is gone.
    deleted_tag_id: ID
}

/// A new tag.
#[derive(InputObject)]
pub(crate) struct CreateTagInput {
    /// Its name, at most 200 characters.
    name: String,
}

/// The changes to a tag.
#[derive(InputObject)]
pub(crate) struct UpdateTagInput {
    /// The tag.
    id: ID,
    /// Its new name, at most 200 characters.
    name: String,
}

/// The tag to delete.
#[derive(InputObject)]
pub(crate) struct DeleteTagInput {
    /// The tag.
    id: ID,
}

#[derive(Default)]
pub(crate) struct TagMutation;

#[Object(guard = "Needs(Scope::TagsWrite)")]
impl TagMutation {
    /// Adds a tag.
    /// Scope: `tags:write`.
    async fn create_tag(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new tag.")] input: CreateTagInput,
    ) -> Result<CreateTagPayload> {
        let outcome = mutate(ctx, "", async |tx| tags::create(tx, &input.name).await).await?;
        Ok(CreateTagPayload::of(outcome, |tag, _| Tag(tag)))
    }

    /// Renames a tag.
    /// Scope: `tags:write`.
    async fn update_tag(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The tag and its new name.")] input: UpdateTagInput,
    ) -> Result<UpdateTagPayload> {
        let id = Kind::Tag.uuid(&input.id);
        let outcome = mutate(ctx, "id", async |tx| tags::rename(tx, id, &input.name).await).await?;
        Ok(UpdateTagPayload::of(outcome, |tag, _| Tag(tag)))
    }

    /// Deletes a tag. The contacts that carried it stay.
    /// Scope: `tags:write`.
    async fn delete_tag(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The tag.")] input: DeleteTagInput,
    ) -> Result<DeleteTagPayload> {
        let outcome = mutate(ctx, "id", async |tx| {
            tags::delete(tx, Kind::Tag.uuid(&input.id)).await
        })
        .await?;
        Ok(DeleteTagPayload::of(outcome, |(), _| input.id))
    }
}
