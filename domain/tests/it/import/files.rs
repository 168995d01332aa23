//! Whole files: layouts, encodings, sizes, and what is no contact file at all.

use domain::import::sample::google_csv;
use domain::import::{ImportState, RowOutcome};

use super::{World, counts};

const SAMPLE: &[u8] = include_bytes!("../../../../samples/google-contacts.csv");

#[tokio::test]
async fn the_sample_file_is_imported_once_however_often_it_comes() {
    let world = World::new().await;
    let first = world.import("google-contacts.csv", SAMPLE).await;
    assert_eq!(first.state, ImportState::Completed);
    assert_eq!(counts(&first), [200, 0, 0, 0]);
    assert_eq!(
        (first.bytes_done, first.bytes_total),
        (SAMPLE.len() as u64, SAMPLE.len() as u64)
    );
    assert!(first.started_at.is_some() && first.finished_at.is_some());
    assert_eq!(world.number("SELECT count(*) FROM upload").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM upload_chunk").await, 0);
    let journal = "SELECT count(*) FROM journal";
    let (contacts, written) = (
        world.number("SELECT count(*) FROM contact").await,
        world.number(journal).await,
    );
    assert_eq!(contacts, 200);

    let second = world.import("the same again.csv", SAMPLE).await;
    assert_eq!(counts(&second), [0, 0, 200, 0]);
    assert_eq!(world.number(journal).await, written);
    let rows = world.rows(second.id).await;
    assert!(rows.iter().all(|row| row.outcome == RowOutcome::Skipped
        && row.code.as_deref() == Some("ALREADY_IMPORTED")
        && row.contact_id.is_some()));
}

#[tokio::test]
async fn the_sample_file_is_what_its_generator_makes() {
    assert!(google_csv(200, 1).collect::<Vec<_>>().concat() == SAMPLE);
}

#[tokio::test]
async fn the_three_layouts_are_read() {
    let world = World::new().await;
    let older = "Name,Given Name,Family Name,Group Membership,E-mail 1 - Type,E-mail 1 - Value\n\
                 Ann Old,Ann,Old,* myContacts ::: Friends,* ,ann@example.org\n";
    let current = "First Name,Last Name,Photo,Labels,E-mail 1 - Label,E-mail 1 - Value\n\
                   Bo,New,,Friends ::: * starred,* Work,bo@example.org\n";
    let template = "Name Prefix,First Name,Last Name,E-mail 1 - Label,E-mail 1 - Value,Labels\n\
                    Dr.,Cy,Blank,,cy@example.org,friends\n";
    for file in [older, current, template] {
        assert_eq!(counts(&world.import("contacts.csv", file).await), [1, 0, 0, 0]);
    }
    let names = world
        .texts("SELECT display_name FROM contact ORDER BY sort_name")
        .await;
    assert_eq!(names, ["Cy Blank", "Bo New", "Ann Old"]);
    assert_eq!(world.texts("SELECT name FROM tag").await, ["Friends"]);
    assert_eq!(world.number("SELECT count(*) FROM contact_tag").await, 3);
    let starred = world
        .texts("SELECT display_name FROM contact WHERE starred")
        .await;
    assert_eq!(starred, ["Bo New"]);
}

#[tokio::test]
async fn the_encodings_are_read() {
    let world = World::new().await;
    let file = |name: &str| format!("First Name,Last Name,Labels\r\n{name},Müßig,Über\r\n");
    let utf16: Vec<u8> = format!("\u{feff}{}", file("Jörg"))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let western: Vec<u8> = file("Käthe").chars().map(|c| u8::try_from(c).unwrap()).collect();
    for bytes in [utf16, western, format!("\u{feff}{}", file("Götz")).into_bytes()] {
        assert_eq!(counts(&world.import("contacts.csv", bytes).await), [1, 0, 0, 0]);
    }
    let names = world.texts("SELECT display_name FROM contact ORDER BY id").await;
    assert_eq!(names, ["Jörg Müßig", "Käthe Müßig", "Götz Müßig"]);
    assert_eq!(world.texts("SELECT name FROM tag").await, ["Über"]);
}

#[tokio::test]
async fn what_is_no_contact_file_fails_with_a_reason() {
    let world = World::new().await;
    // SplitMix64 once more: the bytes are random, and the same each time.
    let noise: Vec<u8> = (0_u64..20_000)
        .map(|n| {
            (n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xbf58_476d_1ce4_e5b9))
                >> 32
        })
        .flat_map(u64::to_le_bytes)
        .collect();
    let cell = [b"First Name,Labels\n\"".as_slice(), &vec![b'x'; 300_000]].concat();
    let cases: [(&str, &[u8]); 9] = [
        ("EMPTY_FILE", b""),
        ("EMPTY_FILE", b"\xef\xbb\xbf"),
        ("NO_HEADER", b"\r\n\n\n"),
        ("NO_HEADER", b"ann@example.org,Ann\nbo@example.org,Bo\n"),
        ("NOT_TEXT", &noise),
        (
            "NOT_TEXT",
            b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00\x21\x00\x01\x02",
        ),
        (
            "NOT_GOOGLE",
            b"First Name,Company,E-mail Address\nAnn,Acme,ann@example.org\n",
        ),
        ("NO_ROWS", b"First Name,Labels\n"),
        ("", &cell),
    ];
    for (code, bytes) in cases {
        let import = world.import("contacts.csv", bytes).await;
        if code.is_empty() {
            assert_eq!(
                (import.state, counts(&import)),
                (ImportState::Completed, [0, 0, 0, 1])
            );
            continue;
        }
        assert_eq!(
            (import.state, import.error_code.as_deref()),
            (ImportState::Failed, Some(code))
        );
        assert_eq!(counts(&import), [0, 0, 0, 0]);
        assert!(import.finished_at.is_some());
    }
    assert_eq!(world.number("SELECT count(*) FROM contact").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM upload").await, 0);
}

#[tokio::test]
async fn ten_megabytes_in_one_cell_cost_one_row() {
    let world = World::new().await;
    let big = "x".repeat(10_000_000);
    let file = format!("First Name,Labels,Notes\nAnn,,\nBo,,\"{big}\"\nCy,,short\n");
    let id = world
        .start(
            "contacts.csv",
            file.as_bytes().chunks(200_000).map(<[u8]>::to_vec),
        )
        .await;
    domain::import::run::run(&world.db, &world.ada, id).await.unwrap();
    assert_eq!(counts(&world.get(id).await), [2, 0, 0, 1]);
    assert_eq!(
        world.outcomes(id).await,
        "1 @2 created - - Ann\n2 @3 rejected CELL_TOO_LONG Notes -\n3 @4 created - - Cy\n"
    );
}

#[tokio::test]
async fn a_nasty_file_has_an_outcome_for_each_row() {
    let world = World::new().await;
    let ligature = "\u{fdfa}".repeat(180);
    let syllables: String = ('가'..).take(200).collect();
    let tag: String = ('a'..='z').cycle().take(300).collect();
    let file = [
        "First Name,Last Name,Nickname,File As,Organization Name,Labels,E-mail 1 - Value,Phone 1 - Value,Notes,Custom Field 1 - Value",
        "Ann,Lee,,,Acme,Friends,ann@example.org,,,",
        ",,,,,,,,,",
        "Ann,Lee,,,Acme,Friends,ann@example.org,,,",
        "",
        ",,,,,Friends,,,only a note,",
        "Bo,\"two\nlines\",,,,,,,,",
        "Ánn,LEE,,,,,ANN@example.org,030 23125 101,,",
        "Cy,,,,,,,,,,,,too many",
        ",,,,Acme,,,,,",
        ",,,,,,info@example.org,,,",
        ",,,,,,,+49 30 23125 102,,",
        &format!("{syllables},{syllables},,{syllables},{syllables},,,,,"),
        &format!("{ligature},,,,{ligature},\"{ligature}\",,,,"),
        &format!("Tagged,,,,,{tag} ::: Élan ::: elan,,,,"),
        "Dee\0,=1+1,,,,,,,\u{1}\u{2},",
        "Ann,Lee,,,Acme,Friends,ann@example.org,,,",
        "Eve,\"never closed,,,,,,,,",
    ]
    .join("\r\n");
    let import = world.import("nasty.csv", file).await;
    assert_eq!(import.state, ImportState::Completed);
    counts(&import);
    let outcomes = world.outcomes(import.id).await;
    insta::assert_snapshot!(
        outcomes
            .replace(&syllables, "<syllables>")
            .replace(&ligature, "<ligatures>")
    );
    assert_eq!(
        world.notes("Tagged").await,
        [format!("From nasty.csv:\nLabel: {tag}")]
    );
    assert_eq!(
        world
            .texts("SELECT name FROM tag WHERE length(name) < 100 ORDER BY 1")
            .await,
        ["Friends", "Élan"]
    );
}

#[tokio::test]
async fn a_batch_costs_the_same_statements_for_ten_rows_and_for_hundreds() {
    let world = World::new().await;
    let mut costs = Vec::new();
    // The first run unwraps the owner's keys.
    for (rows, seed) in [(1, 3), (10, 1), (450, 2)] {
        let id = world.start("contacts.csv", google_csv(rows, seed)).await;
        let pieces = google_csv(rows, seed).count() as u64;
        let before = world.db.statements();
        domain::import::run::run(&world.db, &world.ada, id).await.unwrap();
        // Each piece is read twice, in a transaction of three statements.
        costs.push(world.db.statements() - before - 6 * pieces);
    }
    assert_eq!(costs[1], costs[2]);
}

#[tokio::test]
async fn everybody_of_a_company_may_have_its_address() {
    let world = World::new().await;
    let mut file = "First Name,Last Name,Labels,E-mail 1 - Value\n".to_owned();
    for number in 0..2500 {
        file += &format!("Person,No {number},,info@example.org\n");
    }
    assert_eq!(
        counts(&world.import("contacts.csv", &file).await),
        [2500, 0, 0, 0]
    );
    // Another order of columns and another spelling: no row is known, and every person is.
    let mut file = "E-mail 1 - Value,Last Name,First Name,Labels\n".to_owned();
    for number in 0..2500 {
        file += &format!("Info@example.org,NO {number},person,\n");
    }
    assert_eq!(
        counts(&world.import("contacts.csv", &file).await),
        [0, 0, 2500, 0]
    );
}
