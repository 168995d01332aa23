//! Tags: names that a user puts on contacts.

use entity::{Owned, tag};
use sea_orm::{ActiveModelTrait, ColumnTrait, PaginatorTrait, QueryFilter, Set};
use uuid::Uuid;

use crate::contact::input::Checks;
use crate::db::Tx;
use crate::error::{Code, Error, Result};
use crate::page::{Cursor, Page, PageRequest, Sorting, sort_key};

pub use entity::tag::Model as Tag;

/// One tag; none if the viewer has none of this id.
///
/// # Errors
/// When the database refuses or is gone; so everywhere here.
pub async fn get(tx: &Tx, id: Uuid) -> Result<Option<Tag>> {
    Ok(tag::Entity::visible_to(tx.owner()?)
        .filter(tag::Column::Id.eq(id))
        .one(tx)
        .await?)
}

/// Those of the ids that the viewer has, in no order.
///
/// # Errors
/// As [`get`].
pub async fn get_many(tx: &Tx, ids: &[Uuid]) -> Result<Vec<Tag>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(tag::Entity::visible_to(tx.owner()?)
        .filter(tag::Column::Id.eq_any(ids.to_vec()))
        .all(tx)
        .await?)
}

const BY_NAME: Sorting = Sorting {
    key: sort_key!(20, "tag", "sort_name", text),
    descending: false,
};

/// The cursor that stands at a tag in the list.
#[must_use]
pub fn cursor(tag: &Tag) -> Cursor {
    BY_NAME.cursor(tag.sort_name.clone(), tag.id)
}

/// A page of tags, by name.
///
/// # Errors
/// [`Error::Invalid`] for a cursor of another list.
pub async fn list(tx: &Tx, request: &PageRequest) -> Result<Page<Tag>> {
    let rows = BY_NAME
        .page(tag::Entity::visible_to(tx.owner()?), request)?
        .all(tx)
        .await?;
    Ok(Sorting::finish(request, rows))
}

/// How many tags there are.
///
/// # Errors
/// As [`get`].
pub async fn count(tx: &Tx) -> Result<u64> {
    Ok(tag::Entity::visible_to(tx.owner()?).count(tx).await?)
}

fn name(text: &str) -> Result<String> {
    let mut checks = Checks::default();
    let name = checks.text("name", Some(text), 200, false);
    checks.done()?;
    name.ok_or_else(|| Error::invalid("name", Code::Required, "A name is needed."))
}

/// Adds a tag. Its name, whatever its case and accents, is not another's.
///
/// # Errors
/// [`Error::Invalid`], with [`Code::Taken`] when there is a tag of this name.
pub async fn create(tx: &Tx, text: &str) -> Result<Tag> {
    let row = tag::ActiveModel {
        owner_id: Set(tx.owner()?),
        id: Set(tx.new_id()),
        name: Set(name(text)?),
        created_at: Set(tx.now()),
        ..Default::default()
    };
    Ok(row.insert(tx).await?)
}

/// Renames a tag.
///
/// # Errors
/// [`Error::NotFound`]; as [`create`].
pub async fn rename(tx: &Tx, id: Uuid, text: &str) -> Result<Tag> {
    let name = name(text)?;
    let tag = get(tx, id).await?.ok_or(Error::NotFound)?;
    let row = tag::ActiveModel {
        owner_id: Set(tag.owner_id),
        id: Set(tag.id),
        name: Set(name),
        ..Default::default()
    };
    Ok(row.update(tx).await?)
}

/// Deletes a tag; the contacts that carried it stay.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(tx: &Tx, id: Uuid) -> Result<()> {
    match tx.run("DELETE FROM tag WHERE id = $1", [id.into()]).await? {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}
