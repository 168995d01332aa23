//! Notes on contacts. The text is sealed with the owner's data key, in the journal too.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::{Owned, note};
use sea_orm::{ActiveModelTrait, ColumnTrait, QueryFilter, Set};
use uuid::Uuid;

use crate::contact;
use crate::crypto::Field;
use crate::db::Tx;
use crate::error::{Code, Error, Result};
use crate::page::{Cursor, Page, PageRequest, Sorting, sort_key, time_key};

/// The encrypted column.
pub const BODY: Field = Field {
    table: "note",
    column: "body",
};

/// The longest note, in characters.
pub const LONGEST: usize = 100_000;

/// A note, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its id.
    pub id: Uuid,
    /// The contact it is on.
    pub contact_id: Uuid,
    /// The text, in Markdown.
    pub body: Arc<str>,
    /// Whether it stays on top.
    pub pinned: bool,
    /// Goes up with each change.
    pub version: i32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

async fn opened(tx: &Tx, row: note::Model) -> Result<Note> {
    let bytes = tx.open(BODY, row.id, &row.body).await?;
    let body = std::str::from_utf8(&bytes).map_err(Error::internal)?.into();
    Ok(Note {
        id: row.id,
        contact_id: row.contact_id,
        body,
        pinned: row.pinned,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

async fn row(tx: &Tx, id: Uuid) -> Result<Option<note::Model>> {
    Ok(note::Entity::visible_to(tx.owner()?)
        .filter(note::Column::Id.eq(id))
        .one(tx)
        .await?)
}

/// One note; none if the viewer has none of this id.
///
/// # Errors
/// When the database refuses or is gone, or the text does not open; so everywhere here.
pub async fn get(tx: &Tx, id: Uuid) -> Result<Option<Note>> {
    match row(tx, id).await? {
        Some(row) => Ok(Some(opened(tx, row).await?)),
        None => Ok(None),
    }
}

/// Those of the ids that the viewer has, in no order.
///
/// # Errors
/// As [`get`].
pub async fn get_many(tx: &Tx, ids: &[Uuid]) -> Result<Vec<Note>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = note::Entity::visible_to(tx.owner()?)
        .filter(note::Column::Id.eq_any(ids.to_vec()))
        .all(tx)
        .await?;
    let mut notes = Vec::with_capacity(rows.len());
    for row in rows {
        notes.push(opened(tx, row).await?);
    }
    Ok(notes)
}

const NEWEST_FIRST: Sorting = Sorting {
    key: sort_key!(30, "note", "created_at", time),
    descending: true,
};

/// The cursor that stands at a note in a contact's list.
#[must_use]
pub fn cursor(note: &Note) -> Cursor {
    NEWEST_FIRST.cursor(time_key(Some(note.created_at)), note.id)
}

/// A page of a contact's notes, the newest first.
///
/// # Errors
/// [`Error::Invalid`] for a cursor of another list.
pub async fn list(tx: &Tx, contact: Uuid, request: &PageRequest) -> Result<Page<Note>> {
    let select = note::Entity::visible_to(tx.owner()?).filter(note::Column::ContactId.eq(contact));
    let rows = NEWEST_FIRST.page(select, request)?.all(tx).await?;
    let page = Sorting::finish(request, rows);
    let mut items = Vec::with_capacity(page.items.len());
    for row in page.items {
        items.push(opened(tx, row).await?);
    }
    Ok(Page {
        items,
        has_previous: page.has_previous,
        has_next: page.has_next,
    })
}

/// How many notes each of these contacts has; those without any are not there.
///
/// # Errors
/// As [`get`].
pub async fn counts(tx: &Tx, contacts: &[Uuid]) -> Result<HashMap<Uuid, u64>> {
    let rows = tx
        .query(
            "SELECT contact_id, count(*) AS notes FROM note WHERE contact_id = ANY ($1) GROUP BY contact_id",
            [contacts.to_vec().into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let notes: i64 = row.try_get("", "notes")?;
            Ok((row.try_get("", "contact_id")?, u64::try_from(notes).unwrap_or(0)))
        })
        .collect()
}

/// The first page of a contact's notes, of one note more than it holds.
#[must_use]
pub fn first_page(request: &PageRequest, rows: Vec<Note>) -> Page<Note> {
    Sorting::finish(request, rows)
}

/// The newest notes of each of these contacts, at most `each`: one statement for a whole page.
///
/// # Errors
/// As [`get`].
pub async fn newest(tx: &Tx, contacts: &[Uuid], each: u32) -> Result<HashMap<Uuid, Vec<Note>>> {
    let rows = tx
        .query(
            "SELECT n.* FROM unnest($1::uuid[]) c (id) CROSS JOIN LATERAL (SELECT owner_id, id, contact_id, body, pinned, \
               version, created_at, updated_at FROM note WHERE contact_id = c.id \
               ORDER BY created_at DESC, id DESC LIMIT $2) n",
            [contacts.to_vec().into(), i64::from(each).into()],
        )
        .await?;
    let mut groups: HashMap<Uuid, Vec<Note>> = HashMap::new();
    for row in rows {
        let row: note::Model = sea_orm::FromQueryResult::from_query_result(&row, "")?;
        groups
            .entry(row.contact_id)
            .or_default()
            .push(opened(tx, row).await?);
    }
    Ok(groups)
}

fn checked(body: &str) -> Result<&str> {
    if body.trim().is_empty() {
        return Err(Error::invalid("body", Code::Required, "A note says something."));
    }
    if body.chars().count() > LONGEST {
        return Err(Error::invalid(
            "body",
            Code::TooLong,
            "A note has at most 100,000 characters.",
        ));
    }
    Ok(body)
}

/// Writes a note on a contact.
///
/// # Errors
/// [`Error::Invalid`], also when the viewer has no such contact.
pub async fn create(tx: &Tx, contact: Uuid, body: &str, pinned: bool) -> Result<Note> {
    let body = checked(body)?;
    if contact::get(tx, contact).await?.is_none() {
        return Err(Error::invalid(
            "contactId",
            Code::NotFound,
            "There is no such contact.",
        ));
    }
    let id = tx.new_id();
    let row = note::ActiveModel {
        owner_id: Set(tx.owner()?),
        id: Set(id),
        contact_id: Set(contact),
        body: Set(tx.seal(BODY, id, body.as_bytes()).await?),
        pinned: Set(pinned),
        version: Set(1),
        created_at: Set(tx.now()),
        updated_at: Set(tx.now()),
    };
    opened(tx, row.insert(tx).await?).await
}

/// Changes a note; what is none stays. With `expected_version`, only if nobody has changed it since.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`], with [`Code::Conflict`] when it has changed.
pub async fn update(
    tx: &Tx,
    id: Uuid,
    expected_version: Option<i32>,
    body: Option<&str>,
    pinned: Option<bool>,
) -> Result<Note> {
    let body = body.map(checked).transpose()?;
    let before = row(tx, id).await?.ok_or(Error::NotFound)?;
    if expected_version.is_some_and(|version| version != before.version) {
        return Err(Error::invalid(
            "expectedVersion",
            Code::Conflict,
            "The note has changed since.",
        ));
    }
    let mut row = note::ActiveModel {
        owner_id: Set(before.owner_id),
        id: Set(id),
        version: Set(before.version + 1),
        updated_at: Set(tx.now()),
        ..Default::default()
    };
    if let Some(body) = body {
        row.body = Set(tx.seal(BODY, id, body.as_bytes()).await?);
    }
    if let Some(pinned) = pinned {
        row.pinned = Set(pinned);
    }
    opened(tx, row.update(tx).await?).await
}

/// Deletes a note.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(tx: &Tx, id: Uuid) -> Result<()> {
    match tx.run("DELETE FROM note WHERE id = $1", [id.into()]).await? {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}
