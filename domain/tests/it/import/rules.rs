//! Which contact a row is about, and what it adds.

use super::{World, counts};

const HEADER: &str = "Name Prefix,First Name,Middle Name,Last Name,Nickname,Organization Name,Organization Title,Birthday,Notes,\
Labels,E-mail 1 - Label,E-mail 1 - Value,Phone 1 - Label,Phone 1 - Value,Address 1 - City,Website 1 - Value,\
Custom Field 1 - Label,Custom Field 1 - Value\n";

/// A file of rows in which only the named columns are filled.
fn file(rows: &[&[(&str, &str)]]) -> String {
    let mut out = HEADER.to_owned();
    for row in rows {
        let cells = HEADER.trim_end().split(',').map(|column| {
            let cell = row.iter().find(|(name, _)| *name == column);
            format!("\"{}\"", cell.map_or("", |(_, value)| value))
        });
        out += &cells.collect::<Vec<_>>().join(",");
        out.push('\n');
    }
    out
}

const ANN: &[(&str, &str)] = &[
    ("First Name", "Ann"),
    ("Last Name", "Müller"),
    ("E-mail 1 - Value", "ann@example.org"),
    ("Notes", "likes tea"),
    ("Custom Field 1 - Label", "Shoe size"),
    ("Custom Field 1 - Value", "38"),
    ("Organization Name", "Acme"),
    ("Birthday", "1980-02-03"),
    ("Labels", "Friends"),
];

#[tokio::test]
async fn a_row_adds_what_is_missing_and_overwrites_nothing() {
    let world = World::new().await;
    world.import("one.csv", file(&[ANN])).await;
    let richer: &[(&str, &str)] = &[
        ("Name Prefix", "Dr."),
        ("First Name", "ann"),
        ("Last Name", "MULLER"),
        ("Nickname", "Annie"),
        ("E-mail 1 - Value", "Ann@Example.org ::: ann@example.net"),
        ("Phone 1 - Value", "030 23125 101"),
        ("Notes", "likes coffee"),
        ("Custom Field 1 - Label", "Shoe size"),
        ("Custom Field 1 - Value", "38"),
        ("Organization Name", "ACME ::: Beta"),
        ("Organization Title", " ::: CTO"),
        ("Birthday", " --02-03"),
        ("Labels", "friends ::: Climbing"),
        ("Address 1 - City", "Bonn"),
        ("Website 1 - Value", "https://example.org/ann"),
    ];
    let import = world.import("two.csv", file(&[richer])).await;
    assert_eq!(counts(&import), [0, 1, 0, 0]);
    let contact = "SELECT concat_ws('|', name_prefix, given_name, family_name, nickname, display_name, version, updated_at > created_at) FROM contact";
    assert_eq!(
        world.texts(contact).await,
        ["Dr.|Ann|Müller|Annie|Ann Müller|2|t"]
    );
    let emails = "SELECT address FROM contact_email ORDER BY position";
    assert_eq!(world.texts(emails).await, ["ann@example.org", "ann@example.net"]);
    assert_eq!(
        world.texts("SELECT e164 FROM contact_phone").await,
        ["+493023125101"]
    );
    let places = "SELECT concat_ws('|', c.name, a.title) FROM affiliation a JOIN company c ON c.id = a.company_id ORDER BY a.position";
    assert_eq!(world.texts(places).await, ["Acme", "Beta|CTO"]);
    assert_eq!(
        world.texts("SELECT name FROM tag ORDER BY name").await,
        ["Climbing", "Friends"]
    );
    for (table, rows) in [
        ("contact_date", 1),
        ("contact_link", 1),
        ("contact_address", 1),
        ("contact_tag", 2),
    ] {
        assert_eq!(
            world.number(&format!("SELECT count(*) FROM {table}")).await,
            rows,
            "{table}"
        );
    }
    let notes = world.notes("Ann Müller").await;
    assert_eq!(
        notes,
        ["likes tea", "From one.csv:\nShoe size: 38", "likes coffee"]
    );

    // Less than what is there, under another spelling, is nothing new; and is known from then on.
    let poorer: &[(&str, &str)] = &[
        ("First Name", "ANN"),
        ("Last Name", "Müller"),
        ("E-mail 1 - Value", "ann@example.net"),
    ];
    let import = world.import("three.csv", file(&[poorer])).await;
    assert_eq!(
        world.outcomes(import.id).await,
        "1 @2 skipped NOTHING_NEW - Ann Müller\n"
    );
    let import = world.import("four.csv", file(&[poorer])).await;
    assert_eq!(
        world.outcomes(import.id).await,
        "1 @2 skipped ALREADY_IMPORTED - Ann Müller\n"
    );
    assert_eq!(world.number("SELECT version::bigint FROM contact").await, 2);
}

#[tokio::test]
async fn two_people_who_share_an_address_stay_two() {
    let world = World::new().await;
    let row = |name: &'static str| [("First Name", name), ("E-mail 1 - Value", "info@example.org")];
    let import = world
        .import("a.csv", file(&[&row("Ann"), &row("Bo"), &row("ANN")]))
        .await;
    assert_eq!(counts(&import), [2, 0, 1, 0]);
    let import = world.import("b.csv", file(&[&row("Cy"), &row("bo")])).await;
    assert_eq!(
        world.outcomes(import.id).await,
        "1 @2 created - - Cy\n2 @3 skipped NOTHING_NEW - Bo\n"
    );
    // Whose is a row without a name? Nobody can say.
    let nameless = [
        ("E-mail 1 - Value", "info@example.org"),
        ("Phone 1 - Value", "+493023125101"),
    ];
    let import = world.import("c.csv", file(&[&nameless])).await;
    assert_eq!(
        world.outcomes(import.id).await,
        "1 @2 created - - info@example.org\n"
    );
}

#[tokio::test]
async fn who_is_only_an_address_gets_the_first_name_that_comes_with_it() {
    let world = World::new().await;
    let bare = [("E-mail 1 - Value", "ann@example.org")];
    let named = [("First Name", "Ann"), ("E-mail 1 - Value", "ann@example.org")];
    let other = [("First Name", "Bo"), ("E-mail 1 - Value", "ann@example.org")];
    let import = world.import("a.csv", file(&[&bare])).await;
    assert_eq!(
        world.outcomes(import.id).await,
        "1 @2 created - - ann@example.org\n"
    );
    let import = world.import("b.csv", file(&[&named, &other])).await;
    assert_eq!(
        world.outcomes(import.id).await,
        "1 @2 updated - - Ann\n2 @3 created - - Bo\n"
    );
    // The other way about: a row without a name is the only person's who has the address.
    let zoe = [("First Name", "Zoe"), ("E-mail 1 - Value", "zoe@example.org")];
    let more = [
        ("E-mail 1 - Value", "zoe@example.org"),
        ("Phone 1 - Value", "+493023125102"),
    ];
    let import = world.import("c.csv", file(&[&zoe, &more])).await;
    assert_eq!(
        world.outcomes(import.id).await,
        "1 @2 created - - Zoe\n2 @3 updated - - Zoe\n"
    );
    assert_eq!(world.number("SELECT count(*) FROM contact").await, 3);
}

#[tokio::test]
async fn a_number_finds_whom_a_row_without_an_address_is_about() {
    let world = World::new().await;
    let ann = [
        ("First Name", "Ann"),
        ("E-mail 1 - Value", "ann@example.org"),
        ("Phone 1 - Value", "030 23125 101"),
    ];
    let same = [
        ("First Name", "Ann"),
        ("Phone 1 - Value", "+49 30 23125101"),
        ("Nickname", "Annie"),
    ];
    let other = [("First Name", "Bo"), ("Phone 1 - Value", "+49 30 23125101")];
    let address = [
        ("First Name", "Ann"),
        ("E-mail 1 - Value", "other@example.org"),
        ("Phone 1 - Value", "+49 30 23125101"),
    ];
    let import = world
        .import("a.csv", file(&[&ann, &same, &other, &address]))
        .await;
    assert_eq!(
        world.outcomes(import.id).await,
        "1 @2 created - - Ann\n2 @3 updated - - Ann\n3 @4 created - - Bo\n4 @5 created - - Ann\n"
    );
    assert_eq!(world.number("SELECT count(*) FROM contact_phone").await, 3);
    let nicknamed = "SELECT count(*) FROM contact WHERE nickname = 'Annie' AND version = 1";
    assert_eq!(world.number(nicknamed).await, 1);
}

#[tokio::test]
async fn rows_see_the_rows_before_them_within_a_batch_and_beyond() {
    let world = World::new().await;
    let first = [
        ("First Name", "Ann"),
        ("E-mail 1 - Value", "a@example.org ::: b@example.org"),
        ("Organization Name", "Acme"),
    ];
    let second = [
        ("First Name", "Ann"),
        ("E-mail 1 - Value", "b@example.org ::: c@example.org"),
        ("Organization Name", "ACME"),
    ];
    let third = [
        ("First Name", "Ann"),
        ("E-mail 1 - Value", "c@example.org"),
        ("Phone 1 - Value", "+493023125103"),
    ];
    let import = world
        .import("a.csv", file(&[&first, &second, &first, &third]))
        .await;
    assert_eq!(
        world.outcomes(import.id).await,
        "1 @2 created - - Ann\n2 @3 updated - - Ann\n3 @4 skipped DUPLICATE_ROW - Ann\n4 @5 updated - - Ann\n"
    );
    assert_eq!(world.number("SELECT count(*) FROM company").await, 1);
    // The same row twice, in two batches.
    let filler: Vec<_> = (0..600).map(|n| format!("F{n}")).collect();
    let filler: Vec<_> = filler
        .iter()
        .map(|name| [("First Name", name.as_str())])
        .collect();
    let zoe = [("First Name", "Zoe"), ("E-mail 1 - Value", "zoe@example.org")];
    let mut rows: Vec<&[(&str, &str)]> = vec![&zoe];
    rows.extend(filler.iter().map(|row| row.as_slice()));
    rows.push(&zoe);
    let import = world.import("b.csv", file(&rows)).await;
    assert_eq!(counts(&import), [601, 0, 1, 0]);
    assert_eq!(
        world.rows(import.id).await[601].code.as_deref(),
        Some("DUPLICATE_ROW")
    );
}

#[tokio::test]
async fn a_deleted_contact_can_be_imported_again() {
    let world = World::new().await;
    let first = world.import("a.csv", file(&[ANN])).await;
    world.sql("DELETE FROM contact").await;
    assert_eq!(world.rows(first.id).await[0].contact_id, None);
    assert_eq!(counts(&world.import("a.csv", file(&[ANN])).await), [1, 0, 0, 0]);
    assert_eq!(world.notes("Ann Müller").await.len(), 2);
}

#[tokio::test]
async fn another_owners_contacts_are_never_met() {
    let mut world = World::new().await;
    world.import("a.csv", file(&[ANN])).await;
    world.ada = world.other_user().await;
    assert_eq!(counts(&world.import("a.csv", file(&[ANN])).await), [1, 0, 0, 0]);
    assert_eq!(world.number("SELECT count(*) FROM company").await, 2);
    assert_eq!(
        world
            .number("SELECT count(DISTINCT digest) FROM import_digest")
            .await,
        6
    );
}

#[tokio::test]
async fn cells_without_a_field_are_kept_whole_however_long() {
    let world = World::new().await;
    let long: String = ('a'..='z').cycle().take(50_000).collect();
    let row = [
        ("First Name", "Ann"),
        ("Custom Field 1 - Label", "One ::: Two"),
        ("Custom Field 1 - Value", &*format!("{long} ::: short")),
        ("Birthday", "some day"),
        (
            "Website 1 - Value",
            &*format!("https://example.org/{}", &long[..20_000]),
        ),
    ];
    assert_eq!(counts(&world.import("a.csv", file(&[&row])).await), [1, 0, 0, 0]);
    let notes = world.notes("Ann").await;
    assert!(notes.len() > 1 && notes.iter().all(|note| note.chars().count() <= 60_000));
    let whole: String = notes
        .iter()
        .map(|note| note.strip_prefix("From a.csv:").unwrap())
        .collect();
    for text in [&*long, "Two: short", "Birthday: some day", &long[..20_000]] {
        assert!(whole.contains(text));
    }
}
