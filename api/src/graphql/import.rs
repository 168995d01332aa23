//! Imports of contact files.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::identity::scope::Scope;
use domain::import as imports;
use domain::page::PageRequest;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::connection::connection;
use super::contact::types::{Contact, ContactPage};
use super::error::{mutate, payload, reader, top_level};
use super::node::Kind;
use super::reader::Reader;
use super::scope::Needs;
use crate::http::multipart::Upload;

/// How far an import is.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "imports::ImportState")]
pub(crate) enum ImportState {
    /// No worker has begun it.
    Queued,
    /// Rows are being read.
    Running,
    /// Every row has its outcome.
    Completed,
    /// The file could not be read to its end. The rows so far have their outcomes, and what they made stays.
    Failed,
}

/// What became of a row.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "imports::RowOutcome")]
pub(crate) enum ImportRowOutcome {
    /// It is a new contact.
    Created,
    /// It added something to a contact.
    Updated,
    /// It held nothing new.
    Skipped,
    /// It could not be used; the row says why.
    Rejected,
}

/// How many rows had which outcome. The four add up to the total.
#[derive(SimpleObject)]
#[graphql(guard = "Needs(Scope::ImportsRead)")]
pub(crate) struct ImportCounts {
    /// Rows that have their outcome.
    /// Scope: `imports:read`.
    total: u32,
    /// Rows that became a contact.
    /// Scope: `imports:read`.
    created: u32,
    /// Rows that added something to a contact.
    /// Scope: `imports:read`.
    updated: u32,
    /// Rows that held nothing new.
    /// Scope: `imports:read`.
    skipped: u32,
    /// Rows that could not be used.
    /// Scope: `imports:read`.
    rejected: u32,
}

/// A contact file on its way in.
#[derive(Clone)]
pub(crate) struct Import {
    import: imports::Import,
    reader: Arc<Reader>,
}

impl Import {
    pub(crate) fn new(import: imports::Import, reader: Arc<Reader>) -> Self {
        Self { import, reader }
    }
}

/// A contact file on its way in.
#[Object(guard = "Needs(Scope::ImportsRead)")]
impl Import {
    /// The global id.
    /// Scope: `imports:read`.
    pub(crate) async fn id(&self) -> ID {
        Kind::Import.id(self.import.id)
    }
    /// The file's name, as its sender called it.
    /// Scope: `imports:read`.
    async fn filename(&self) -> Option<&str> {
        self.import.filename.as_deref()
    }
    /// How far it is.
    /// Scope: `imports:read`.
    async fn state(&self) -> ImportState {
        self.import.state.into()
    }
    /// Why it failed: EMPTY_FILE, NOT_TEXT, NO_HEADER, NOT_GOOGLE, NO_ROWS and others; null unless it failed.
    /// Scope: `imports:read`.
    async fn error_code(&self) -> Option<&str> {
        self.import.error_code.as_deref()
    }
    /// How much of the file is done, 0 to 1.
    /// Scope: `imports:read`.
    async fn progress(&self) -> f64 {
        if self.import.state == imports::ImportState::Completed || self.import.bytes_total == 0 {
            return f64::from(u8::from(self.import.state == imports::ImportState::Completed));
        }
        #[expect(clippy::cast_precision_loss, reason = "files are far smaller than 2^52 bytes")]
        let share = self.import.bytes_done as f64 / self.import.bytes_total as f64;
        share.min(1.0)
    }
    /// How many rows had which outcome so far.
    /// Scope: `imports:read`.
    async fn counts(&self) -> ImportCounts {
        ImportCounts {
            total: self.import.rows_total,
            created: self.import.created,
            updated: self.import.updated,
            skipped: self.import.skipped,
            rejected: self.import.rejected,
        }
    }
    /// When it was asked for.
    /// Scope: `imports:read`.
    async fn created_at(&self) -> DateTime<Utc> {
        self.import.created_at
    }
    /// When a worker first began it.
    /// Scope: `imports:read`.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.import.started_at
    }
    /// When it ended.
    /// Scope: `imports:read`.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.import.finished_at
    }
    /// Its rows, in the order of the file.
    /// Scope: `imports:read`.
    async fn rows(
        &self,
        #[graphql(desc = "Only those of this outcome.")] outcome: Option<ImportRowOutcome>,
        #[graphql(desc = "The first so many, 0 to 100. If neither this nor `last` is given: the first 50.")]
        first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
        #[graphql(desc = "The last so many, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only those before this cursor.")] before: Option<String>,
    ) -> Result<ImportRowConnection> {
        let request = PageRequest::new(first, last, after, before).map_err(top_level)?;
        let outcome = outcome.map(Into::into);
        let tx = self.reader.tx().await.map_err(top_level)?;
        let page = imports::rows(tx, self.import.id, outcome, &request)
            .await
            .map_err(top_level)?;
        let contacts = Arc::new(RowContacts {
            ids: page.items.iter().filter_map(|row| row.contact_id).collect(),
            reader: self.reader.clone(),
            page: OnceCell::new(),
        });
        let rows = page.items.into_iter();
        let entries = rows
            .map(|row| {
                (
                    row.cursor(),
                    ImportRow {
                        row,
                        contacts: Arc::clone(&contacts),
                    },
                )
            })
            .collect();
        let count = ImportRowCount {
            import: self.import.clone(),
            outcome,
        };
        Ok(ImportRowConnection::new(
            entries,
            page.has_previous,
            page.has_next,
            count,
        ))
    }
}

/// The contacts of a page of rows, loaded for all of them by the first that is asked.
struct RowContacts {
    ids: Vec<Uuid>,
    reader: Arc<Reader>,
    page: OnceCell<Arc<ContactPage>>,
}

/// What became of one row of a file.
#[derive(Clone)]
pub(crate) struct ImportRow {
    row: imports::ImportRow,
    contacts: Arc<RowContacts>,
}

/// What became of one row of a file.
#[Object(guard = "Needs(Scope::ImportsRead)")]
impl ImportRow {
    /// Its number: 1 is the first below the header; blank lines do not count.
    /// Scope: `imports:read`.
    async fn row(&self) -> u32 {
        self.row.row
    }
    /// The line of the file where it begins, from 1.
    /// Scope: `imports:read`.
    async fn line(&self) -> u64 {
        self.row.line
    }
    /// What became of it.
    /// Scope: `imports:read`.
    async fn outcome(&self) -> ImportRowOutcome {
        self.row.outcome.into()
    }
    /// Why, for programs, such as ALREADY_IMPORTED or CELL_TOO_LONG; null where there is nothing to say.
    /// Scope: `imports:read`.
    async fn code(&self) -> Option<&str> {
        self.row.code.as_deref()
    }
    /// Why, for people; null where there is nothing to say.
    /// Scope: `imports:read`.
    async fn message(&self) -> Option<&str> {
        self.row.message.as_deref()
    }
    /// The column that is to blame, as the file calls it.
    /// Scope: `imports:read`.
    async fn column(&self) -> Option<&str> {
        self.row.column.as_deref()
    }
    /// The contact that it became or belongs to; null if there is none, or it was deleted since.
    /// Scope: `contacts:read`.
    #[graphql(guard = "Needs(Scope::ContactsRead)")]
    async fn contact(&self) -> Result<Option<Contact>> {
        let Some(id) = self.row.contact_id else {
            return Ok(None);
        };
        let load = || async {
            let tx = self.contacts.reader.tx().await?;
            let contacts = domain::contact::get_many(tx, &self.contacts.ids).await?;
            Ok::<_, domain::Error>(ContactPage::new(contacts, self.contacts.reader.clone()))
        };
        let page = self
            .contacts
            .page
            .get_or_try_init(load)
            .await
            .map_err(top_level)?;
        Ok(ContactPage::find(page, id))
    }
}

/// The count of an import's rows is known.
pub(crate) struct ImportRowCount {
    import: imports::Import,
    outcome: Option<imports::RowOutcome>,
}

impl ImportRowCount {
    #[expect(clippy::unused_async, reason = "other lists' counts ask the database")]
    async fn count(&self) -> domain::Result<u64> {
        use imports::RowOutcome::{Created, Rejected, Skipped, Updated};
        let import = &self.import;
        Ok(u64::from(match self.outcome {
            None => import.rows_total,
            Some(Created) => import.created,
            Some(Updated) => import.updated,
            Some(Skipped) => import.skipped,
            Some(Rejected) => import.rejected,
        }))
    }
}

connection! {
    Needs(Scope::ImportsRead), "Scope: `imports:read`.",
    /// A page of an import's rows.
    ImportRowConnection, ImportRowEdge, ImportRow, ImportRowCount
}

/// Counts imports when asked to.
pub(crate) struct ImportCount(Arc<Reader>);

impl ImportCount {
    async fn count(&self) -> domain::Result<u64> {
        imports::count(self.0.tx().await?).await
    }
}

connection! {
    Needs(Scope::ImportsRead), "Scope: `imports:read`.",
    /// A page of imports.
    ImportConnection, ImportEdge, Import, ImportCount
}

#[derive(Default)]
pub(crate) struct ImportQuery;

#[Object(guard = "Needs(Scope::ImportsRead)")]
impl ImportQuery {
    /// An import by its id; null if there is no such import.
    /// Scope: `imports:read`.
    async fn import(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The import's id.")] id: ID,
    ) -> Result<Option<Import>> {
        let reader = reader(ctx)?;
        let tx = reader.tx().await.map_err(top_level)?;
        let import = imports::get(tx, Kind::Import.uuid(&id))
            .await
            .map_err(top_level)?;
        Ok(import.map(|import| Import::new(import, reader.clone())))
    }

    /// The user's imports, the newest first.
    /// Scope: `imports:read`.
    async fn imports(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first so many, 0 to 100. If neither this nor `last` is given: the first 50.")]
        first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
        #[graphql(desc = "The last so many, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only those before this cursor.")] before: Option<String>,
    ) -> Result<ImportConnection> {
        let request = PageRequest::new(first, last, after, before).map_err(top_level)?;
        let reader = reader(ctx)?;
        let tx = reader.tx().await.map_err(top_level)?;
        let page = imports::list(tx, &request).await.map_err(top_level)?;
        let imports = page.items.into_iter();
        let entries = imports
            .map(|row| (row.cursor(), Import::new(row, reader.clone())))
            .collect();
        Ok(ImportConnection::new(
            entries,
            page.has_previous,
            page.has_next,
            ImportCount(reader),
        ))
    }
}

payload! {
    Needs(Scope::ImportsWrite), "Scope: `imports:write`.",
    /// What `importContacts` did.
    ImportContactsPayload,
    /// The import, which a worker will read.
    import: Import
}

#[derive(Default)]
pub(crate) struct ImportMutation;

#[Object(guard = "Needs(Scope::ImportsWrite)")]
impl ImportMutation {
    /// Takes a contact file of at most 100 MiB: a CSV file of Google Contacts in any of its layouts, in UTF-8, UTF-16 or
    /// windows-1252. A worker reads it; see `import`. Reading the same file again creates nothing new.
    /// Scope: `imports:write`.
    async fn import_contacts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The file.")] file: Upload,
    ) -> Result<ImportContactsPayload> {
        let upload = file.id(ctx)?;
        let outcome = mutate(ctx, "file", async |tx| {
            imports::start(tx, upload.0, imports::Format::GoogleCsv).await
        })
        .await?;
        if outcome.is_ok() {
            file.keep(ctx)?;
        }
        Ok(ImportContactsPayload::of(outcome, Import::new))
    }
}
