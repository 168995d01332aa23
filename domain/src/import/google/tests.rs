//! Rows of every layout, and what becomes of their odder cells.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::import::decode::{Decoder, Encoding, Sniffer};
use crate::import::draft::{DateKind, DraftAddress, DraftAffiliation, Labelled};
use crate::import::table::{Limits, Records};

const OLDER: &str = "Name,Given Name,Additional Name,Family Name,Yomi Name,Given Name Yomi,Family Name Yomi,Name Prefix,\
Name Suffix,Initials,Nickname,Maiden Name,Birthday,Gender,Mileage,Occupation,Notes,Language,Photo,Group Membership,\
E-mail 1 - Type,E-mail 1 - Value,IM 1 - Type,IM 1 - Service,IM 1 - Value,Phone 1 - Type,Phone 1 - Value,\
Address 1 - Type,Address 1 - Formatted,Address 1 - Street,Address 1 - City,Address 1 - Country,Organization 1 - Type,\
Organization 1 - Name,Organization 1 - Yomi Name,Organization 1 - Title,Organization 1 - Department,\
Organization 1 - Job Description,Website 1 - Type,Website 1 - Value";
const CURRENT: &str = "First Name,Middle Name,Last Name,Phonetic First Name,Phonetic Middle Name,Phonetic Last Name,\
Name Prefix,Name Suffix,Nickname,File As,Organization Name,Organization Title,Organization Department,Birthday,Notes,\
Photo,Labels,E-mail 1 - Label,E-mail 1 - Value,E-mail 2 - Label,E-mail 2 - Value,Phone 1 - Label,Phone 1 - Value,\
Address 1 - Label,Address 1 - Formatted,Address 1 - Street,Address 1 - City,Relation 1 - Label,Relation 1 - Value,\
Website 1 - Label,Website 1 - Value,Event 1 - Label,Event 1 - Value,Custom Field 1 - Label,Custom Field 1 - Value";

fn layout(header: &str) -> Layout {
    Layout::from_header(&Record::from_cells(1, header.split(','))).unwrap()
}

/// A row of `header` in which only the named columns are filled.
fn row(header: &str, cells: &[(&str, &str)]) -> Record {
    for (name, _) in cells {
        assert!(header.split(',').any(|column| column == *name), "{name}");
    }
    let value = |column| {
        cells
            .iter()
            .find(|(name, _)| *name == column)
            .map_or("", |(_, value)| value)
    };
    Record::from_cells(2, header.split(',').map(value))
}

fn draft(header: &str, cells: &[(&str, &str)]) -> Draft {
    layout(header).draft(&row(header, cells), Some("DE")).unwrap()
}

fn code(header: &str, cells: &[(&str, &str)]) -> &'static str {
    layout(header)
        .draft(&row(header, cells), None)
        .unwrap_err()
        .code
        .as_str()
}

fn pairs(items: &[Labelled<String>]) -> Vec<(&str, &str)> {
    items
        .iter()
        .map(|item| (item.label.as_deref().unwrap_or(""), &*item.value))
        .collect()
}

fn rest(draft: &Draft) -> Vec<(&str, &str)> {
    draft
        .rest
        .iter()
        .map(|(column, value)| (&**column, &**value))
        .collect()
}

#[test]
fn reads_the_current_layout() {
    let draft = draft(
        CURRENT,
        &[
            ("First Name", " Jo\u{308}rg "),
            ("Last Name", "Müller"),
            ("Phonetic Middle Name", "ka"),
            ("Birthday", " --02-29"),
            ("Organization Name", "Acme ::: Beta"),
            ("Organization Title", "CTO"),
            ("Organization Department", " ::: Lab"),
            ("Labels", "Friends ::: * myContacts ::: * starred ::: friends"),
            ("Notes", "one\r\ntwo, \"three\""),
            ("E-mail 1 - Label", "* Work ::: Home"),
            ("E-mail 1 - Value", "j@Example.org ::: jm@example.net"),
            ("E-mail 2 - Label", "Other"),
            ("E-mail 2 - Value", "J@example.org"),
            ("Phone 1 - Label", "Mobile"),
            ("Phone 1 - Value", "030 23125 101 ::: +1 202-555-0101"),
            ("Address 1 - Label", "* Home"),
            ("Address 1 - Formatted", "Weg 1\nBonn ::: Weg 2"),
            ("Address 1 - City", "Bonn"),
            ("Relation 1 - Label", "Spouse"),
            ("Relation 1 - Value", "Ann"),
            ("Website 1 - Value", "example.org/j"),
            ("Event 1 - Label", "Anniversary"),
            ("Event 1 - Value", "2001-05-06"),
            ("Custom Field 1 - Label", "Shoe size"),
            ("Custom Field 1 - Value", "44"),
            ("Photo", "https://example.org/p.jpg"),
        ],
    );
    assert_eq!(layout(CURRENT).kind(), LayoutKind::Current);
    assert_eq!(
        (draft.name.given.as_deref(), draft.name.family.as_deref()),
        (Some("Jörg"), Some("Müller"))
    );
    assert_eq!(
        pairs(&draft.emails),
        [("Work", "j@example.org"), ("Home", "jm@example.net")]
    );
    let phones: Vec<_> = draft
        .phones
        .iter()
        .map(|p| (p.label.as_deref(), p.e164.as_deref()))
        .collect();
    assert_eq!(
        phones,
        [
            (Some("Mobile"), Some("+493023125101")),
            (Some("Mobile"), Some("+12025550101"))
        ]
    );
    let some = |text: &str| Some(text.to_owned());
    let address = DraftAddress {
        label: some("Home"),
        formatted: some("Weg 1\nBonn"),
        city: some("Bonn"),
        ..DraftAddress::default()
    };
    assert_eq!(
        draft.addresses,
        [
            address,
            DraftAddress {
                label: some("Home"),
                formatted: some("Weg 2"),
                ..DraftAddress::default()
            }
        ]
    );
    assert_eq!(
        draft.affiliations,
        [
            DraftAffiliation {
                company: some("Acme"),
                title: some("CTO"),
                department: None
            },
            DraftAffiliation {
                company: some("Beta"),
                title: None,
                department: some("Lab")
            },
        ]
    );
    assert_eq!(draft.tags, ["Friends", "starred"]);
    assert_eq!(draft.notes.as_deref(), Some("one\ntwo, \"three\""));
    let dates: Vec<_> = draft
        .dates
        .iter()
        .map(|date| (date.kind, date.date.to_string()))
        .collect();
    assert_eq!(
        dates,
        [
            (DateKind::Birthday, "--02-29".to_owned()),
            (DateKind::Anniversary, "2001-05-06".to_owned())
        ]
    );
    assert_eq!(pairs(&draft.links), [("", "https://example.org/j")]);
    assert_eq!(
        rest(&draft),
        [
            ("E-mail 2 - Value", "J@example.org"),
            ("E-mail 2 - Label", "Other"),
            ("Relation: Spouse", "Ann"),
            ("Shoe size", "44"),
            ("Phonetic Middle Name", "ka"),
            ("Photo", "https://example.org/p.jpg"),
        ]
    );
}

#[test]
fn reads_the_older_layout() {
    let draft = draft(
        OLDER,
        &[
            ("Name", "Dr. Ann Lee"),
            ("Given Name", "Ann"),
            ("Family Name", "Lee"),
            ("Name Prefix", "Dr."),
            ("Birthday", "once"),
            ("Gender", "female"),
            ("Mileage", "12"),
            ("Group Membership", "* My Contacts ::: * Family"),
            ("E-mail 1 - Type", "* "),
            ("E-mail 1 - Value", "not an address"),
            ("IM 1 - Type", "Home ::: Work"),
            ("IM 1 - Service", "Jabber ::: "),
            ("IM 1 - Value", "a ::: b"),
            ("Phone 1 - Type", "Work"),
            ("Phone 1 - Value", "ext. 5"),
            ("Organization 1 - Type", "* Work"),
            ("Organization 1 - Name", "Acme"),
            ("Website 1 - Type", "Profile"),
            (
                "Website 1 - Value",
                "http\\://www.example.com/profiles/1 ::: javascript:alert(1)",
            ),
        ],
    );
    assert_eq!(layout(OLDER).kind(), LayoutKind::Older);
    assert_eq!(
        (draft.name.prefix.as_deref(), &draft.name.full),
        (Some("Dr."), &None)
    );
    assert_eq!(
        (draft.tags.as_slice(), draft.phones[0].raw.as_str()),
        (&["Family".to_owned()][..], "ext. 5")
    );
    assert_eq!(
        pairs(&draft.links),
        [("Profile", "http://www.example.com/profiles/1")]
    );
    assert_eq!(
        rest(&draft),
        [
            ("Birthday", "once"),
            ("E-mail 1 - Value", "not an address"),
            ("Website 1 - Value", "javascript:alert(1)"),
            ("Website 1 - Type", "Profile"),
            ("IM: Jabber (Home)", "a"),
            ("IM: Work", "b"),
            ("Gender", "female"),
            ("Mileage", "12"),
            ("Organization 1 - Type", "* Work"),
        ]
    );
}

#[test]
fn a_joined_name_is_kept_when_it_says_more_than_the_parts() {
    let name = |cells: &[(&str, &str)]| draft(OLDER, cells);
    assert_eq!(name(&[("Name", "Ann Lee")]).name.full.as_deref(), Some("Ann Lee"));
    let titled = name(&[("Name", "Dr. Ann Lee"), ("Name Prefix", "Dr.")]);
    assert_eq!(
        titled.name.full.as_deref(),
        Some("Dr. Ann Lee"),
        "a title is no name"
    );
    for full in ["Ann Lee", "Lee, Ann", "LeeAnn"] {
        let draft = name(&[("Name", full), ("Given Name", "Ann"), ("Family Name", "Lee")]);
        assert_eq!((draft.name.full, draft.rest), (None, vec![]), "{full}");
    }
    let draft = name(&[
        ("Name", "Annie Lee"),
        ("Given Name", "Ann"),
        ("Family Name", "Lee"),
    ]);
    assert_eq!(rest(&draft), [("Name", "Annie Lee")]);
}

#[test]
fn rejects_rows_that_name_nobody() {
    assert_eq!(
        code(CURRENT, &[("Labels", "* myContacts"), ("Notes", " \0 ")]),
        "EMPTY_ROW"
    );
    assert_eq!(code(CURRENT, &[("Notes", "who?")]), "NO_IDENTITY");
    assert_eq!(
        code(CURRENT, &[("E-mail 1 - Value", "nobody"), ("Name Prefix", "Dr.")]),
        "NO_IDENTITY"
    );
    for column in ["Last Name", "Nickname", "Organization Name", "Phone 1 - Value"] {
        draft(CURRENT, &[(column, "x")]);
    }
    let layout = layout("First Name,Labels");
    let wide = layout
        .draft(&Record::from_cells(2, ["Ann", "", "", "x"]), None)
        .unwrap_err();
    assert_eq!(wide.code, RejectionCode::RowTooWide);
    assert!(
        layout
            .draft(&Record::from_cells(2, ["Ann", "", "", " "]), None)
            .is_ok()
    );
    assert!(layout.draft(&Record::from_cells(2, ["Ann"]), None).is_ok());
}

#[test]
fn long_texts_move_to_the_rest_whole() {
    let (long, note) = ("é".repeat(201), "x".repeat(60_001));
    let draft = draft(
        CURRENT,
        &[("First Name", &long), ("Last Name", &long[2..]), ("Notes", &note)],
    );
    assert_eq!(
        (draft.name.given.as_deref(), draft.notes.as_deref()),
        (None, None)
    );
    assert_eq!(draft.name.family.as_deref(), Some(&long[2..]));
    assert_eq!(rest(&draft), [("First Name", &*long), ("Notes", &*note)]);
    let many = vec!["x"; 13_000].join(JOINED);
    let draft = self::draft(
        CURRENT,
        &[
            ("Phone 1 - Value", &many),
            ("Labels", &many),
            ("Address 1 - City", &many),
        ],
    );
    assert!(draft.phones.len() <= 100 && draft.addresses.len() <= 100 && draft.rest.len() < 400);
}

const JOINED: &str = " ::: ";

#[test]
fn knows_a_google_header_by_its_names() {
    let header = |text: &str| Layout::from_header(&Record::from_cells(1, text.split(',')));
    let code = |text: &str| header(text).unwrap_err().code();
    assert_eq!(
        header(" LABELS ,first  name").unwrap().kind(),
        LayoutKind::Template
    );
    assert_eq!(code(" ,,"), "NO_HEADER");
    assert_eq!(code("Ann,ann@example.org"), "NO_HEADER");
    assert_eq!(code("Labels,E-mail 1 - Value"), "NOT_GOOGLE");
    assert_eq!(
        code("First Name,Last Name,URL,Email Address,Company,Position,Connected On"),
        "NOT_GOOGLE"
    );
    assert_eq!(
        code("First Name,Last Name,Title,Nickname,E-mail Address,Birthday,Notes"),
        "NOT_GOOGLE"
    );
    let twice = header("First Name,Given Name,,Labels").unwrap();
    let draft = twice
        .draft(&Record::from_cells(2, ["Ann", "Bea", "?"]), None)
        .unwrap();
    assert_eq!(rest(&draft), [("Given Name", "Bea"), ("Column 3", "?")]);
}

#[test]
fn the_order_of_columns_does_not_matter() {
    let mut columns: Vec<_> = CURRENT.split(',').collect();
    let value = |column: &str| match column {
        _ if column.ends_with("1 - Value") => "a@example.org".to_owned(),
        _ => format!("<{column}>"),
    };
    let bytes = |columns: &[&str]| {
        let cells: Vec<_> = columns.iter().map(|column| value(column)).collect();
        let record = Record::from_cells(2, cells.iter().map(String::as_str));
        layout(&columns.join(","))
            .draft(&record, None)
            .unwrap()
            .canonical_bytes()
    };
    let forwards = bytes(&columns);
    columns.reverse();
    assert_eq!(bytes(&columns), forwards);
}

/// All of the way from bytes to drafts.
fn read(bytes: &[u8], size: usize) -> Vec<Result<Draft, Rejection>> {
    let mut sniffer = Sniffer::new();
    bytes.chunks(size).for_each(|piece| sniffer.push(piece));
    let encoding = sniffer.finish().unwrap_or(Encoding::Utf8);
    let (mut decoder, mut records, mut text) = (
        Decoder::new(encoding),
        Records::detecting(Limits::default()),
        String::new(),
    );
    let (mut layout, mut drafts) = (None, Vec::new());
    let mut take = |row: Result<Record, RowError>| match (&layout, row) {
        (None, Ok(header)) => layout = Some(Layout::from_header(&header)),
        (Some(Ok(layout)), Ok(record)) => drafts.push(layout.draft(&record, Some("US"))),
        (Some(Ok(layout)), Err(error)) => drafts.push(Err(layout.rejection(&error))),
        _ => {}
    };
    for piece in bytes.chunks(size) {
        text.clear();
        decoder.push(piece, &mut text);
        records.push(text.as_bytes(), &mut take);
    }
    text.clear();
    decoder.finish(&mut text);
    records.push(text.as_bytes(), &mut take);
    records.finish(&mut take);
    drafts
}

#[test]
fn every_person_of_the_sample_is_read() {
    let sample = include_bytes!("../../../../samples/google-contacts.csv");
    let drafts: Vec<_> = read(sample, 4096).into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(drafts.len(), 200);
    assert!(
        drafts
            .iter()
            .flat_map(|draft| &draft.phones)
            .all(|phone| phone.e164.is_some())
    );
    assert!(
        drafts.iter().any(|draft| draft.emails.len() > 2)
            && drafts.iter().any(|draft| draft.affiliations.len() > 1)
    );
    assert!(
        drafts
            .iter()
            .any(|draft| draft.dates.iter().any(|date| date.date.year().is_none()))
    );
    let utf16: Vec<u8> = String::from_utf8_lossy(sample)
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        read(&utf16, 1001)
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .unwrap(),
        drafts
    );
}

proptest! {
    #[test]
    fn no_word_of_a_row_is_lost(
        older in any::<bool>(),
        cells in prop::collection::vec(prop::option::of(0_usize..4), 45),
    ) {
        let header = if older { OLDER } else { CURRENT };
        let value = |(index, shape): (usize, &Option<usize>)| match shape {
            None => String::new(),
            Some(0) => format!("q{index}x@example.org"),
            Some(1) => format!("* q{index}x ::: q{index}y"),
            Some(2) => format!("q{index}x ::: q{index}y.example ::: q{index}z"),
            Some(_) => format!(" ::: q{index}x ::: "),
        };
        let columns = header.split(',').count();
        let cells: Vec<_> = cells.iter().take(columns).enumerate().map(value).collect();
        let record = Record::from_cells(2, std::iter::once("Ann").chain(cells.iter().skip(1).map(String::as_str)));
        let draft = layout(header).draft(&record, None).unwrap();
        let text = serde_json::to_string(&draft).unwrap();
        for word in cells.iter().skip(1).flat_map(|cell| cell.split(|c: char| !c.is_alphanumeric())) {
            prop_assert!(text.contains(word), "{} in {}", word, text);
        }
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        rows in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "([a-z@+0-9 :*\",\n]|\\PC){0,200}".prop_map(String::into_bytes),
        ],
        older in any::<bool>(),
        size in 1_usize..20,
    ) {
        let header = if older { OLDER } else { CURRENT };
        let bytes = [header.as_bytes(), b"\n", &rows].concat();
        prop_assert_eq!(read(&bytes, size), read(&bytes, bytes.len()));
    }
}
