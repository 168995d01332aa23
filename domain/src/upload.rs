//! Files on their way in: they wait in the database as sealed pieces until an import has read them.
//!
//! Each call is meant for a short transaction of its own, so that none is open while a client is slow.
//! A piece is sealed for its place in its file: pieces can't be swapped, nor moved to another file.

use sea_orm::Value;
use uuid::{Builder, Uuid};
use zeroize::Zeroizing;

use crate::crypto::{Field, sha256};
use crate::db::Tx;
use crate::error::{Code, Error, Result};
use crate::import::draft::{SHORT_CHARS, clean_line};

/// Bytes of one piece at most.
pub const PIECE_BYTES: usize = 256 * 1024;
/// Bytes of a file at most.
pub const FILE_BYTES: u64 = 100 * 1024 * 1024;
/// Files that an owner may have on their way at once, those that wait for their import included.
pub const WAITING: i64 = 5;

const BODY: Field = Field {
    table: "upload_chunk",
    column: "body",
};

/// A file that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: Uuid,
    /// Its length in bytes.
    pub size: u64,
    /// The number of its pieces.
    pub chunks: u32,
}

/// Begins a file. The name is kept for people to read, cleaned and cut to 500 characters.
///
/// # Errors
/// [`Code::TooMany`] when [`WAITING`] files are on their way already.
pub async fn begin(tx: &Tx, filename: Option<&str>) -> Result<Uuid> {
    let id = tx.new_id();
    let waiting = tx
        .query_one_row("SELECT count(*) AS files FROM upload", [])
        .await?;
    let waiting: i64 = waiting
        .map(|row| row.try_get("", "files"))
        .transpose()?
        .unwrap_or(0);
    if waiting >= WAITING {
        return Err(Error::invalid(
            "file",
            Code::TooMany,
            "There are files on their way already; try again when they are read.",
        ));
    }
    let filename: Option<String> =
        filename.and_then(|name| clean_line(&name.chars().take(SHORT_CHARS).collect::<String>()));
    tx.run(
        "INSERT INTO upload (owner_id, id, filename, created_at) VALUES ($1, $2, $3, $4)",
        [tx.owner()?.into(), id.into(), filename.into(), tx.now().into()],
    )
    .await?;
    Ok(id)
}

/// Adds the piece at `position`, counted from 0; they come in order and have at most [`PIECE_BYTES`].
///
/// # Errors
/// [`Code::FileTooLarge`] when the file would be larger than [`FILE_BYTES`]; [`Code::FileUnusable`] when
/// there is no such unfinished file or it is another piece's turn.
pub async fn append(tx: &Tx, id: Uuid, position: u32, bytes: &[u8]) -> Result<()> {
    if bytes.len() > PIECE_BYTES {
        return Err(Error::internal("a piece of a file is too long"));
    }
    let row = tx
        .query_one_row(
            "UPDATE upload SET size = size + $3, chunks = chunks + 1 \
             WHERE id = $1 AND chunks = $2 AND completed_at IS NULL RETURNING size",
            [
                id.into(),
                signed(position)?.into(),
                i64::try_from(bytes.len()).map_err(Error::internal)?.into(),
            ],
        )
        .await?
        .ok_or_else(unusable)?;
    let size: i64 = row.try_get("", "size")?;
    if u64::try_from(size).map_err(Error::internal)? > FILE_BYTES {
        return Err(Error::invalid(
            "file",
            Code::FileTooLarge,
            "A file may have 100 MB at most.",
        ));
    }
    let body = tx.seal(BODY, piece_id(id, position), bytes).await?;
    tx.run(
        "INSERT INTO upload_chunk (owner_id, upload_id, position, body) VALUES ($1, $2, $3, $4)",
        [
            tx.owner()?.into(),
            id.into(),
            signed(position)?.into(),
            body.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Marks a file as whole; nothing is added to it any more.
///
/// # Errors
/// [`Code::FileUnusable`] when there is no such unfinished file.
pub async fn finish(tx: &Tx, id: Uuid) -> Result<Upload> {
    let row = tx
        .query_one_row(
            "UPDATE upload SET completed_at = $2 WHERE id = $1 AND completed_at IS NULL RETURNING size, chunks",
            [id.into(), tx.now().into()],
        )
        .await?
        .ok_or_else(unusable)?;
    let (size, chunks): (i64, i32) = (row.try_get("", "size")?, row.try_get("", "chunks")?);
    Ok(Upload {
        id,
        size: u64::try_from(size).map_err(Error::internal)?,
        chunks: u32::try_from(chunks).map_err(Error::internal)?,
    })
}

/// Removes a file that no import has taken; one that is not there is no error. Returns whether it was.
///
/// # Errors
/// When the database refuses.
pub async fn abandon(tx: &Tx, id: Uuid) -> Result<bool> {
    let gone = tx
        .run(
            "DELETE FROM upload u WHERE u.id = $1 \
             AND NOT EXISTS (SELECT 1 FROM import i WHERE i.owner_id = u.owner_id AND i.upload_id = u.id)",
            [id.into()],
        )
        .await?;
    Ok(gone > 0)
}

/// The piece at `position`, or nothing where there is none.
///
/// # Errors
/// [`Error::Internal`] when the piece was moved or changed.
pub async fn read_chunk(tx: &Tx, id: Uuid, position: u32) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let row = tx
        .query_one_row(
            "SELECT body FROM upload_chunk WHERE upload_id = $1 AND position = $2",
            [id.into(), signed(position)?.into()],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let body: entity::Ciphertext = row.try_get("", "body")?;
    tx.open(BODY, piece_id(id, position), &body).await.map(Some)
}

/// What a piece is sealed for: an id (UUIDv8, RFC 9562) that follows from its file and its place.
fn piece_id(upload: Uuid, position: u32) -> Uuid {
    let mut named = [0; 20];
    named[..16].copy_from_slice(upload.as_bytes());
    named[16..].copy_from_slice(&position.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha256(&named)[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

fn signed(position: u32) -> Result<i32> {
    i32::try_from(position).map_err(Error::internal)
}

fn unusable() -> Error {
    Error::invalid(
        "file",
        Code::FileUnusable,
        "The file did not arrive whole, or is used already.",
    )
}

/// Removes a file whatever it is used by: the import that read it is over.
pub(crate) async fn discard(tx: &Tx, id: Option<Uuid>) -> Result<()> {
    tx.run("DELETE FROM upload WHERE id = $1", [Value::Uuid(id)])
        .await?;
    Ok(())
}
