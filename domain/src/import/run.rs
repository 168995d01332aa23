//! Runs an import: reads its file twice, and writes its rows in batches of one transaction each.
//!
//! It may be killed at any moment and run again, also while another run of it still lives. Each batch is
//! written together with the outcomes of its rows and their number (`rows_total`), and only by the run
//! that finds the number to be what it expects; a run that finds it further on skips the rows that are
//! done. So every row is done once, and a run that returns without an error leaves nothing to be done.
//! Between two batches the owner's lock is free, so that the owner's own clicks do not wait.

use uuid::Uuid;

use super::batch::{self, Content, Progress, Refusal, Row};
use super::draft::{Draft, Rejection, RejectionCode};
use super::file::{Pieces, Rows};
use super::google::Layout;
use super::table::{Record, RowError};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::upload;
use crate::viewer::Viewer;

/// Rows of one batch at most.
const BATCH_ROWS: usize = 500;
/// Bytes of text after which a batch is full, whatever its rows.
const BATCH_BYTES: usize = 1024 * 1024;

/// Runs an import to its end. One that has ended, or that is not there (any more), is left alone.
///
/// A file that can't be read makes the import `failed`, which is no error of the run.
///
/// # Errors
/// When the database is gone or a defect shows; the import then stays `running`, and the next run goes on.
pub async fn run(db: &Db, viewer: &Viewer, import: Uuid) -> Result<()> {
    let Some(begun) = begin(db, viewer, import).await? else {
        return Ok(());
    };
    let run = Run { db, viewer, begun };
    match run.read().await {
        // The file has gone: with the account, or because another run has ended the import meanwhile.
        Err(Error::NotFound) => match begin(db, viewer, import).await? {
            None => Ok(()),
            Some(_) => Err(Error::internal("a running import has lost its file")),
        },
        other => other,
    }
}

/// Ends an import that can't be run, and lets go of its file. Returns whether it had not ended before.
///
/// # Errors
/// When the database refuses.
pub async fn fail(tx: &Tx, import: Uuid, code: &str) -> Result<bool> {
    end(tx, import, "failed", Some(code)).await
}

async fn end(tx: &Tx, import: Uuid, state: &'static str, code: Option<&str>) -> Result<bool> {
    let row = tx
        .query_one_row(
            "SELECT upload_id FROM import WHERE id = $1 AND state IN ('queued', 'running') FOR UPDATE",
            [import.into()],
        )
        .await?;
    let Some(row) = row else { return Ok(false) };
    tx.run(
        "UPDATE import SET state = $2, error_code = $3, finished_at = $4, \
         bytes_done = CASE WHEN $2 = 'completed' THEN bytes_total ELSE bytes_done END WHERE id = $1",
        [import.into(), state.into(), code.into(), tx.now().into()],
    )
    .await?;
    upload::discard(tx, row.try_get("", "upload_id")?).await?;
    Ok(true)
}

/// How much longer than its row what is kept under the names of its columns may be, beyond twice the row.
const NAMES: usize = 16 * 1024;

/// Refuses a row that would be written many times longer than it is: what no field takes is kept with its
/// column's name, and a crooked file has long names for short cells.
fn bounded(draft: Draft, bytes: usize) -> Result<Draft, Rejection> {
    let rest: usize = draft
        .rest
        .iter()
        .map(|(column, value)| column.len() + value.len() + 3)
        .sum();
    if rest <= NAMES + 2 * bytes {
        return Ok(draft);
    }
    Err(Rejection {
        code: RejectionCode::RowTooLong,
        message: "the names of the columns that no field takes are too long for this row".to_owned(),
        column: None,
    })
}

/// An import that is to be run.
struct Begun {
    id: Uuid,
    upload: Uuid,
    chunks: u32,
    filename: Option<String>,
    /// ISO 3166 country that telephone numbers without one are read in.
    region: Option<String>,
    rows_total: i32,
}

/// Marks the import as running. Nothing when there is nothing to be run.
async fn begin(db: &Db, viewer: &Viewer, import: Uuid) -> Result<Option<Begun>> {
    let tx = db.begin(viewer).await?;
    let row = tx
        .query_one_row(
            "UPDATE import i SET state = 'running', started_at = coalesce(i.started_at, $2) \
             WHERE i.id = $1 AND i.state IN ('queued', 'running') \
             RETURNING i.filename, i.rows_total, i.upload_id, \
             (SELECT u.chunks FROM upload u WHERE u.owner_id = i.owner_id AND u.id = i.upload_id) AS chunks, \
             (SELECT a.phone_region FROM app_user a WHERE a.owner_id = i.owner_id AND a.id = $3) AS region",
            [import.into(), tx.now().into(), viewer.user().into()],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let file: (Option<Uuid>, Option<i32>) = (row.try_get("", "upload_id")?, row.try_get("", "chunks")?);
    let begun = match file {
        (Some(upload), Some(chunks)) => Some(Begun {
            id: import,
            upload,
            chunks: u32::try_from(chunks).map_err(Error::internal)?,
            filename: row.try_get("", "filename")?,
            region: row.try_get("", "region")?,
            rows_total: row.try_get("", "rows_total")?,
        }),
        _ => {
            fail(&tx, import, "FILE_MISSING").await?;
            None
        }
    };
    tx.commit().await?;
    Ok(begun)
}

struct Run<'a> {
    db: &'a Db,
    viewer: &'a Viewer,
    begun: Begun,
}

impl<'a> Run<'a> {
    fn pieces(&self) -> Pieces<'a> {
        Pieces {
            db: self.db,
            viewer: self.viewer,
            upload: self.begun.upload,
            count: self.begun.chunks,
        }
    }

    async fn read(self) -> Result<()> {
        let encoding = match self.pieces().sniff().await? {
            Ok(encoding) => encoding,
            Err(error) => return self.finish("failed", Some(error.code())).await,
        };
        let mut rows = Rows::new(self.pieces(), encoding);
        let header = match rows.next().await? {
            Some(Ok(header)) => header,
            Some(Err(_)) | None => return self.finish("failed", Some("NO_HEADER")).await,
        };
        let layout = match Layout::from_header(&header) {
            Ok(layout) => layout,
            Err(error) => return self.finish("failed", Some(error.code())).await,
        };
        match self.write(&mut rows, &layout).await? {
            Progress::Ended => Ok(()),
            Progress::At(0) => self.finish("failed", Some("NO_ROWS")).await,
            Progress::At(_) => self.finish("completed", None).await,
        }
    }

    async fn write(&self, rows: &mut Rows<'_>, layout: &Layout) -> Result<Progress> {
        let mut done = self.begun.rows_total;
        let (mut number, mut bytes, mut batch) = (0, 0, Vec::new());
        while let Some(record) = rows.next().await? {
            number += 1;
            if number <= done {
                continue;
            }
            let row = self.row(number, record, layout);
            bytes += row.bytes;
            batch.push(row);
            if batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
                match self.batch(&batch, rows.bytes()).await? {
                    Progress::Ended => return Ok(Progress::Ended),
                    Progress::At(rows_total) => done = rows_total,
                }
                batch.clear();
                bytes = 0;
            }
        }
        if batch.is_empty() {
            return Ok(Progress::At(done));
        }
        self.batch(&batch, rows.bytes()).await
    }

    fn row(&self, number: i32, record: Result<Record, RowError>, layout: &Layout) -> Row {
        let (line, bytes, content) = match record {
            Ok(record) => {
                let bytes = record.iter().map(str::len).sum();
                let draft = layout.draft(&record, self.begun.region.as_deref());
                let draft = draft.and_then(|draft| bounded(draft, bytes));
                (record.line, bytes, draft)
            }
            Err(error) => (error.line, 0, Err(layout.rejection(&error))),
        };
        let content = match content {
            Ok(draft) => Content::Person(Box::new(draft)),
            Err(rejection) => Content::Refused(Refusal {
                code: rejection.code.as_str(),
                message: rejection.message,
                column: rejection.column,
            }),
        };
        Row {
            number,
            line,
            bytes,
            content,
        }
    }

    async fn batch(&self, rows: &[Row], bytes_done: u64) -> Result<Progress> {
        let target = batch::Target {
            db: self.db,
            viewer: self.viewer,
            import: self.begun.id,
            filename: self.begun.filename.as_deref(),
            bytes_done,
        };
        target.write(rows).await
    }

    async fn finish(&self, state: &'static str, code: Option<&'static str>) -> Result<()> {
        let tx = self.db.begin(self.viewer).await?;
        end(&tx, self.begun.id, state, code).await?;
        tx.commit().await
    }
}
