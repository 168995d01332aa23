//! One batch of an import's rows: in one transaction, each row gets its outcome, and the import its
//! progress. The number of statements does not depend on the number of rows.

use std::collections::HashMap;

use uuid::Uuid;

use super::draft::Draft;
use super::lookup;
use super::matching::People;
use super::read::RowOutcome;
use super::write::{Outcome, Writing};
use crate::crypto::DigestKey;
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::viewer::Viewer;

/// A row of the file.
pub(super) struct Row {
    /// From 1 below the header.
    pub(super) number: i32,
    /// Where it begins in the file.
    pub(super) line: u64,
    /// How much text it holds.
    pub(super) bytes: usize,
    /// What it says.
    pub(super) content: Content,
}

/// What a row says.
#[derive(Clone)]
pub(super) enum Content {
    Person(Box<Draft>),
    Refused(Refusal),
}

/// Why a row can't be used.
#[derive(Clone)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) column: Option<String>,
}

/// How far an import is after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// So many rows are done.
    At(i32),
    /// It has ended, by another's hand.
    Ended,
}

/// What batches are written to.
pub(super) struct Target<'a> {
    pub(super) db: &'a Db,
    pub(super) viewer: &'a Viewer,
    pub(super) import: Uuid,
    pub(super) filename: Option<&'a str>,
    pub(super) bytes_done: u64,
}

impl Target<'_> {
    /// Writes the rows that are not done yet.
    ///
    /// A row that the database will not have, whatever the reader thought of it, must not stop the others:
    /// the batch is then written in halves, down to that row alone, which is rejected.
    pub(super) async fn write(&self, rows: &[Row]) -> Result<Progress> {
        let mut waiting = vec![rows];
        let mut progress = Progress::Ended;
        while let Some(part) = waiting.pop() {
            progress = match self.attempt(part, None).await {
                Err(error) => {
                    let sqlstate = refused_for_data(error)?;
                    if part.len() > 1 {
                        let (first, second) = part.split_at(part.len() / 2);
                        waiting.extend([second, first]);
                        continue;
                    }
                    // Not the message: it can quote the value.
                    tracing::error!(import = %self.import, sqlstate, "a row of an import could not be stored");
                    let refusal = Refusal {
                        code: "ROW_UNUSABLE",
                        message: "the row could not be stored".to_owned(),
                        column: None,
                    };
                    self.attempt(part, Some(&refusal)).await?
                }
                Ok(progress) => progress,
            };
            if progress == Progress::Ended {
                break;
            }
        }
        Ok(progress)
    }

    async fn attempt(&self, rows: &[Row], refusal: Option<&Refusal>) -> Result<Progress> {
        let tx = self.db.begin(self.viewer).await?;
        let state = tx
            .query_one_row(
                "SELECT rows_total, state = 'running' AS running FROM import WHERE id = $1 FOR UPDATE",
                [self.import.into()],
            )
            .await?;
        let Some(state) = state else {
            return Ok(Progress::Ended);
        };
        if !state.try_get::<bool>("", "running")? {
            return Ok(Progress::Ended);
        }
        let done: i32 = state.try_get("", "rows_total")?;
        let rows = rows
            .get(rows.partition_point(|row| row.number <= done)..)
            .unwrap_or_default();
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(Progress::At(done));
        };
        if first.number != done + 1 {
            return Err(Error::internal("rows of an import are missing"));
        }
        let rows_total = last.number;
        let mut writing = Writing::new(&tx, self.import, self.filename)?;
        match refusal {
            Some(refusal) => rows.iter().for_each(|row| writing.refuse(row, refusal)),
            None => self.decide(&tx, rows, &mut writing).await?,
        }
        writing.write(self.bytes_done).await?;
        tx.commit().await?;
        Ok(Progress::At(rows_total))
    }

    /// Gives each row its outcome, in the order of the file: a row sees what those before it did.
    async fn decide(&self, tx: &Tx, rows: &[Row], writing: &mut Writing<'_>) -> Result<()> {
        let key = tx.digest_key().await?;
        let digests: Vec<_> = rows.iter().map(|row| digest(&key, row)).collect();
        let known = lookup::digests(tx, digests.iter().flatten()).await?;
        let fresh = || {
            rows.iter().zip(&digests).filter_map(|(row, digest)| {
                let unknown = digest.as_ref().is_some_and(|digest| !known.contains_key(digest));
                match &row.content {
                    Content::Person(draft) if unknown => Some(&**draft),
                    _ => None,
                }
            })
        };
        let folded = lookup::fold(tx, fresh()).await?;
        let mut people = People::load(tx, &key, fresh(), &folded).await?;
        let mut seen = HashMap::new();
        for (row, digest) in rows.iter().zip(digests) {
            let (draft, digest) = match (&row.content, digest) {
                (Content::Person(draft), Some(digest)) => (draft, digest),
                (Content::Refused(refusal), _) => {
                    writing.refuse(row, refusal);
                    continue;
                }
                (Content::Person(_), None) => return Err(Error::internal("a row without a digest")),
            };
            let outcome = if let Some((contact, import)) = known.get(&digest) {
                let twice = *import == self.import;
                Outcome::skipped(
                    *contact,
                    if twice {
                        "DUPLICATE_ROW"
                    } else {
                        "ALREADY_IMPORTED"
                    },
                )
            } else if let Some(contact) = seen.get(&digest) {
                Outcome::skipped(*contact, "DUPLICATE_ROW")
            } else {
                let outcome = people.take(draft, &folded, writing)?;
                seen.insert(digest, outcome.contact);
                writing.remember(outcome.contact, digest);
                outcome
            };
            writing.outcome(row, outcome);
        }
        writing.people(people.into_people());
        Ok(())
    }
}

fn digest(key: &DigestKey, row: &Row) -> Option<[u8; 32]> {
    match &row.content {
        Content::Person(draft) => Some(key.digest(&draft.canonical_bytes())),
        Content::Refused(_) => None,
    }
}

/// The SQLSTATE, where the database refused what a statement held (classes 22 and 23: a wrong or
/// forbidden value; 54: one beyond a limit) rather than the statement. Else gives the error back.
fn refused_for_data(error: Error) -> Result<String> {
    let sqlstate = match &error {
        // A constraint that has a meaning to users.
        Error::Invalid(_) => Some("23".to_owned()),
        Error::Internal(cause) => cause
            .downcast_ref::<sqlx::Error>()
            .and_then(|error| error.as_database_error()?.code())
            .map(|code| code.into_owned()),
        _ => None,
    };
    sqlstate
        .filter(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
        .ok_or(error)
}

impl Outcome {
    pub(super) fn skipped(contact: Uuid, code: &'static str) -> Self {
        Self {
            outcome: RowOutcome::Skipped,
            contact,
            code: Some(code),
        }
    }
}
