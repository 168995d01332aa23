//! Contacts, tags, notes and companies: what goes in comes out, in pages, and the journal knows.

use domain::contact::input::{
    AddressInput, AffiliationInput, Change, ContactInput, DateInput, DateKind, Labelled,
};
use domain::contact::{Filter, Order, OrderBy};
use domain::page::PageRequest;
use domain::partial_date::PartialDate;
use domain::testing::{Login, TestDatabase};
use domain::{Code, Db, Error, Viewer, contact, note, tag};
use sqlx::{Connection, PgConnection, Row};

use crate::support::person;

struct One {
    database: TestDatabase,
    db: Db,
    ada: Viewer,
}

async fn one() -> One {
    let database = TestDatabase::new().await;
    let db = database.connect(Login::Api);
    let ada = database.user(&db).await;
    One { database, db, ada }
}

fn named(given: &str, family: &str) -> ContactInput {
    ContactInput {
        given_name: Change::To(Some(given.to_owned())),
        family_name: Change::To(Some(family.to_owned())),
        ..ContactInput::default()
    }
}

fn codes(error: &Error) -> Vec<(String, Code)> {
    match error {
        Error::Invalid(errors) => errors.iter().map(|e| (e.field.join("."), e.code)).collect(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_contact_comes_out_as_it_went_in() {
    let One {
        db,
        ada,
        database: _kept,
    } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    let mut input = person("Zoë");
    input.dates = Some(vec![DateInput {
        kind: DateKind::Birthday,
        label: None,
        date: PartialDate::new(None, Some(2), Some(29)).unwrap(),
    }]);
    input.addresses = Some(vec![AddressInput {
        city: Some("Köln".to_owned()),
        ..AddressInput::default()
    }]);
    input.links = Some(vec![Labelled {
        label: None,
        value: "HTTPS://Example.org/a".to_owned(),
    }]);
    let zoe = contact::create(&tx, input).await.unwrap();
    tx.commit().await.unwrap();

    let tx = db.read(&ada).await.unwrap();
    assert_eq!(contact::get(&tx, zoe.id).await.unwrap().unwrap(), zoe);
    assert_eq!(
        (zoe.display_name.as_str(), zoe.sort_name.as_str(), zoe.version),
        ("Zoë", " zoe".trim(), 1)
    );
    let ids = [zoe.id];
    assert_eq!(
        contact::emails(&tx, &ids).await.unwrap()[&zoe.id][0].address,
        "zoë@example.test"
    );
    assert_eq!(
        contact::phones(&tx, &ids).await.unwrap()[&zoe.id][0]
            .e164
            .as_deref(),
        Some("+12025550123")
    );
    assert_eq!(
        contact::addresses(&tx, &ids).await.unwrap()[&zoe.id][0]
            .city
            .as_deref(),
        Some("Köln")
    );
    assert_eq!(
        contact::links(&tx, &ids).await.unwrap()[&zoe.id][0].url,
        "https://example.org/a"
    );
    let date = &contact::dates(&tx, &ids).await.unwrap()[&zoe.id][0];
    assert_eq!((date.year, date.month, date.day), (None, Some(2), Some(29)));
    let place = &contact::affiliations(&tx, &ids).await.unwrap()[&zoe.id][0];
    assert_eq!(place.company.as_ref().unwrap().name, "Zoë & Co");
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_and_nothing_is_written() {
    let One {
        db,
        ada,
        database: _kept,
    } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    let input = ContactInput {
        given_name: Change::To(Some("x".repeat(201))),
        nickname: Change::To(Some("a\u{0}b".to_owned())),
        emails: Some(vec![
            Labelled {
                label: None,
                value: "no address".to_owned(),
            },
            Labelled {
                label: None,
                value: "a@example.test".to_owned(),
            },
            Labelled {
                label: None,
                value: "A@EXAMPLE.test".to_owned(),
            },
        ]),
        links: Some(vec![Labelled {
            label: None,
            value: "javascript:alert(1)".to_owned(),
        }]),
        addresses: Some(vec![AddressInput::default()]),
        affiliations: Some(vec![AffiliationInput::default()]),
        phones: Some(vec![Labelled {
            label: None,
            value: " ".to_owned(),
        }]),
        ..ContactInput::default()
    };
    let error = contact::create(&tx, input).await.unwrap_err();
    assert_eq!(
        codes(&error),
        [
            ("givenName", Code::TooLong),
            ("nickname", Code::Invalid),
            ("emails.0.address", Code::Invalid),
            ("emails.2.address", Code::Taken),
            ("phones.0.number", Code::Required),
            ("links.0.url", Code::Invalid),
            ("addresses.0", Code::Required),
            ("affiliations.0", Code::Required),
        ]
        .map(|(field, code)| (field.to_owned(), code))
    );
    let nobody = contact::create(&tx, ContactInput::default()).await.unwrap_err();
    assert_eq!(codes(&nobody), [(String::new(), Code::Required)]);
    assert_eq!(contact::count(&tx, &Filter::default()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_change_touches_what_it_mentions_and_no_more() {
    let One { db, ada, database } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    let friends = tag::create(&tx, "Friends").await.unwrap();
    let mut input = person("Ada");
    input.tags = Some(vec![friends.id]);
    let before = contact::create(&tx, input).await.unwrap();
    let kept = contact::emails(&tx, &[before.id]).await.unwrap()[&before.id][0].id;
    tx.commit().await.unwrap();

    let tx = db.begin(&ada).await.unwrap();
    let change = ContactInput {
        family_name: Change::To(Some("Lovelace".to_owned())),
        emails: Some(vec![
            Labelled {
                label: None,
                value: "new@example.test".to_owned(),
            },
            Labelled {
                label: Some("work".to_owned()),
                value: "ada@example.test".to_owned(),
            },
        ]),
        ..ContactInput::default()
    };
    let after = contact::update(&tx, before.id, Some(1), change).await.unwrap();
    let emails = contact::emails(&tx, &[before.id])
        .await
        .unwrap()
        .remove(&before.id)
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!((after.display_name.as_str(), after.version), ("Ada Lovelace", 2));
    assert_eq!(after.given_name, before.given_name);
    assert_eq!(
        emails.iter().map(|e| e.address.as_str()).collect::<Vec<_>>(),
        ["new@example.test", "ada@example.test"]
    );
    assert_eq!(emails[1].id, kept, "an address that stays keeps its row");

    let tx = db.begin(&ada).await.unwrap();
    let late = contact::update(&tx, before.id, Some(1), named("X", "Y"))
        .await
        .unwrap_err();
    assert_eq!(codes(&late), [("expectedVersion".to_owned(), Code::Conflict)]);
    drop(tx);

    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    let rows =
        sqlx::query("SELECT op::text AS op, table_name, before::text AS before FROM journal ORDER BY seq")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    let updates: Vec<(String, Option<String>)> = rows
        .iter()
        .filter(|row| row.get::<String, _>("op") == "U" && row.get::<String, _>("table_name") == "contact")
        .map(|row| (row.get("table_name"), row.get("before")))
        .collect();
    assert_eq!(updates.len(), 1);
    let old: serde_json::Value = serde_json::from_str(updates[0].1.as_ref().unwrap()).unwrap();
    let keys: Vec<&str> = old.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["display_name", "family_name", "updated_at", "version"]);
}

#[tokio::test]
async fn a_contact_without_a_name_is_called_by_what_it_has() {
    let One {
        db,
        ada,
        database: _kept,
    } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    let mail = |address: &str| ContactInput {
        emails: Some(vec![Labelled {
            label: None,
            value: address.to_owned(),
        }]),
        ..ContactInput::default()
    };
    let anon = contact::create(&tx, mail("a@example.test")).await.unwrap();
    assert_eq!(anon.display_name, "a@example.test");
    let renamed = contact::update(&tx, anon.id, None, mail("b@example.test"))
        .await
        .unwrap();
    assert_eq!(renamed.display_name, "b@example.test");
    let nothing = ContactInput {
        emails: Some(Vec::new()),
        ..ContactInput::default()
    };
    let error = contact::update(&tx, anon.id, None, nothing).await.unwrap_err();
    assert_eq!(codes(&error), [(String::new(), Code::Required)]);
}

#[tokio::test]
async fn pages_meet_without_gap_or_overlap_in_every_order_both_ways() {
    let One {
        db,
        ada,
        database: _kept,
    } = one().await;
    for batch in 0..3 {
        let tx = db.begin(&ada).await.unwrap();
        for n in 0..9 {
            // Same names on purpose: the id decides.
            contact::create(
                &tx,
                named(
                    "Same",
                    if n % 2 == 0 {
                        "Name"
                    } else {
                        ["A", "B", "Ç"][batch]
                    },
                ),
            )
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
    }
    let tx = db.read(&ada).await.unwrap();
    for by in [
        OrderBy::Name,
        OrderBy::Created,
        OrderBy::Updated,
        OrderBy::LastInteraction,
    ] {
        for descending in [false, true] {
            let order = Order { by, descending };
            let whole = PageRequest::new(Some(100), None, None, None).unwrap();
            let whole = contact::list(&tx, &Filter::default(), order, &whole)
                .await
                .unwrap()
                .items;
            assert_eq!(whole.len(), 27);
            let (mut forward, mut after) = (Vec::new(), None);
            loop {
                let request = PageRequest::new(Some(4), None, after, None).unwrap();
                let page = contact::list(&tx, &Filter::default(), order, &request)
                    .await
                    .unwrap();
                after = page.items.last().map(|c| order.cursor(c).encode());
                forward.extend(page.items);
                if !page.has_next {
                    break;
                }
            }
            assert_eq!(forward, whole, "{order:?}");
            let (mut backward, mut before) = (Vec::new(), None);
            loop {
                let request = PageRequest::new(None, Some(5), None, before).unwrap();
                let page = contact::list(&tx, &Filter::default(), order, &request)
                    .await
                    .unwrap();
                before = page.items.first().map(|c| order.cursor(c).encode());
                backward.splice(0..0, page.items);
                if !page.has_previous {
                    break;
                }
            }
            assert_eq!(backward, whole, "{order:?}");
            let foreign = order.cursor(&whole[0]).encode();
            let other = Order {
                by: if by == OrderBy::Name {
                    OrderBy::Created
                } else {
                    OrderBy::Name
                },
                descending,
            };
            let request = PageRequest::new(Some(4), None, Some(foreign), None).unwrap();
            assert!(
                contact::list(&tx, &Filter::default(), other, &request)
                    .await
                    .is_err()
            );
        }
    }
}

#[tokio::test]
async fn the_text_filter_ignores_case_and_accents_and_follows_every_change() {
    let One {
        db,
        ada,
        database: _kept,
    } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    let id = contact::create(&tx, person("Jörg")).await.unwrap().id;
    let found = async |tx: &domain::Tx, text: &str| {
        let filter = Filter {
            text: Some(text.to_owned()),
            ..Filter::default()
        };
        contact::count(tx, &filter).await.unwrap()
    };
    for text in [
        "jorg",
        "JÖRG",
        "örg",
        "example.test",
        "co partner",
        "partner jorg",
    ] {
        assert_eq!(found(&tx, text).await, 1, "{text}");
    }
    for text in ["j%g", "jo_g", "nobody", "jorg nobody", "\\"] {
        assert_eq!(found(&tx, text).await, 0, "{text}");
    }
    let change = ContactInput {
        emails: Some(Vec::new()),
        affiliations: Some(Vec::new()),
        ..ContactInput::default()
    };
    contact::update(&tx, id, None, change).await.unwrap();
    assert_eq!(found(&tx, "partner").await, 0);
    assert_eq!(found(&tx, "example.test").await, 0);
    contact::update(&tx, id, None, named("Petra", "Jost"))
        .await
        .unwrap();
    assert_eq!((found(&tx, "jorg").await, found(&tx, "jost petra").await), (0, 1));
    contact::delete(&tx, id).await.unwrap();
    assert_eq!(found(&tx, "petra").await, 0);
}

#[tokio::test]
async fn the_text_filter_sees_what_its_transaction_wrote_and_others_what_was_committed() {
    let One { db, ada, database } = one().await;
    let found = async |tx: &domain::Tx, text: &str| {
        let filter = Filter {
            text: Some(text.to_owned()),
            ..Filter::default()
        };
        contact::count(tx, &filter).await.unwrap()
    };
    let change = || ContactInput {
        emails: person("Bo").emails,
        ..named("Bo", "Li")
    };
    let tx = db.begin(&ada).await.unwrap();
    let id = contact::create(&tx, named("Jörg", "Lang")).await.unwrap().id;
    contact::create(&tx, named("Petra", "Jost")).await.unwrap();
    tx.commit().await.unwrap();

    let tx = db.begin(&ada).await.unwrap();
    contact::update(&tx, id, None, change()).await.unwrap();
    for (text, count) in [
        ("jorg", 0),
        ("bo li", 1),
        ("b", 1),
        ("jo", 1),
        ("jost", 1),
        ("o", 2),
    ] {
        assert_eq!(found(&tx, text).await, count, "{text} in the transaction");
    }
    drop(tx);
    let tx = db.read(&ada).await.unwrap();
    assert_eq!((found(&tx, "jorg").await, found(&tx, "bo li").await), (1, 0));
    drop(tx);

    let tx = db.begin(&ada).await.unwrap();
    contact::update(&tx, id, None, change()).await.unwrap();
    tx.commit().await.unwrap();
    let tx = db.read(&ada).await.unwrap();
    for (text, count) in [
        ("jorg", 0),
        ("bo li", 1),
        ("example.test li", 1),
        ("jo", 1),
        ("o", 2),
    ] {
        assert_eq!(found(&tx, text).await, count, "{text} after the commit");
    }
    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    let due: i64 = sqlx::query_scalar("SELECT count(*) FROM contact_search_due")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(due, 0);
}

#[tokio::test]
async fn companies_are_found_by_name_and_a_place_filters() {
    let One {
        db,
        ada,
        database: _kept,
    } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    let at = |name: &str| ContactInput {
        affiliations: Some(vec![AffiliationInput {
            company_name: Some(name.to_owned()),
            ..AffiliationInput::default()
        }]),
        ..ContactInput::default()
    };
    let first = contact::create(&tx, at("Café Müller")).await.unwrap();
    let second = contact::create(&tx, at("CAFE MULLER")).await.unwrap();
    let places = contact::affiliations(&tx, &[first.id, second.id]).await.unwrap();
    let company = places[&first.id][0].company.as_ref().unwrap();
    assert_eq!(places[&second.id][0].company.as_ref().unwrap().id, company.id);
    assert_eq!(domain::company::count(&tx).await.unwrap(), 1);
    let filter = Filter {
        company: Some(company.id),
        ..Filter::default()
    };
    assert_eq!(contact::count(&tx, &filter).await.unwrap(), 2);
}

#[tokio::test]
async fn a_tags_name_is_its_own_and_deleting_it_leaves_the_contacts() {
    let One {
        db,
        ada,
        database: _kept,
    } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    let friends = tag::create(&tx, " Friends ").await.unwrap();
    let contact = contact::create(&tx, person("Ada")).await.unwrap();
    let tagged = contact::tag(&tx, contact.id, friends.id).await.unwrap();
    assert_eq!(tagged.version, 2);
    assert_eq!(
        contact::tag(&tx, contact.id, friends.id).await.unwrap().version,
        2,
        "nothing changes the second time"
    );
    tx.commit().await.unwrap();

    let tx = db.begin(&ada).await.unwrap();
    let taken = tag::create(&tx, "FRIENDS").await.unwrap_err();
    assert_eq!(codes(&taken), [("name".to_owned(), Code::Taken)]);
    drop(tx);

    let tx = db.begin(&ada).await.unwrap();
    assert_eq!(
        contact::count(
            &tx,
            &Filter {
                tag: Some(friends.id),
                ..Filter::default()
            }
        )
        .await
        .unwrap(),
        1
    );
    tag::delete(&tx, friends.id).await.unwrap();
    assert!(contact::tags(&tx, &[contact.id]).await.unwrap().is_empty());
    assert!(contact::get(&tx, contact.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_note_is_sealed_in_its_row_and_in_the_journal() {
    let One { db, ada, database } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    let contact = contact::create(&tx, person("Ada")).await.unwrap();
    let secret = "the merger is on Tuesday";
    let first = note::create(&tx, contact.id, secret, false).await.unwrap();
    let second = note::create(&tx, contact.id, "second", true).await.unwrap();
    note::update(&tx, first.id, None, Some("the merger is off"), None)
        .await
        .unwrap();
    note::delete(&tx, second.id).await.unwrap();
    tx.commit().await.unwrap();

    let tx = db.read(&ada).await.unwrap();
    let page = PageRequest::new(None, None, None, None).unwrap();
    let notes = note::list(&tx, contact.id, &page).await.unwrap().items;
    assert_eq!(
        notes.iter().map(|n| &*n.body).collect::<Vec<_>>(),
        ["the merger is off"]
    );
    assert_eq!(note::counts(&tx, &[contact.id]).await.unwrap()[&contact.id], 1);

    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    let dump: String = sqlx::query_scalar(
        "SELECT string_agg(body::text, '') || (SELECT string_agg(coalesce(before::text, ''), '') FROM journal) FROM note",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    assert!(!dump.contains(secret) && !dump.contains(&hex) && !dump.contains("merger"));
}

#[tokio::test]
async fn a_ciphertext_moved_to_another_row_does_not_open() {
    let One { db, ada, database } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    let contact = contact::create(&tx, person("Ada")).await.unwrap();
    let first = note::create(&tx, contact.id, "one", false).await.unwrap();
    let second = note::create(&tx, contact.id, "two", false).await.unwrap();
    tx.commit().await.unwrap();
    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    sqlx::query("UPDATE note SET body = (SELECT body FROM note WHERE id = $1) WHERE id = $2")
        .bind(first.id)
        .bind(second.id)
        .execute(&mut admin)
        .await
        .unwrap();
    let tx = db.read(&ada).await.unwrap();
    assert!(note::get(&tx, first.id).await.is_ok());
    assert!(matches!(note::get(&tx, second.id).await, Err(Error::Internal(_))));
}

#[tokio::test]
async fn the_journal_is_in_commit_order_under_many_writers() {
    let One { db, ada, database } = one().await;
    let writers = (0..8).map(|n| {
        let (db, ada) = (db.clone(), ada.clone());
        tokio::spawn(async move {
            for i in 0..10 {
                let tx = db.begin(&ada).await.unwrap();
                contact::create(&tx, named(&format!("W{n}"), &format!("{i}")))
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
            }
        })
    });
    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    let watching = tokio::spawn(async move {
        let (mut seen, mut cursor) = (0, 0i64);
        while seen < 80 {
            let rows: Vec<i64> = sqlx::query_scalar("SELECT seq FROM journal WHERE seq > $1 ORDER BY seq")
                .bind(cursor)
                .fetch_all(&mut admin)
                .await
                .unwrap();
            seen += rows.len();
            cursor = rows.last().copied().unwrap_or(cursor);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        seen
    });
    futures::future::join_all(writers)
        .await
        .into_iter()
        .for_each(|done| done.unwrap());
    let seen = tokio::time::timeout(std::time::Duration::from_secs(20), watching).await;
    assert_eq!(seen.expect("a reader by cursor misses nothing").unwrap(), 80);
}

#[tokio::test]
async fn a_page_costs_the_same_number_of_statements_whatever_its_size() {
    let One {
        db,
        ada,
        database: _kept,
    } = one().await;
    let tx = db.begin(&ada).await.unwrap();
    for n in 0..50 {
        let contact = contact::create(&tx, person(&format!("P{n}"))).await.unwrap();
        note::create(&tx, contact.id, "text", false).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut costs = Vec::new();
    for size in [1, 10, 50] {
        let before = db.statements();
        let tx = db.read(&ada).await.unwrap();
        let request = PageRequest::new(Some(size), None, None, None).unwrap();
        let page = contact::list(&tx, &Filter::default(), Order::default(), &request)
            .await
            .unwrap();
        let ids: Vec<_> = page.items.iter().map(|contact| contact.id).collect();
        assert_eq!(
            contact::emails(&tx, &ids).await.unwrap().len(),
            usize::try_from(size).unwrap()
        );
        contact::phones(&tx, &ids).await.unwrap();
        contact::tags(&tx, &ids).await.unwrap();
        contact::affiliations(&tx, &ids).await.unwrap();
        assert_eq!(note::newest(&tx, &ids, 3).await.unwrap().len(), ids.len());
        costs.push(db.statements() - before);
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}

#[tokio::test]
async fn an_enqueued_job_shares_the_fate_of_its_transaction() {
    let One { db, ada, database } = one().await;
    let bob = database.user(&db).await;
    let job = domain::jobs::Sweep {};
    let tx = db.begin(&ada).await.unwrap();
    contact::create(&tx, person("Ada")).await.unwrap();
    assert!(domain::jobs::enqueue(&tx, &job, "same").await.unwrap());
    assert!(contact::create(&tx, ContactInput::default()).await.is_err());
    drop(tx);
    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    let count = async |admin: &mut PgConnection, sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(admin).await.unwrap()
    };
    assert_eq!(count(&mut admin, "SELECT count(*) FROM apalis.jobs").await, 0);
    assert_eq!(count(&mut admin, "SELECT count(*) FROM contact").await, 0);

    for viewer in [&ada, &bob, &ada] {
        let tx = db.begin(viewer).await.unwrap();
        domain::jobs::enqueue(&tx, &job, "same").await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(
        count(&mut admin, "SELECT count(*) FROM apalis.jobs").await,
        2,
        "one an owner"
    );
    let owner: String = sqlx::query_scalar("SELECT metadata -> 'owner' FROM apalis.jobs ORDER BY id LIMIT 1")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(owner, ada.owner().to_string());
}
