//! An uploaded file as a stream of rows, read piece by piece, each in a short transaction of its own.

use std::collections::VecDeque;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::decode::{Decoder, Encoding, SniffError, Sniffer};
use super::table::{Limits, Record, Records, RowError};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::upload;
use crate::viewer::Viewer;

/// So many bytes are cut into rows at once, which bounds how many wait.
const STEP: usize = 16 * 1024;

/// The pieces of a file.
pub(super) struct Pieces<'a> {
    pub(super) db: &'a Db,
    pub(super) viewer: &'a Viewer,
    pub(super) upload: Uuid,
    pub(super) count: u32,
}

impl Pieces<'_> {
    /// [`Error::NotFound`] when the file has gone.
    async fn read(&self, position: u32) -> Result<Zeroizing<Vec<u8>>> {
        let tx = self.db.read(self.viewer).await?;
        let piece = upload::read_chunk(&tx, self.upload, position).await?;
        tx.commit().await?;
        piece.ok_or(Error::NotFound)
    }

    /// Reads the whole file once, to see what its bytes mean.
    pub(super) async fn sniff(&self) -> Result<Result<Encoding, SniffError>> {
        let mut sniffer = Sniffer::new();
        for position in 0..self.count {
            sniffer.push(&self.read(position).await?);
        }
        Ok(sniffer.finish())
    }
}

/// The rows of a file, the header among them.
pub(super) struct Rows<'a> {
    pieces: Pieces<'a>,
    position: u32,
    piece: Zeroizing<Vec<u8>>,
    used: usize,
    bytes: u64,
    text: String,
    /// Gone once the end has been read.
    reading: Option<(Decoder, Records)>,
    ready: VecDeque<Result<Record, RowError>>,
}

impl<'a> Rows<'a> {
    /// The rows from the beginning.
    pub(super) fn new(pieces: Pieces<'a>, encoding: Encoding) -> Self {
        Self {
            pieces,
            position: 0,
            piece: Zeroizing::default(),
            used: 0,
            bytes: 0,
            text: String::new(),
            reading: Some((Decoder::new(encoding), Records::detecting(Limits::default()))),
            ready: VecDeque::new(),
        }
    }

    /// Bytes read so far; the rows that have come end not far before.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next row, or nothing at the end of the file.
    pub(super) async fn next(&mut self) -> Result<Option<Result<Record, RowError>>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            if self.used == self.piece.len() && self.position < self.pieces.count {
                self.piece = self.pieces.read(self.position).await?;
                self.position += 1;
                self.used = 0;
            }
            if !self.step() {
                return Ok(None);
            }
        }
    }

    /// Cuts a little more of the file into rows; false when there is no more.
    fn step(&mut self) -> bool {
        let Some((decoder, records)) = &mut self.reading else {
            return false;
        };
        let rest = self.piece.get(self.used..).unwrap_or_default();
        let bytes = rest.get(..STEP).unwrap_or(rest);
        self.used += bytes.len();
        self.bytes += bytes.len() as u64;
        self.text.clear();
        let ready = &mut self.ready;
        if !bytes.is_empty() {
            decoder.push(bytes, &mut self.text);
            records.push(self.text.as_bytes(), &mut |row| ready.push_back(row));
        } else if self.position >= self.pieces.count
            && let Some((decoder, mut records)) = self.reading.take()
        {
            decoder.finish(&mut self.text);
            records.push(self.text.as_bytes(), &mut |row| ready.push_back(row));
            records.finish(&mut |row| ready.push_back(row));
        }
        true
    }
}
