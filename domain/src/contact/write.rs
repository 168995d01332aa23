//! Creating, changing and deleting contacts.

use entity::{Owned, contact, contact_tag, tag};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, Set};
use uuid::Uuid;

use super::input::{Change, Checked, ContactInput};
use super::name::{NameParts, display_name};
use super::{Contact, read};
use crate::db::Tx;
use crate::error::{Code, Error, Result, UserError};
use crate::identity::account;

mod lists;

/// Adds a contact.
///
/// # Errors
/// [`Error::Invalid`] with everything that is wrong with the input.
pub async fn create(tx: &Tx, mut input: ContactInput) -> Result<Contact> {
    let checked = input.check(account::phone_region(tx).await?.as_deref())?;
    let id = tx.new_id();
    let mut row = contact::ActiveModel {
        owner_id: Set(tx.owner()?),
        id: Set(id),
        starred: Set(input.starred.unwrap_or(false)),
        version: Set(1),
        created_at: Set(tx.now()),
        updated_at: Set(tx.now()),
        ..Default::default()
    };
    set_names(&mut row, &input);
    let places = lists::places(tx, id, input.affiliations.take().unwrap_or_default()).await?;
    let fallback = lists::fallback(&places, &checked);
    let name = display_name(parts(&row), fallback.iter().map(String::as_str)).ok_or_else(|| {
        Error::invalid(
            "",
            Code::Required,
            "A name, a company, an e-mail address or a phone number is needed.",
        )
    })?;
    row.display_name = Set(name);
    let contact = row.insert(tx).await?;
    let places = places.into_iter().map(|(place, _)| place).collect();
    lists::insert(tx, id, &input, checked, places).await?;
    if let Some(tags) = &input.tags {
        set_tags(tx, id, tags).await?;
    }
    Ok(contact)
}

/// Changes a contact: what the input does not mention stays. With `expected_version`, only if nobody has
/// changed it since that version.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] with everything that is wrong, or with [`Code::Conflict`].
pub async fn update(
    tx: &Tx,
    id: Uuid,
    expected_version: Option<i32>,
    mut input: ContactInput,
) -> Result<Contact> {
    let checked = input.check(account::phone_region(tx).await?.as_deref())?;
    let before = read::get(tx, id).await?.ok_or(Error::NotFound)?;
    if expected_version.is_some_and(|version| version != before.version) {
        return Err(Error::invalid(
            "expectedVersion",
            Code::Conflict,
            "The contact has changed since.",
        ));
    }
    let old_fallback = lists::current_fallback(tx, id).await?;
    let mut row = contact::ActiveModel {
        owner_id: Set(before.owner_id),
        id: Set(id),
        version: Set(before.version + 1),
        updated_at: Set(tx.now()),
        ..Default::default()
    };
    if let Some(starred) = input.starred {
        row.starred = Set(starred);
    }
    let renamed = set_names(&mut row, &input);
    let tags = input.tags.take();
    lists::replace(tx, id, &mut input, checked).await?;
    if let Some(tags) = tags {
        set_tags(tx, id, &tags).await?;
    }
    // A joined name that came with an import has no parts: it stays until a part is given.
    if renamed || old_fallback.contains(&before.display_name) {
        let merged = merged_names(&row, &before);
        let fallback = lists::current_fallback(tx, id).await?;
        let name = display_name(merged, fallback.iter().map(String::as_str)).ok_or_else(|| {
            Error::invalid(
                "",
                Code::Required,
                "A name, a company, an e-mail address or a phone number is needed.",
            )
        })?;
        row.display_name = Set(name);
    }
    Ok(row.update(tx).await?)
}

/// Deletes a contact and all that hangs on it. The journal keeps it for a while.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(tx: &Tx, id: Uuid) -> Result<()> {
    match tx.run("DELETE FROM contact WHERE id = $1", [id.into()]).await? {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

/// Puts a tag on a contact; nothing happens if it is there.
///
/// # Errors
/// [`Error::NotFound`] without such a contact, [`Error::Invalid`] without such a tag.
pub async fn tag(tx: &Tx, id: Uuid, tag: Uuid) -> Result<Contact> {
    let contact = read::get(tx, id).await?.ok_or(Error::NotFound)?;
    known_tags(tx, &[tag], |_| "tagId".to_owned()).await?;
    let added = tx
        .run(
            "INSERT INTO contact_tag (owner_id, id, contact_id, tag_id) VALUES ($1, $2, $3, $4) \
             ON CONFLICT ON CONSTRAINT contact_tag_once DO NOTHING",
            [tx.owner()?.into(), tx.new_id().into(), id.into(), tag.into()],
        )
        .await?;
    if added == 0 {
        Ok(contact)
    } else {
        touch(tx, contact).await
    }
}

/// Takes a tag off a contact; nothing happens if it is not there.
///
/// # Errors
/// As [`tag()`].
pub async fn untag(tx: &Tx, id: Uuid, tag: Uuid) -> Result<Contact> {
    let contact = read::get(tx, id).await?.ok_or(Error::NotFound)?;
    known_tags(tx, &[tag], |_| "tagId".to_owned()).await?;
    let removed = tx
        .run(
            "DELETE FROM contact_tag WHERE contact_id = $1 AND tag_id = $2",
            [id.into(), tag.into()],
        )
        .await?;
    if removed == 0 {
        Ok(contact)
    } else {
        touch(tx, contact).await
    }
}

/// A new version of a contact on which something changed.
async fn touch(tx: &Tx, contact: Contact) -> Result<Contact> {
    let row = contact::ActiveModel {
        owner_id: Set(contact.owner_id),
        id: Set(contact.id),
        version: Set(contact.version + 1),
        updated_at: Set(tx.now()),
        ..Default::default()
    };
    Ok(row.update(tx).await?)
}

/// Refuses ids of tags that the viewer does not have.
async fn known_tags(tx: &Tx, tags: &[Uuid], field: impl Fn(usize) -> String) -> Result<()> {
    let known = tag::Entity::visible_to(tx.owner()?)
        .filter(tag::Column::Id.eq_any(tags.to_vec()))
        .all(tx)
        .await?;
    let unknown = tags
        .iter()
        .enumerate()
        .filter(|(_, id)| !known.iter().any(|tag| tag.id == **id));
    let errors: Vec<UserError> = unknown
        .map(|(i, _)| UserError::at(&field(i), Code::NotFound, "There is no such tag."))
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(errors))
    }
}

/// Makes these, and no others, the contact's tags.
async fn set_tags(tx: &Tx, contact: Uuid, tags: &[Uuid]) -> Result<()> {
    known_tags(tx, tags, |i| format!("tagIds.{i}")).await?;
    let present = super::tags(tx, &[contact])
        .await?
        .remove(&contact)
        .unwrap_or_default();
    let gone: Vec<Uuid> = present
        .iter()
        .map(|tag| tag.id)
        .filter(|id| !tags.contains(id))
        .collect();
    if !gone.is_empty() {
        tx.run(
            "DELETE FROM contact_tag WHERE contact_id = $1 AND tag_id = ANY ($2)",
            [contact.into(), gone.into()],
        )
        .await?;
    }
    let mut new: Vec<Uuid> = tags
        .iter()
        .copied()
        .filter(|id| !present.iter().any(|tag| tag.id == *id))
        .collect();
    new.sort_unstable();
    new.dedup();
    if new.is_empty() {
        return Ok(());
    }
    let owner = tx.owner()?;
    let rows = new.into_iter().map(|tag| contact_tag::ActiveModel {
        owner_id: Set(owner),
        id: Set(tx.new_id()),
        contact_id: Set(contact),
        tag_id: Set(tag),
    });
    contact_tag::Entity::insert_many(rows)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

macro_rules! names {
    ($($field:ident),*) => {
        /// Sets the mentioned names; returns whether any was.
        fn set_names(row: &mut contact::ActiveModel, input: &ContactInput) -> bool {
            let mut mentioned = false;
            $(if let Change::To(text) = &input.$field {
                row.$field = Set(text.clone());
                mentioned = true;
            })*
            mentioned
        }
    };
}
names!(
    name_prefix,
    given_name,
    additional_name,
    family_name,
    name_suffix,
    nickname,
    phonetic_given_name,
    phonetic_family_name,
    file_as
);

fn given(value: &sea_orm::ActiveValue<Option<String>>) -> Option<&str> {
    match value {
        Set(text) => text.as_deref(),
        _ => None,
    }
}

fn parts(row: &contact::ActiveModel) -> NameParts<'_> {
    NameParts {
        given: given(&row.given_name),
        additional: given(&row.additional_name),
        family: given(&row.family_name),
        suffix: given(&row.name_suffix),
        nickname: given(&row.nickname),
        full: None,
    }
}

fn merged_names<'a>(row: &'a contact::ActiveModel, before: &'a Contact) -> NameParts<'a> {
    fn merged<'a>(new: &'a sea_orm::ActiveValue<Option<String>>, old: Option<&'a String>) -> Option<&'a str> {
        if new.is_set() {
            given(new)
        } else {
            old.map(String::as_str)
        }
    }
    NameParts {
        given: merged(&row.given_name, before.given_name.as_ref()),
        additional: merged(&row.additional_name, before.additional_name.as_ref()),
        family: merged(&row.family_name, before.family_name.as_ref()),
        suffix: merged(&row.name_suffix, before.name_suffix.as_ref()),
        nickname: merged(&row.nickname, before.nickname.as_ref()),
        full: None,
    }
}

/// The fallback names of what a new contact is to have.
impl Checked {
    fn first_values(&self) -> impl Iterator<Item = String> {
        let emails = self
            .emails
            .iter()
            .flatten()
            .map(|(_, address)| address.as_str().to_owned());
        let phones = self
            .phones
            .iter()
            .flatten()
            .map(|(_, phone)| phone.raw().to_owned());
        emails.chain(phones)
    }
}
