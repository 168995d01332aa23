//! Bytes of an uploaded file to UTF-8 text, piece by piece.
//!
//! The file is read twice: a [`Sniffer`] sees all of it once and decides on the encoding, then a [`Decoder`]
//! turns it into text. Neither holds more than 64 KiB and the piece it is given.

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};
use thiserror::Error;

/// As much of the start of the file is looked at to see whether it is text at all.
const HEAD: usize = 64 * 1024;

/// What the bytes of a file mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// UTF-16, little end first: Outlook's "Unicode".
    Utf16Le,
    /// UTF-16, big end first.
    Utf16Be,
    /// Windows-1252, as the WHATWG Encoding Standard defines it.
    Windows1252,
}

/// Why a file can't be read as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SniffError {
    /// No bytes, or nothing but a byte order mark.
    #[error("the file is empty")]
    EmptyFile,
    /// Too many control characters: an archive, picture or spreadsheet.
    #[error("the file is not a text file; choose the CSV file itself, not an archive or a spreadsheet")]
    NotText,
}

impl SniffError {
    /// The stable code that clients rely on.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::EmptyFile => "EMPTY_FILE",
            Self::NotText => "NOT_TEXT",
        }
    }
}

/// Decides on the encoding of a file in a first pass over its bytes.
#[derive(Debug, Default)]
pub struct Sniffer {
    head: Vec<u8>,
    pending: Vec<u8>,
    sound: u64,
    broken: u64,
}

impl Sniffer {
    /// A sniffer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
        let (sound, broken) = (&mut self.sound, &mut self.broken);
        walk_utf8(&mut self.pending, bytes, |piece| match piece {
            // A lead byte begins each character outside ASCII.
            Piece::Sound(text) => *sound += text.bytes().filter(|byte| *byte >= 0xc0).count() as u64,
            Piece::Broken(_) => *broken += 1,
        });
    }

    /// The verdict, once the whole file has been pushed.
    ///
    /// A single broken byte after 90 MB of UTF-8 must not garble every name in the file, so the characters are
    /// weighed: windows-1252 is chosen when there are more broken sequences than sound ones. Accented
    /// windows-1252 text is next to never sound UTF-8 by chance.
    pub fn finish(self) -> Result<Encoding, SniffError> {
        let bare = [b"\xef\xbb\xbf".as_slice(), b"\xff\xfe", b"\xfe\xff"];
        if self.head.is_empty() || bare.contains(&self.head.as_slice()) {
            return Err(SniffError::EmptyFile);
        }
        let broken = self.broken + u64::from(!self.pending.is_empty());
        let encoding = match self.head.as_slice() {
            [0xef, 0xbb, 0xbf, ..] => Encoding::Utf8,
            [0xff, 0xfe, ..] => Encoding::Utf16Le,
            [0xfe, 0xff, ..] => Encoding::Utf16Be,
            head => match utf16_by_nul(head) {
                Some(encoding) => encoding,
                None if broken > self.sound => Encoding::Windows1252,
                None => Encoding::Utf8,
            },
        };
        let mut text = String::new();
        Decoder::new(encoding).push(&self.head, &mut text);
        if is_text(&text) {
            Ok(encoding)
        } else {
            Err(SniffError::NotText)
        }
    }
}

/// UTF-16 without a byte order mark: the header and the separators of a CSV file are ASCII, and half of each
/// ASCII character is a NUL, always on the same side.
fn utf16_by_nul(head: &[u8]) -> Option<Encoding> {
    let (mut even, mut odd, mut pairs) = (0_usize, 0_usize, 0_usize);
    for pair in head.chunks_exact(2) {
        even += usize::from(pair.first() == Some(&0));
        odd += usize::from(pair.last() == Some(&0));
        pairs += 1;
    }
    let many = |count: usize| count * 5 > pairs;
    let few = |count: usize| count * 50 <= pairs;
    match (even, odd) {
        _ if many(odd) && few(even) => Some(Encoding::Utf16Le),
        _ if many(even) && few(odd) => Some(Encoding::Utf16Be),
        _ => None,
    }
}

/// A stray control character is cleaned away later; more than one in fifty means that this isn't text.
fn is_text(head: &str) -> bool {
    let (mut odd, mut all) = (0_usize, 0_usize);
    for c in head.chars() {
        all += 1;
        odd += usize::from(
            matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{fffd}'),
        );
    }
    odd <= 4 || odd * 50 <= all
}

/// Turns bytes of a known encoding into text; how the bytes are cut into pieces makes no difference.
///
/// A byte order mark is dropped. What is broken in UTF-8 is read as windows-1252, since such files are made by
/// joining files of both encodings; what is broken in UTF-16 becomes U+FFFD.
pub struct Decoder {
    inner: Inner,
    repaired: u64,
}

enum Inner {
    Utf8 { pending: Vec<u8>, started: bool },
    Other(Box<encoding_rs::Decoder>),
}

impl Decoder {
    /// A decoder at the start of a file.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        let other = |encoding: &'static encoding_rs::Encoding| {
            Inner::Other(Box::new(encoding.new_decoder_with_bom_removal()))
        };
        let inner = match encoding {
            Encoding::Utf8 => Inner::Utf8 {
                pending: Vec::new(),
                started: false,
            },
            Encoding::Utf16Le => other(UTF_16LE),
            Encoding::Utf16Be => other(UTF_16BE),
            Encoding::Windows1252 => other(WINDOWS_1252),
        };
        Self { inner, repaired: 0 }
    }

    /// Appends the text of the next bytes to `out`; up to three bytes are kept back for the next call.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        let repaired = &mut self.repaired;
        match &mut self.inner {
            Inner::Utf8 { pending, started } => walk_utf8(pending, bytes, |piece| match piece {
                Piece::Sound(text) => {
                    let mark = if *started {
                        None
                    } else {
                        text.strip_prefix('\u{feff}')
                    };
                    *started = true;
                    out.push_str(mark.unwrap_or(text));
                }
                Piece::Broken(bytes) => {
                    *started = true;
                    *repaired += bytes.len() as u64;
                    out.push_str(&WINDOWS_1252.decode_without_bom_handling(bytes).0);
                }
            }),
            Inner::Other(decoder) => *repaired += u64::from(decode(decoder, bytes, false, out)),
        }
    }

    /// Ends the text and says how many broken bytes had to be read as something else.
    pub fn finish(mut self, out: &mut String) -> u64 {
        match &mut self.inner {
            Inner::Utf8 { pending, .. } => {
                self.repaired += pending.len() as u64;
                out.push_str(&WINDOWS_1252.decode_without_bom_handling(pending).0);
            }
            Inner::Other(decoder) => self.repaired += u64::from(decode(decoder, &[], true, out)),
        }
        self.repaired
    }
}

/// Whether anything was broken.
fn decode(decoder: &mut encoding_rs::Decoder, mut bytes: &[u8], last: bool, out: &mut String) -> bool {
    let mut broken = false;
    loop {
        // Room for all of a usual piece; a bigger one takes several rounds.
        out.reserve(
            decoder
                .max_utf8_buffer_length(bytes.len())
                .unwrap_or(HEAD)
                .clamp(16, HEAD * 4),
        );
        let (result, read, errors) = decoder.decode_to_string(bytes, out, last);
        broken |= errors;
        bytes = bytes.get(read..).unwrap_or_default();
        if result == encoding_rs::CoderResult::InputEmpty {
            return broken;
        }
    }
}

enum Piece<'a> {
    Sound(&'a str),
    /// A sequence that is no UTF-8, whatever follows.
    Broken(&'a [u8]),
}

/// Cuts bytes into sound and broken pieces; an unfinished character at the end waits in `pending`.
fn walk_utf8(pending: &mut Vec<u8>, bytes: &[u8], mut visit: impl FnMut(Piece<'_>)) {
    let joined;
    let mut rest = bytes;
    if !pending.is_empty() {
        pending.extend_from_slice(bytes);
        joined = std::mem::take(pending);
        rest = &joined;
    }
    while !rest.is_empty() {
        let (sound, after, broken) = match std::str::from_utf8(rest) {
            Ok(text) => return visit(Piece::Sound(text)),
            Err(error) => {
                let (sound, after) = rest.split_at(error.valid_up_to());
                (sound, after, error.error_len())
            }
        };
        if let Ok(text) = std::str::from_utf8(sound)
            && !text.is_empty()
        {
            visit(Piece::Sound(text));
        }
        let Some(broken) = broken else {
            pending.extend_from_slice(after);
            return;
        };
        let (broken, after) = after.split_at(broken);
        visit(Piece::Broken(broken));
        rest = after;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Encoding; 4] = [
        Encoding::Utf8,
        Encoding::Utf16Le,
        Encoding::Utf16Be,
        Encoding::Windows1252,
    ];

    fn sniff(bytes: &[u8]) -> Result<Encoding, SniffError> {
        let mut sniffer = Sniffer::new();
        bytes.chunks(7).for_each(|chunk| sniffer.push(chunk));
        sniffer.finish()
    }

    fn text(bytes: &[u8]) -> (Encoding, String) {
        let encoding = sniff(bytes).unwrap();
        let mut out = String::new();
        let mut decoder = Decoder::new(encoding);
        bytes.chunks(5).for_each(|chunk| decoder.push(chunk, &mut out));
        decoder.finish(&mut out);
        (encoding, out)
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn reads_the_encodings_that_files_arrive_in() {
        let want = "First Name,Last Name\r\nJörg,Müller\r\n山田,太郎\r\n";
        assert_eq!(text(want.as_bytes()), (Encoding::Utf8, want.to_owned()));
        let marked = format!("\u{feff}{want}");
        assert_eq!(text(marked.as_bytes()), (Encoding::Utf8, want.to_owned()));
        for source in [want, &marked] {
            let (le, be) = (utf16(source, u16::to_le_bytes), utf16(source, u16::to_be_bytes));
            assert_eq!(text(&le), (Encoding::Utf16Le, want.to_owned()));
            assert_eq!(text(&be), (Encoding::Utf16Be, want.to_owned()));
        }
        let old = text(b"Name\nJ\xf6rg M\xfcller \x80\n");
        assert_eq!(old, (Encoding::Windows1252, "Name\nJörg Müller €\n".to_owned()));
    }

    #[test]
    fn one_broken_byte_does_not_garble_the_file() {
        let bytes = [&"Jörg Müller\n".repeat(100).into_bytes()[..], b"Ren\xe9e\nZo\xc3"].concat();
        let (encoding, out) = text(&bytes);
        assert_eq!(encoding, Encoding::Utf8);
        assert!(
            out.starts_with("Jörg Müller\n") && out.ends_with("Renée\nZoÃ"),
            "{out}"
        );
    }

    #[test]
    fn refuses_what_is_no_text() {
        assert_eq!(sniff(b""), Err(SniffError::EmptyFile));
        assert_eq!(sniff(b"\xef\xbb\xbf"), Err(SniffError::EmptyFile));
        assert_eq!(
            sniff(b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00\x21\x00\x01\x02"),
            Err(SniffError::NotText)
        );
        assert_eq!(
            sniff(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01"),
            Err(SniffError::NotText)
        );
        assert_eq!(sniff(b"First Name\nAn\0n\n"), Ok(Encoding::Utf8));
    }

    fn in_pieces(encoding: Encoding, bytes: &[u8], size: usize) -> String {
        let (mut out, mut decoder) = (String::new(), Decoder::new(encoding));
        bytes.chunks(size).for_each(|chunk| decoder.push(chunk, &mut out));
        decoder.finish(&mut out);
        out
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), "\\PC{0,60}".prop_map(String::into_bytes)],
            size in 1_usize..9,
            mark in prop::sample::select(vec![&b""[..], b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"]),
        ) {
            let bytes = [mark, &bytes].concat();
            for encoding in ALL {
                let whole = in_pieces(encoding, &bytes, bytes.len().max(1));
                prop_assert!(whole.len() <= bytes.len() * 3 + 3);
                prop_assert_eq!(in_pieces(encoding, &bytes, size), whole);
            }
            let mut sniffer = Sniffer::new();
            sniffer.push(&bytes);
            prop_assert_eq!(sniff(&bytes), sniffer.finish());
        }
    }
}
