//! Bounds a document's text before the parser sees it, whose own recursion has no bound.

use super::{LimitError, Limits, bound};

/// Bounds the text in one pass, before it is parsed.
///
/// It must see strings and comments end where the parser sees them end, or brackets could hide from it. A block
/// string without an end is refused here, because the parser then tries to read it as an empty string and more.
pub(crate) fn scan(text: &str, limits: &Limits) -> Result<(), LimitError> {
    bound("bytes", text.len() as u64, limits.bytes)?;
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut open) = (0, 0_u64, 0_u64);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let length = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += rest
                    .iter()
                    .position(|byte| matches!(byte, b'\r' | b'\n'))
                    .unwrap_or(rest.len());
                continue;
            }
            b'"' => string_length(rest)?,
            b'{' | b'[' | b'(' => {
                open += 1;
                bound("open brackets", open, limits.brackets)?;
                1
            }
            b'}' | b']' | b')' => {
                open = open.saturating_sub(1);
                1
            }
            _ if is_word(byte) => rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len()),
            _ => 1,
        };
        at += length;
        tokens += 1;
        bound("tokens", tokens, limits.tokens)?;
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The length of the string that the bytes start with, quotes included.
fn string_length(bytes: &[u8]) -> Result<usize, LimitError> {
    let block = bytes.starts_with(br#"""""#);
    let mut at = if block { 3 } else { 1 };
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        at += match (block, rest) {
            (true, [b'\\', b'"', b'"', b'"', ..]) => 4,
            (true, [b'"', b'"', b'"', ..]) => return Ok(at + 3),
            (false, [b'\\', _, ..]) => 2,
            (false, [b'"', ..]) => return Ok(at + 1),
            (false, [b'\r' | b'\n', ..]) => return Err(LimitError::Unterminated),
            _ => 1,
        };
    }
    Err(LimitError::Unterminated)
}
