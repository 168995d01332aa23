//! UTF-8 text to the records of a CSV file (RFC 4180 and its relatives), piece by piece and within limits.
//!
//! Whatever the text is, no more than one row of the permitted size is held: a longer row is read to its end,
//! reported and forgotten, and reading goes on with the next row.

#[cfg(test)]
mod tests;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// A header line is looked for in at most so many bytes when the separator has to be found out.
const HEADER_BYTES: usize = 64 * 1024;

/// How big the rows of a file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one cell, without its quotes.
    pub cell_bytes: usize,
    /// Cells of one row.
    pub cells: usize,
    /// Bytes of all cells of one row; also the memory that is held.
    pub row_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cell_bytes: 64 * 1024,
            cells: 2000,
            row_bytes: 1024 * 1024,
        }
    }
}

/// What stands between two cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// `,`
    Comma,
    /// `;`: Excel in countries that write a decimal comma.
    Semicolon,
    /// A tab.
    Tab,
}

impl Delimiter {
    /// The separator that occurs most in the first line that isn't blank, outside quotes; a comma if none does.
    #[must_use]
    pub fn detect(text: &[u8]) -> Self {
        let (mut quoted, mut started) = (false, false);
        let (mut commas, mut semicolons, mut tabs) = (0_usize, 0_usize, 0_usize);
        for byte in text {
            match byte {
                b'"' => quoted = !quoted,
                b'\r' | b'\n' if started && !quoted => break,
                b',' if !quoted => commas += 1,
                b';' if !quoted => semicolons += 1,
                b'\t' if !quoted => tabs += 1,
                _ => {}
            }
            started |= !matches!(byte, b'\r' | b'\n');
        }
        if commas >= semicolons && commas >= tabs {
            Self::Comma
        } else if semicolons >= tabs {
            Self::Semicolon
        } else {
            Self::Tab
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The number of the line in the file where the row begins, from 1.
    pub line: u64,
    text: String,
    ends: Vec<usize>,
}

impl Record {
    /// A record of these cells; for tests and for sources that aren't CSV.
    #[must_use]
    pub fn from_cells<'a>(line: u64, cells: impl IntoIterator<Item = &'a str>) -> Self {
        let mut record = Self {
            line,
            text: String::new(),
            ends: Vec::new(),
        };
        for cell in cells {
            record.text.push_str(cell);
            record.ends.push(record.text.len());
        }
        record
    }

    /// Cuts `bytes` at `ends`; bytes that aren't UTF-8 become U+FFFD within their own cell.
    fn cut(line: u64, bytes: &[u8], ends: &[usize]) -> Self {
        if let Ok(text) = std::str::from_utf8(bytes)
            && ends.iter().all(|end| text.is_char_boundary(*end))
        {
            return Self {
                line,
                text: text.to_owned(),
                ends: ends.to_vec(),
            };
        }
        let starts = std::iter::once(&0).chain(ends);
        let cells = starts
            .zip(ends)
            .map(|(start, end)| bytes.get(*start..*end).unwrap_or_default());
        let cells: Vec<_> = cells.map(String::from_utf8_lossy).collect();
        Self::from_cells(line, cells.iter().map(AsRef::as_ref))
    }

    /// The number of cells.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no cell at all; a row that was read has at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A cell by its index from 0; empty for a cell that a short row leaves out.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        let start = index
            .checked_sub(1)
            .map_or(Some(0), |before| self.ends.get(before).copied());
        let range = start.zip(self.ends.get(index).copied());
        range
            .and_then(|(start, end)| self.text.get(start..end))
            .unwrap_or_default()
    }

    /// The cells in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// What is wrong with a row that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowErrorKind {
    /// A cell is longer than [`Limits::cell_bytes`]; `column` counts from 0.
    CellTooLong {
        /// The index of the cell.
        column: usize,
    },
    /// There are more cells than [`Limits::cells`].
    TooManyCells,
    /// The row is longer than [`Limits::row_bytes`].
    RowTooLong,
    /// The file ends inside a quoted cell.
    UnclosedQuote,
}

/// A row that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowError {
    /// The number of the line in the file where the row begins, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub kind: RowErrorKind,
}

/// Reads rows from text that arrives in pieces.
pub struct Records {
    /// Not there while the header line is awaited, which decides on the separator.
    reader: Option<Reader>,
    head: Vec<u8>,
    limits: Limits,
    row: Row,
    line: u64,
    after_cr: bool,
}

/// The row that is being read.
struct Row {
    /// The line where it begins; nothing between two rows.
    line: Option<u64>,
    bytes: Vec<u8>,
    used: usize,
    ends: Vec<usize>,
    cells: usize,
    /// Set once the row is over a limit: the rest of it is read and dropped.
    failed: Option<RowErrorKind>,
}

impl Records {
    /// Reads text with a known separator.
    #[must_use]
    pub fn new(delimiter: Delimiter, limits: Limits) -> Self {
        let mut records = Self::detecting(limits);
        records.reader = Some(reader(delimiter));
        records
    }

    /// Reads text whose separator is found out from its first line.
    #[must_use]
    pub fn detecting(limits: Limits) -> Self {
        let row = Row {
            line: None,
            bytes: vec![0; 256],
            used: 0,
            ends: vec![0; 64],
            cells: 0,
            failed: None,
        };
        Self {
            reader: None,
            head: Vec::new(),
            limits,
            row,
            line: 1,
            after_cr: false,
        }
    }

    /// Takes the next piece of text and gives the rows that end in it.
    pub fn push(&mut self, text: &[u8], out: &mut impl FnMut(Result<Record, RowError>)) {
        if self.reader.is_some() {
            return self.feed(text, out);
        }
        self.head.extend_from_slice(text);
        if self.head.len() >= HEADER_BYTES || has_line(&self.head) {
            self.start(out);
        }
    }

    /// Gives the last row; a row that the file ends in the middle of a quoted cell of is an error.
    pub fn finish(mut self, out: &mut impl FnMut(Result<Record, RowError>)) {
        self.start(out);
        // A line break ends every row but one that is inside quotes; csv-core itself would not tell.
        self.feed(b"\n", out);
        if let Some(line) = self.row.line {
            out(Err(RowError {
                line,
                kind: RowErrorKind::UnclosedQuote,
            }));
        }
    }

    fn start(&mut self, out: &mut impl FnMut(Result<Record, RowError>)) {
        let head = std::mem::take(&mut self.head);
        // Only so much is looked at, that the pieces the text arrives in make no difference.
        let first = head.get(..HEADER_BYTES).unwrap_or(&head);
        self.reader
            .get_or_insert_with(|| reader(Delimiter::detect(first)));
        self.feed(&head, out);
    }

    fn feed(&mut self, mut text: &[u8], out: &mut impl FnMut(Result<Record, RowError>)) {
        // To csv-core, empty input is the end of the file.
        while !text.is_empty() {
            if self.row.line.is_none() {
                let blank = text
                    .iter()
                    .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                    .count();
                text = self.advance(text, blank);
                if text.is_empty() {
                    return;
                }
                self.row.line = Some(self.line);
            }
            let Some(reader) = &mut self.reader else { return };
            let bytes = self.row.bytes.get_mut(self.row.used..).unwrap_or_default();
            let ends = self.row.ends.get_mut(self.row.cells..).unwrap_or_default();
            let (result, read, written, ended) = reader.read_record(text, bytes, ends);
            self.row.used += written;
            self.row.cells += ended;
            text = self.advance(text, read);
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
                ReadRecordResult::OutputFull => self.row.grow_bytes(&self.limits),
                ReadRecordResult::OutputEndsFull => self.row.grow_cells(&self.limits),
                ReadRecordResult::Record => out(self.row.end(&self.limits)),
            }
        }
    }

    /// Counts the lines of what was read and gives the rest.
    fn advance<'a>(&mut self, text: &'a [u8], read: usize) -> &'a [u8] {
        let (before, after) = text.split_at_checked(read).unwrap_or((text, &[]));
        for byte in before {
            self.line += u64::from(*byte == b'\r' || (*byte == b'\n' && !self.after_cr));
            self.after_cr = *byte == b'\r';
        }
        after
    }
}

impl Row {
    fn grow_bytes(&mut self, limits: &Limits) {
        // One byte over the limit has to fit, for a row that just keeps to it.
        let most = limits.row_bytes.saturating_add(1);
        if self.failed.is_none() && self.used < most {
            self.bytes.resize(self.bytes.len().saturating_mul(2).min(most), 0);
        } else {
            let kind = self.long_cell(limits).unwrap_or(RowErrorKind::RowTooLong);
            self.failed.get_or_insert(kind);
            self.used = 0;
        }
    }

    fn grow_cells(&mut self, limits: &Limits) {
        let most = limits.cells.saturating_add(1);
        if self.failed.is_none() && self.cells < most {
            self.ends.resize(self.ends.len().saturating_mul(2).min(most), 0);
        } else {
            self.failed.get_or_insert(RowErrorKind::TooManyCells);
            self.cells = 0;
        }
    }

    fn long_cell(&self, limits: &Limits) -> Option<RowErrorKind> {
        let ends = self.ends.get(..self.cells).unwrap_or_default();
        let starts = std::iter::once(&0).chain(ends);
        let ends = ends.iter().chain(std::iter::once(&self.used));
        let column = starts
            .zip(ends)
            .position(|(start, end)| end.saturating_sub(*start) > limits.cell_bytes)?;
        Some(RowErrorKind::CellTooLong { column })
    }

    fn end(&mut self, limits: &Limits) -> Result<Record, RowError> {
        let line = self.line.take().unwrap_or_default();
        let kind = match self.failed.take() {
            Some(kind) => Some(kind),
            None if self.cells > limits.cells => Some(RowErrorKind::TooManyCells),
            None => {
                let long = self.long_cell(limits);
                long.or((self.used > limits.row_bytes).then_some(RowErrorKind::RowTooLong))
            }
        };
        let (used, cells) = (std::mem::take(&mut self.used), std::mem::take(&mut self.cells));
        if let Some(kind) = kind {
            return Err(RowError { line, kind });
        }
        let bytes = self.bytes.get(..used).unwrap_or_default();
        Ok(Record::cut(
            line,
            bytes,
            self.ends.get(..cells).unwrap_or_default(),
        ))
    }
}

fn reader(delimiter: Delimiter) -> Reader {
    let mut reader = ReaderBuilder::new().delimiter(delimiter.byte()).build();
    // csv-core drops a byte order mark if all of it comes with its first input. The decoder has done that; a
    // blank line first turns it off, since it would make the result depend on how the text was cut.
    reader.read_record(b"\n", &mut [0], &mut [0]);
    reader
}

/// Whether a line that isn't blank has ended.
fn has_line(head: &[u8]) -> bool {
    let (mut quoted, mut started) = (false, false);
    for byte in head {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if started && !quoted => return true,
            _ => {}
        }
        started |= !matches!(byte, b'\r' | b'\n');
    }
    false
}
