//! What became of an import, and of each of its rows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use entity::{Owned, import, import_row};
use sea_orm::{ColumnTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Code, Error, Result};
use crate::page::{Page, PageRequest, SortKey, Sorting, sort_key, time_key};

macro_rules! texts {
    ($(#[$about:meta])* $name:ident { $($(#[$variant_about:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_about])* $variant),* }
        impl $name {
            /// As it is stored.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            fn parse(text: &str) -> Result<Self> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(Error::internal(concat!("an unknown ", stringify!($name)))),
                }
            }
        }
    };
}

texts! {
    /// What kind of file an import reads.
    Format {
        /// A CSV file of Google Contacts, in any of its layouts.
        GoogleCsv = "google_csv",
    }
}

texts! {
    /// How far an import is.
    ImportState {
        /// No worker has begun it.
        Queued = "queued",
        /// Rows are being read.
        Running = "running",
        /// Every row has its outcome.
        Completed = "completed",
        /// The file could not be read to its end; the rows so far have their outcomes.
        Failed = "failed",
    }
}

texts! {
    /// What became of a row.
    RowOutcome {
        /// It is a new contact.
        Created = "created",
        /// It added something to a contact.
        Updated = "updated",
        /// It held nothing new.
        Skipped = "skipped",
        /// It could not be used.
        Rejected = "rejected",
    }
}

/// One file's way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its id.
    pub id: Uuid,
    /// What kind of file it reads.
    pub format: Format,
    /// The file's name, as its sender called it.
    pub filename: Option<String>,
    /// How far it is.
    pub state: ImportState,
    /// Why it failed, for programs: `EMPTY_FILE`, `NOT_TEXT`, `NO_HEADER`, `NOT_GOOGLE`, `NO_ROWS`,
    /// `FILE_MISSING`, or what [`super::run::fail`] was given.
    pub error_code: Option<String>,
    /// Rows that have their outcome; the sum of the four counts.
    pub rows_total: u32,
    /// Rows that became a contact.
    pub created: u32,
    /// Rows that added to a contact.
    pub updated: u32,
    /// Rows that held nothing new.
    pub skipped: u32,
    /// Rows that could not be used.
    pub rejected: u32,
    /// Bytes of the file.
    pub bytes_total: u64,
    /// Bytes whose rows have their outcome.
    pub bytes_done: u64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When a worker first began it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// One row's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    /// Its number: 1 is the first below the header; blank lines do not count.
    pub row: u32,
    /// The line of the file where it begins, from 1.
    pub line: u64,
    /// What became of it.
    pub outcome: RowOutcome,
    /// The contact that it became or belongs to, unless that was deleted since.
    pub contact_id: Option<Uuid>,
    /// Why, for programs: a code of [`super::draft::RejectionCode`], `ROW_UNUSABLE`, `ALREADY_IMPORTED`,
    /// `DUPLICATE_ROW` or `NOTHING_NEW`.
    pub code: Option<String>,
    /// Why, for people; never says what the row holds.
    pub message: Option<String>,
    /// The column that is to blame, as the file calls it.
    pub column: Option<String>,
}

const NEWEST_FIRST: Sorting = Sorting {
    key: CREATED,
    descending: true,
};
const CREATED: SortKey = sort_key!(40, "import", "created_at", time);

/// An import of the viewer's.
///
/// # Errors
/// When the database is gone.
pub async fn get(tx: &Tx, id: Uuid) -> Result<Option<Import>> {
    let found = import::Entity::visible_to(tx.owner()?)
        .filter(import::Column::Id.eq(id))
        .one(tx)
        .await?;
    found.map(Import::try_from).transpose()
}

/// Those of the ids that the viewer has, in no order.
///
/// # Errors
/// When the database is gone.
pub async fn get_many(tx: &Tx, ids: &[Uuid]) -> Result<Vec<Import>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let query = import::Entity::visible_to(tx.owner()?).filter(import::Column::Id.eq_any(ids.to_vec()));
    query.all(tx).await?.into_iter().map(Import::try_from).collect()
}

/// How many imports the viewer has had.
///
/// # Errors
/// When the database is gone.
pub async fn count(tx: &Tx) -> Result<u64> {
    Ok(import::Entity::visible_to(tx.owner()?).count(tx).await?)
}

/// The viewer's imports, the newest first.
///
/// # Errors
/// [`Code::Invalid`] for a cursor of another list.
pub async fn list(tx: &Tx, page: &PageRequest) -> Result<Page<Import>> {
    let query = NEWEST_FIRST.page(import::Entity::visible_to(tx.owner()?), page)?;
    let found = query.all(tx).await?;
    let imports = found
        .into_iter()
        .map(Import::try_from)
        .collect::<Result<Vec<_>>>()?;
    Ok(Sorting::finish(page, imports))
}

/// The rows of an import in the order of the file, or those of one outcome. Of an import that is not the
/// viewer's there are none.
///
/// # Errors
/// [`Code::Invalid`] for a cursor of another list.
pub async fn rows(
    tx: &Tx,
    import: Uuid,
    outcome: Option<RowOutcome>,
    page: &PageRequest,
) -> Result<Page<ImportRow>> {
    let mut query =
        import_row::Entity::visible_to(tx.owner()?).filter(import_row::Column::ImportId.eq(import));
    if let Some(outcome) = outcome {
        query = query.filter(import_row::Column::Outcome.eq(outcome.as_str()));
    }
    if let Some(after) = &page.after {
        query = query.filter(import_row::Column::Row.gt(row_of(after, "after")?));
    }
    if let Some(before) = &page.before {
        query = query.filter(import_row::Column::Row.lt(row_of(before, "before")?));
    }
    query = if page.backward {
        query.order_by_desc(import_row::Column::Row)
    } else {
        query.order_by_asc(import_row::Column::Row)
    };
    let found = query.limit(u64::from(page.limit) + 1).all(tx).await?;
    let rows = found
        .into_iter()
        .map(ImportRow::try_from)
        .collect::<Result<Vec<_>>>()?;
    Ok(Sorting::finish(page, rows))
}

/// Tells a row's cursor from those of other lists.
const ROW_TAG: u8 = 41;

fn row_of(cursor: &str, field: &'static str) -> Result<i32> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    match bytes.as_deref() {
        Some([ROW_TAG, a, b, c, d]) => Ok(i32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(Error::invalid(
            field,
            Code::Invalid,
            "This cursor is not of this list and order.",
        )),
    }
}

impl Import {
    /// Where it stands in [`list`].
    #[must_use]
    pub fn cursor(&self) -> String {
        NEWEST_FIRST
            .cursor(time_key(Some(self.created_at)), self.id)
            .encode()
    }
}

impl ImportRow {
    /// Where it stands in [`rows`].
    #[must_use]
    pub fn cursor(&self) -> String {
        let [a, b, c, d] = self.row.to_be_bytes();
        URL_SAFE_NO_PAD.encode([ROW_TAG, a, b, c, d])
    }
}

impl TryFrom<import::Model> for Import {
    type Error = Error;

    fn try_from(row: import::Model) -> Result<Self> {
        let count = |count: i32| u32::try_from(count).map_err(Error::internal);
        let bytes = |bytes: i64| u64::try_from(bytes).map_err(Error::internal);
        Ok(Self {
            id: row.id,
            format: Format::parse(&row.format)?,
            filename: row.filename,
            state: ImportState::parse(&row.state)?,
            error_code: row.error_code,
            rows_total: count(row.rows_total)?,
            created: count(row.created)?,
            updated: count(row.updated)?,
            skipped: count(row.skipped)?,
            rejected: count(row.rejected)?,
            bytes_total: bytes(row.bytes_total)?,
            bytes_done: bytes(row.bytes_done)?,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
    }
}

impl TryFrom<import_row::Model> for ImportRow {
    type Error = Error;

    fn try_from(row: import_row::Model) -> Result<Self> {
        Ok(Self {
            row: u32::try_from(row.row).map_err(Error::internal)?,
            line: u64::try_from(row.line).map_err(Error::internal)?,
            outcome: RowOutcome::parse(&row.outcome)?,
            contact_id: row.contact_id,
            code: row.code,
            message: row.message,
            column: row.column_name,
        })
    }
}
