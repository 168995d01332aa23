//! Quotes, line breaks, limits, and text cut into pieces anywhere.

use proptest::prelude::*;

use super::*;

fn rows(text: &[u8], size: usize, limits: Limits) -> Vec<Result<Record, RowError>> {
    let (mut rows, mut records) = (Vec::new(), Records::detecting(limits));
    for piece in text.chunks(size) {
        records.push(piece, &mut |row| rows.push(row));
        assert!(records.row.bytes.len() <= limits.row_bytes.max(256) + 1);
        assert!(records.row.ends.len() <= limits.cells.max(64) + 1);
    }
    records.finish(&mut |row| rows.push(row));
    rows
}

fn shown(text: &str) -> Vec<String> {
    let show = |row: Result<Record, RowError>| match row {
        Ok(row) => format!("{}:{}", row.line, row.iter().collect::<Vec<_>>().join("|")),
        Err(error) => format!("{}!{:?}", error.line, error.kind),
    };
    rows(
        text.as_bytes(),
        3,
        Limits {
            cell_bytes: 20,
            cells: 5,
            row_bytes: 40,
        },
    )
    .into_iter()
    .map(show)
    .collect()
}

#[test]
fn reads_quotes_and_every_line_break_and_counts_lines() {
    assert_eq!(
        shown("a,b\r\n\"x\r\ny\",\"say \"\"hi\"\"\"\r\n\r\n1,2"),
        ["1:a|b", "2:x\r\ny|say \"hi\"", "5:1|2"]
    );
    assert_eq!(shown("\n\na;b\r1;2,5\r"), ["3:a|b", "4:1|2,5"]);
    assert_eq!(shown("\"a,b\"\tc\n1\t\n"), ["1:a,b|c", "2:1|"]);
    assert_eq!(shown("a\r\nb"), ["1:a", "2:b"]);
    assert_eq!(shown(""), [""; 0]);
}

#[test]
fn a_row_over_a_limit_is_an_error_and_the_next_row_is_read() {
    let (cell, row) = (
        "x".repeat(100),
        ["y".repeat(15), "y".repeat(15), "y".repeat(15)].join(","),
    );
    let text = format!(
        "a,b\n1,{cell}\nok,1\n\"{cell}\n{cell}\",2\nok,2\n{row}\n1,2,3,4,5,6,7,8\n1,{}\nok,3\n",
        &cell[..21]
    );
    assert_eq!(
        shown(&text),
        [
            "1:a|b",
            "2!CellTooLong { column: 1 }",
            "3:ok|1",
            "4!CellTooLong { column: 0 }",
            "6:ok|2",
            "7!RowTooLong",
            "8!TooManyCells",
            "9!CellTooLong { column: 1 }",
            "10:ok|3",
        ]
    );
}

#[test]
fn an_unclosed_quote_is_an_error_at_the_line_where_its_row_begins() {
    assert_eq!(
        shown("a,b\n1,2\n3,\"4\n5,6\n"),
        ["1:a|b", "2:1|2", "3!UnclosedQuote"]
    );
    assert_eq!(
        shown(&format!("a,b\n\"{}", "x\n".repeat(500))),
        ["1:a|b", "2!UnclosedQuote"]
    );
    assert_eq!(shown("a,b\n1,\"2\""), ["1:a|b", "2:1|2"]);
}

#[test]
fn bytes_that_are_no_text_stay_in_their_cell() {
    let rows = rows(b"a\xc3,\xa4b\n", 1, Limits::default());
    assert_eq!(rows, [Ok(Record::from_cells(1, ["a\u{fffd}", "\u{fffd}b"]))]);
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "[ab\",;\t\r\n]{0,120}".prop_map(String::into_bytes),
            "\u{feff}?[ab\",\n]{0,20}".prop_map(String::into_bytes),
        ],
        size in 1_usize..8,
        limits in (1_usize..20, 1_usize..6, 1_usize..40)
            .prop_map(|(cell_bytes, cells, row_bytes)| Limits { cell_bytes, cells, row_bytes }),
    ) {
        let whole = rows(&text, text.len().max(1), limits);
        let bytes: usize = whole.iter().flatten().map(|row| row.text.len()).sum();
        prop_assert!(bytes <= text.len() * 3);
        prop_assert_eq!(rows(&text, size, limits), whole);
    }
}
