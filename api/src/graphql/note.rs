//! Notes on contacts.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, Result};
use chrono::{DateTime, Utc};
use domain::identity::scope::Scope;
use domain::note as notes;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::connection::connection;
use super::contact::types::{Contact, ContactPage};
use super::error::{mutate, payload, top_level};
use super::node::Kind;
use super::reader::Reader;
use super::scope::Needs;

/// A note on a contact.
#[derive(Clone)]
pub(crate) struct Note {
    note: notes::Note,
    contacts: Arc<NotedContacts>,
}

/// The contacts that some notes are on: loaded for all of them by the first that is asked.
pub(crate) struct NotedContacts {
    ids: Vec<Uuid>,
    reader: Arc<Reader>,
    page: OnceCell<Arc<ContactPage>>,
}

impl NotedContacts {
    /// Of notes that came from a page of contacts.
    pub(crate) fn known(page: Arc<ContactPage>) -> Arc<Self> {
        let reader = page.reader.clone();
        Arc::new(Self {
            ids: Vec::new(),
            reader,
            page: OnceCell::new_with(Some(page)),
        })
    }

    async fn find(&self, id: Uuid) -> domain::Result<Option<Contact>> {
        let load = || async {
            let contacts = domain::contact::get_many(self.reader.tx().await?, &self.ids).await?;
            Ok::<_, domain::Error>(ContactPage::new(contacts, self.reader.clone()))
        };
        let page: &Arc<ContactPage> = self.page.get_or_try_init(load).await?;
        Ok(ContactPage::find(page, id))
    }
}

impl Note {
    /// A note of a contact's own list.
    pub(crate) fn of(note: notes::Note, contacts: Arc<NotedContacts>) -> Self {
        Self { note, contacts }
    }

    /// Notes from anywhere.
    pub(crate) fn all(list: Vec<notes::Note>, reader: Arc<Reader>) -> Vec<Self> {
        let ids = list.iter().map(|note| note.contact_id).collect();
        let contacts = Arc::new(NotedContacts {
            ids,
            reader,
            page: OnceCell::new(),
        });
        list.into_iter()
            .map(|note| Self {
                note,
                contacts: contacts.clone(),
            })
            .collect()
    }

    /// One note from anywhere.
    pub(crate) fn one(note: notes::Note, reader: Arc<Reader>) -> Self {
        let contacts = NotedContacts {
            ids: vec![note.contact_id],
            reader,
            page: OnceCell::new(),
        };
        Self {
            note,
            contacts: Arc::new(contacts),
        }
    }

    pub(crate) fn uuid(&self) -> Uuid {
        self.note.id
    }
}

/// A note on a contact.
#[Object(guard = "Needs(Scope::NotesRead)")]
impl Note {
    /// The global id.
    /// Scope: `notes:read`.
    pub(crate) async fn id(&self) -> ID {
        Kind::Note.id(self.note.id)
    }
    /// The text, in Markdown (CommonMark). Encrypted at rest.
    /// Scope: `notes:read`.
    async fn body(&self) -> Result<&str> {
        self.contacts.reader.charge(self.note.body.len())?;
        Ok(&self.note.body)
    }
    /// Whether it stays on top.
    /// Scope: `notes:read`.
    async fn pinned(&self) -> bool {
        self.note.pinned
    }
    /// Goes up with each change; see `expectedVersion` of `updateNote`.
    /// Scope: `notes:read`.
    async fn version(&self) -> i32 {
        self.note.version
    }
    /// When it was written.
    /// Scope: `notes:read`.
    async fn created_at(&self) -> DateTime<Utc> {
        self.note.created_at
    }
    /// When it was last changed.
    /// Scope: `notes:read`.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.note.updated_at
    }
    /// The contact that it is on.
    /// Scope: `contacts:read`.
    #[graphql(guard = "Needs(Scope::ContactsRead)")]
    async fn contact(&self) -> Result<Option<Contact>> {
        self.contacts.find(self.note.contact_id).await.map_err(top_level)
    }
}

/// Counts the notes of a contact when asked to, for its whole page at once.
pub(crate) struct NoteCount {
    pub(crate) page: Arc<ContactPage>,
    pub(crate) contact: Uuid,
}

impl NoteCount {
    async fn count(&self) -> domain::Result<u64> {
        self.page.note_count(self.contact).await
    }
}

connection! {
    Needs(Scope::NotesRead), "Scope: `notes:read`.",
    /// A page of notes.
    NoteConnection, NoteEdge, Note, NoteCount
}

payload! {
    Needs(Scope::NotesWrite), "Scope: `notes:write`.",
    /// What `createNote` did.
    CreateNotePayload,
    /// The new note.
    note: Note
}
payload! {
    Needs(Scope::NotesWrite), "Scope: `notes:write`.",
    /// What `updateNote` did.
    UpdateNotePayload,
    /// The note as it is now.
    note: Note
}
payload! {
    Needs(Scope::NotesWrite), "Scope: `notes:write`.",
    /// What `deleteNote` did.
    DeleteNotePayload,
    /// The id of the note that is gone.
    deleted_note_id: ID
}

/// A new note.
#[derive(InputObject)]
pub(crate) struct CreateNoteInput {
    /// The contact that it is on.
    contact_id: ID,
    /// The text, in Markdown, at most 100,000 characters.
    body: String,
    /// Whether it stays on top.
    #[graphql(default)]
    pinned: bool,
}

/// The changes to a note. What is not given stays.
#[derive(InputObject)]
pub(crate) struct UpdateNoteInput {
    /// The note.
    id: ID,
    /// The new text, in Markdown, at most 100,000 characters.
    body: Option<String>,
    /// Whether it stays on top.
    pinned: Option<bool>,
    /// Change it only if its `version` is still this one; otherwise the answer is a CONFLICT.
    expected_version: Option<i32>,
}

/// The note to delete.
#[derive(InputObject)]
pub(crate) struct DeleteNoteInput {
    /// The note.
    id: ID,
}

#[derive(Default)]
pub(crate) struct NoteMutation;

#[Object(guard = "Needs(Scope::NotesWrite)")]
impl NoteMutation {
    /// Writes a note on a contact.
    /// Scope: `notes:write`.
    async fn create_note(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new note.")] input: CreateNoteInput,
    ) -> Result<CreateNotePayload> {
        let contact = Kind::Contact.uuid(&input.contact_id);
        let outcome = mutate(ctx, "contactId", async |tx| {
            notes::create(tx, contact, &input.body, input.pinned).await
        });
        Ok(CreateNotePayload::of(outcome.await?, Note::one))
    }

    /// Changes a note.
    /// Scope: `notes:write`.
    async fn update_note(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The note and the changes.")] input: UpdateNoteInput,
    ) -> Result<UpdateNotePayload> {
        let id = Kind::Note.uuid(&input.id);
        let outcome = mutate(ctx, "id", async |tx| {
            notes::update(
                tx,
                id,
                input.expected_version,
                input.body.as_deref(),
                input.pinned,
            )
            .await
        });
        Ok(UpdateNotePayload::of(outcome.await?, Note::one))
    }

    /// Deletes a note.
    /// Scope: `notes:write`.
    async fn delete_note(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The note.")] input: DeleteNoteInput,
    ) -> Result<DeleteNotePayload> {
        let outcome = mutate(ctx, "id", async |tx| {
            notes::delete(tx, Kind::Note.uuid(&input.id)).await
        })
        .await?;
        Ok(DeleteNotePayload::of(outcome, |(), _| input.id))
    }
}
