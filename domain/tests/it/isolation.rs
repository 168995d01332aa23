//! What holds whatever the code forgets.

use domain::contact::input::{AffiliationInput, Change, ContactInput, Labelled};
use domain::contact::{Filter, Order};
use domain::db::Binary;
use domain::page::PageRequest;
use domain::{Db, Environment, Tx, company, contact, note, tag};
use entity::{Class, TABLES};
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

use crate::support::{Two, everything};
use domain::testing::{Login, TestDatabase};

#[tokio::test]
async fn the_reviewed_security_is_what_a_new_database_has() {
    let database = TestDatabase::new().await;
    for (login, binary) in [(Login::Api, Binary::Api), (Login::Worker, Binary::Worker)] {
        let db = database.connect(login);
        db.verify(Environment::Development, binary).await.unwrap();
        let other = db
            .verify(Environment::Production, binary)
            .await
            .unwrap_err()
            .to_string();
        assert!(other.contains("belongs to"), "{other}");
    }
}

#[tokio::test]
async fn a_database_that_lacks_the_newest_migration_is_not_ready() {
    assert_eq!(
        domain::testing::migrations().last().map(String::as_str),
        Some(domain::db::NEWEST)
    );
    let database = TestDatabase::new().await;
    let db = database.connect(Login::Api);
    db.ping().await.unwrap();
    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    sqlx::query("DELETE FROM seaql_migrations WHERE version = $1")
        .bind(domain::db::NEWEST)
        .execute(&mut admin)
        .await
        .unwrap();
    assert!(matches!(db.ping().await, Err(domain::Error::Unavailable(_))));
}

#[tokio::test]
async fn a_loosened_database_is_refused() {
    for loosening in [
        "ALTER TABLE contact DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY generous ON note USING (true)",
        "GRANT SELECT ON signing_key TO crm_viewer",
        "GRANT EXECUTE ON FUNCTION delete_stale_uploads TO PUBLIC",
        "ALTER TABLE tag DISABLE TRIGGER journal_insert",
        "CREATE VIEW peek AS SELECT * FROM contact",
    ] {
        let database = TestDatabase::new().await;
        let mut admin = PgConnection::connect(database.admin_url().as_str())
            .await
            .unwrap();
        sqlx::raw_sql(loosening).execute(&mut admin).await.unwrap();
        assert!(
            database
                .connect(Login::Api)
                .verify(Environment::Development, Binary::Api)
                .await
                .is_err(),
            "{loosening}"
        );
    }
}

#[tokio::test]
async fn a_login_that_may_more_than_its_binary_needs_is_refused() {
    let database = TestDatabase::new().await;
    let mighty = database.config(Login::Api, &[("DATABASE_URL", database.admin_url().as_str())]);
    let db = Db::connect(&mighty, "test", domain::clock::Clock::system()).unwrap();
    let refused = db
        .verify(Environment::Development, Binary::Api)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("SUPERUSER") && refused.contains("login owns"),
        "{refused}"
    );
    for (login, binary) in [(Login::Api, Binary::Worker), (Login::Worker, Binary::Api)] {
        assert!(
            database
                .connect(login)
                .verify(Environment::Development, binary)
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn every_table_has_its_class_and_the_catalog_agrees() {
    let database = TestDatabase::new().await;
    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    let rows = sqlx::query(
        "SELECT c.relname::text AS name, c.relrowsecurity AS rls, \
           (SELECT count(*) FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid \
             WHERE t.tgrelid = c.oid AND f.proname = 'journal_write' AND t.tgenabled = 'O') AS journal, \
           EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = c.oid AND attname = 'id' AND atttypid = 'uuid'::regtype) AS id, \
           (SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index i \
             CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY k (attnum, place) \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum \
             WHERE i.indrelid = c.oid AND i.indisprimary) AS key \
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let found: Vec<String> = rows.iter().map(|row| row.get("name")).collect();
    for name in found.iter().filter(|name| *name != "seaql_migrations") {
        assert!(
            TABLES.iter().any(|(known, _)| known == name),
            "{name} has no class in entity::TABLES"
        );
    }
    for (name, class) in TABLES {
        let row = rows
            .iter()
            .find(|row| row.get::<String, _>("name") == *name)
            .expect(name);
        let content = *class == Class::Content;
        assert_eq!(
            row.get::<i64, _>("journal"),
            if content { 3 } else { 0 },
            "triggers of the journal on {name}"
        );
        let key: Vec<String> = row.get("key");
        let alone = ["ceremony", "environment", "owner", "sign_in_link", "signing_key"].contains(name);
        assert_eq!(
            row.get::<bool, _>("rls"),
            *name != "environment",
            "row-level security on {name}"
        );
        assert_eq!(key[0] == "owner_id", !alone, "the key of {name}");
        if content {
            assert!(
                row.get::<bool, _>("id") && key == ["owner_id", "id"],
                "the key of {name}"
            );
        }
    }
}

#[tokio::test]
async fn every_reference_between_owned_tables_holds_the_owner() {
    let database = TestDatabase::new().await;
    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    let plain: Vec<String> = sqlx::query_scalar(
        "SELECT k.conname::text FROM pg_constraint k WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace \
         AND (NOT k.condeferrable OR NOT EXISTS (SELECT 1 FROM pg_attribute a \
             WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1] AND a.attname = 'owner_id')) \
         AND k.confrelid <> 'owner'::regclass",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    assert!(plain.is_empty(), "{plain:?}");
}

#[tokio::test]
async fn without_a_viewer_there_is_no_row_also_on_a_connection_that_served_one() {
    let two = Two::new().await;
    let mut raw = PgConnection::connect(two.database.url(Login::Api).as_str())
        .await
        .unwrap();
    assert_eq!(count(&mut raw, "SELECT count(*) FROM contact").await, 0);
    let served = format!("BEGIN; SET LOCAL app.owner_id = '{}'", two.ada.owner());
    sqlx::raw_sql(sqlx::AssertSqlSafe(served))
        .execute(&mut raw)
        .await
        .unwrap();
    assert_eq!(count(&mut raw, "SELECT count(*) FROM contact").await, 1);
    sqlx::raw_sql("COMMIT").execute(&mut raw).await.unwrap();
    for (table, class) in TABLES {
        if *class == Class::Content {
            let sql = format!("SELECT count(*) FROM {table}");
            assert_eq!(count(&mut raw, sqlx::AssertSqlSafe(sql)).await, 0, "{table}");
        }
    }
}

async fn count(connection: &mut PgConnection, sql: impl sqlx::SqlSafeStr) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn the_database_refuses_rows_and_references_of_another_owner() {
    let two = Two::new().await;
    let (ada, bob) = (two.ada.owner(), two.bob.owner());
    let theirs = two.contact_of(&two.bob).await;
    let mut raw = PgConnection::connect(two.database.url(Login::Api).as_str())
        .await
        .unwrap();
    let as_ada = format!("BEGIN; SET LOCAL app.owner_id = '{ada}'");
    for (statement, code) in [
        (format!("INSERT INTO tag (owner_id, id, name, created_at) VALUES ('{bob}', gen_random_uuid(), 'x', now())"), "42501"),
        (format!("INSERT INTO contact_email (owner_id, id, contact_id, position, address, canonical) VALUES ('{ada}', gen_random_uuid(), '{theirs}', 0, 'a@b.test', 'a@b.test')"), "23503"),
        (format!("INSERT INTO note (owner_id, id, contact_id, body, created_at, updated_at) VALUES ('{ada}', gen_random_uuid(), '{theirs}', '', now(), now())"), "23503"),
        (format!("UPDATE contact SET owner_id = '{bob}'"), "42501"),
        ("INSERT INTO journal (owner_id, actor, batch, op, table_name, row_id) SELECT current_owner(), 'x', gen_random_uuid(), 'I', 'x', gen_random_uuid()".to_owned(), "42501"),
        ("DELETE FROM journal".to_owned(), "42501"),
        ("SELECT token_hash FROM sign_in_link".to_owned(), "42501"),
        ("SELECT current_hash FROM session".to_owned(), "42501"),
        ("SELECT private_key FROM signing_key".to_owned(), "42501"),
        ("UPDATE session SET expires_at = now()".to_owned(), "42501"),
        ("CREATE TABLE mine (a integer)".to_owned(), "42501"),
        ("SELECT delete_stale_uploads(now(), 10)".to_owned(), "42501"),
        ("SELECT * FROM apalis.jobs".to_owned(), "42501"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(as_ada.clone())).execute(&mut raw).await.unwrap();
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&mut raw).await;
        let found = refused.err().and_then(|e| e.as_database_error()?.code().map(|code| code.into_owned()));
        assert_eq!(found.as_deref(), Some(code), "{statement}");
        sqlx::raw_sql("ROLLBACK").execute(&mut raw).await.unwrap();
    }
    // What is not visible is not touched either.
    sqlx::raw_sql(sqlx::AssertSqlSafe(as_ada))
        .execute(&mut raw)
        .await
        .unwrap();
    let touched = sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "DELETE FROM contact WHERE id = '{theirs}'"
    )));
    assert_eq!(touched.execute(&mut raw).await.unwrap().rows_affected(), 0);
}

/// As somebody would write it who forgot to ask whose contact it is.
async fn get_contact(tx: &Tx, id: Uuid) -> Option<entity::contact::Model> {
    use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
    entity::contact::Entity::find()
        .filter(entity::contact::Column::Id.eq(id))
        .one(tx)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_careless_query_returns_nothing_of_another_user() {
    let two = Two::new().await;
    let theirs = two.contact_of(&two.bob).await;
    let tx = two.db.read(&two.bob).await.unwrap();
    assert!(get_contact(&tx, theirs).await.is_some());
    let tx = two.db.read(&two.ada).await.unwrap();
    assert!(get_contact(&tx, theirs).await.is_none());
    let tx = two.db.begin_auth().await.unwrap();
    use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
    let denied = entity::contact::Entity::find()
        .filter(entity::contact::Column::Id.eq(theirs))
        .one(&tx)
        .await;
    assert!(denied.is_err(), "the sign-in has no right to contacts at all");
}

#[tokio::test]
async fn every_operation_answers_anothers_id_like_an_unknown_one() {
    let two = Two::new().await;
    let theirs = everything(&two.db, &two.bob).await;
    let mine = everything(&two.db, &two.ada).await;
    for (a, b) in [
        (theirs.contact, Uuid::nil()),
        (theirs.contact, Uuid::from_u128(1)),
    ] {
        for id in [a, b] {
            let tx = two.db.begin(&two.ada).await.unwrap();
            assert!(contact::get(&tx, id).await.unwrap().is_none());
            assert!(note::get(&tx, id).await.unwrap().is_none());
            assert!(note::get(&tx, theirs.note).await.unwrap().is_none());
            assert!(matches!(
                contact::delete(&tx, id).await,
                Err(domain::Error::NotFound)
            ));
            assert!(matches!(
                contact::update(&tx, id, None, ContactInput::default()).await,
                Err(domain::Error::NotFound)
            ));
        }
    }
    let mut answers = Vec::new();
    for id in [theirs.tag, Uuid::from_u128(1)] {
        let tx = two.db.begin(&two.ada).await.unwrap();
        answers.push([
            format!("{:?}", contact::tag(&tx, mine.contact, id).await),
            format!("{:?}", tag::rename(&tx, id, "new").await),
            format!("{:?}", tag::delete(&tx, id).await),
            format!("{:?}", note::create(&tx, id, "text", false).await),
            format!("{:?}", company::get(&tx, id).await),
            format!(
                "{:?}",
                contact::count(
                    &tx,
                    &Filter {
                        tag: Some(id),
                        ..Filter::default()
                    }
                )
                .await
            ),
        ]);
    }
    assert_eq!(answers[0], answers[1]);
    let place = AffiliationInput {
        company: Some(theirs.company),
        ..AffiliationInput::default()
    };
    let input = ContactInput {
        given_name: Change::To(Some("X".to_owned())),
        affiliations: Some(vec![place]),
        ..ContactInput::default()
    };
    let tx = two.db.begin(&two.ada).await.unwrap();
    assert!(matches!(
        contact::create(&tx, input).await,
        Err(domain::Error::Invalid(_))
    ));
}

#[tokio::test]
async fn lists_counts_and_searches_are_the_viewers_alone() {
    let two = Two::new().await;
    let tx = two.db.read(&two.ada).await.unwrap();
    let page = PageRequest::new(None, None, None, None).unwrap();
    let all = contact::list(&tx, &Filter::default(), Order::default(), &page)
        .await
        .unwrap();
    assert_eq!(all.items.len(), 1);
    for text in ["bob", "%", "_", "@", "\\", "a%b", "'", "contact"] {
        let filter = Filter {
            text: Some(text.to_owned()),
            ..Filter::default()
        };
        let found = contact::list(&tx, &filter, Order::default(), &page)
            .await
            .unwrap();
        assert!(
            found
                .items
                .iter()
                .all(|contact| contact.owner_id == two.ada.owner()),
            "{text}"
        );
        assert_eq!(
            contact::count(&tx, &filter).await.unwrap(),
            found.items.len() as u64,
            "{text}"
        );
    }
    let everyones = Filter {
        text: Some("example.test".to_owned()),
        ..Filter::default()
    };
    assert_eq!(contact::count(&tx, &everyones).await.unwrap(), 1);
}

#[tokio::test]
async fn a_failed_opening_leaves_no_transaction_behind() {
    let two = Two::new().await;
    let ended = two.ended_session();
    for _ in 0..40 {
        assert!(matches!(
            two.db.read(&ended).await,
            Err(domain::Error::Unauthenticated)
        ));
        let tx = two.db.read(&two.ada).await.unwrap();
        assert!(contact::count(&tx, &Filter::default()).await.is_ok());
    }
}

#[tokio::test]
async fn a_cancelled_opening_leaves_no_transaction_behind() {
    let two = Two::new().await;
    for micros in (0..3000).step_by(50) {
        let opening = tokio::time::timeout(std::time::Duration::from_micros(micros), two.db.begin(&two.ada));
        drop(opening.await);
    }
    // Nobody still holds the owner's lock, and no connection is left inside a transaction.
    let tx = two.db.begin(&two.ada).await.unwrap();
    let input = ContactInput {
        emails: Some(vec![Labelled {
            label: None,
            value: "late@example.test".to_owned(),
        }]),
        ..ContactInput::default()
    };
    contact::create(&tx, input).await.unwrap();
    tx.commit().await.unwrap();
}
