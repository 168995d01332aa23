//! The end of an account: after a week all that its user had is gone from every table, and from Redis; nobody
//! else's is.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::browser::{Browser, FRONT_END};
use crate::sign_in_by_mail::{MailDir, mailed};
use crate::support::{TestApp, User};

const SAMPLE: &[u8] = include_bytes!("../../../samples/google-contacts.csv");
const ADDRESS: &str = "ada.lovelace@example.test";

/// An account with a little of everything, some of it as only a whole product makes it.
struct Account<'a> {
    browser: Browser,
    user: User<'a>,
    ids: Vec<String>,
}

async fn account<'a>(app: &'a TestApp, mail: &MailDir) -> Account<'a> {
    let browser = Browser::at(app.url.parse().unwrap());
    let link = mailed(app, mail, &browser, ADDRESS).await;
    assert_eq!(browser.press(&link).await.status(), StatusCode::SEE_OTHER);
    let user = app.with_token(browser.access_token().await);
    let import = user.import("google-contacts.csv", SAMPLE).await;
    assert_eq!(import["state"], "COMPLETED");
    let contact = user
        .gql("{ contacts(first: 1) { nodes { id } } }", json!({}))
        .await["contacts"]["nodes"][0]["id"]
        .clone();
    for query in [
        "mutation ($id: ID!) { createNote(input: { contactId: $id, body: \"met at the fair\" }) { note { id } } }",
        "mutation ($id: ID!) { updateContact(input: { id: $id, nickname: \"Ace\" }) { contact { id } userErrors { message } } }",
    ] {
        user.gql(query, json!({ "id": contact })).await;
    }
    let mut admin = app.admin().await;
    let of: (uuid::Uuid, uuid::Uuid) =
        sqlx::query_as("SELECT owner_id, user_id FROM user_email WHERE canonical = $1")
            .bind(ADDRESS)
            .fetch_one(&mut admin)
            .await
            .unwrap();
    // What takes an authenticator, a provider or an integration to make.
    for sql in [
        "INSERT INTO external_identity (owner_id, id, user_id, provider, issuer, subject, email, created_at)
         VALUES ($1, gen_random_uuid(), $2, 'google', 'https://accounts.google.com', '1', 'ada.lovelace@example.test', now())",
        "INSERT INTO passkey (owner_id, id, user_id, credential_id, credential, name, created_at)
         VALUES ($1, gen_random_uuid(), $2, '\\x01', '{}', 'phone', now())",
        "INSERT INTO recovery_code (owner_id, id, user_id, code_hash, created_at) VALUES ($1, gen_random_uuid(), $2, '\\x01', now())",
        "INSERT INTO api_key (owner_id, id, user_id, name, hint, key_hash, scopes, created_at, expires_at)
         VALUES ($1, gen_random_uuid(), $2, 'Zapier', 'crm_', '\\x01', '{}', now(), now() + interval '1 year')",
        "INSERT INTO ceremony (id, kind, browser_hash, owner_id, user_id, state, root_key, created_at, expires_at)
         VALUES ('\\x01', 'second_factor', '\\x01', $1, $2, '\\x01', 'test', now(), now() + interval '30 days')",
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, idempotency_key, metadata)
         VALUES ('waits', 'run-import', convert_to('{\"import_id\": \"' || $2 || '\"}', 'UTF8'), 'Pending', 0, 9, now() + interval '30 days', 0,
            concat_ws(':', $1::uuid, $2::uuid, 'x'), hstore(ARRAY['owner', $1::text, 'user', $2::text]))",
    ] {
        sqlx::query(sql).bind(of.0).bind(of.1).execute(&mut admin).await.unwrap();
    }
    // A link that was asked for and not used.
    browser.ask(ADDRESS).await;
    app.run_jobs().await;
    Account {
        browser,
        user,
        ids: vec![of.0.to_string(), of.1.to_string()],
    }
}

/// The tables in which one of the needles stands, in any column, as text or in bytes.
async fn found(admin: &mut PgConnection, needles: &[String]) -> Vec<String> {
    let mut patterns = Vec::new();
    for needle in needles {
        let hex: String = needle.bytes().map(|byte| format!("{byte:02x}")).collect();
        patterns.extend([needle.clone(), hex, needle.replace('-', "")]);
    }
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    assert!(tables.len() > 30 && tables.contains(&"apalis.jobs".to_owned()));
    let mut found = Vec::new();
    for table in tables {
        let sql = format!(
            "SELECT count(*) FROM {table} t WHERE EXISTS (SELECT FROM unnest($1::text[]) p WHERE position(p IN lower(t::text)) > 0)"
        );
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(&patterns)
            .fetch_one(&mut *admin)
            .await
            .unwrap();
        if rows > 0 {
            found.push(format!("{table}: {rows}"));
        }
    }
    found
}

/// How many rows each owned table has of an owner, and what stands in them.
async fn rows_of(admin: &mut PgConnection, owner: &str) -> BTreeMap<String, (i64, Option<String>)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attname = 'owner_id' AND NOT a.attisdropped",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    let mut rows = BTreeMap::new();
    for table in tables {
        let sql = format!(
            "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t WHERE owner_id = $1::uuid"
        );
        let of = sqlx::query_as(AssertSqlSafe(sql))
            .bind(owner)
            .fetch_one(&mut *admin)
            .await
            .unwrap();
        rows.insert(table, of);
    }
    rows
}

async fn owner_of(admin: &mut PgConnection, address: &str) -> String {
    let owner: uuid::Uuid = sqlx::query_scalar("SELECT owner_id FROM user_email WHERE canonical = $1")
        .bind(address)
        .fetch_one(admin)
        .await
        .unwrap();
    owner.to_string()
}

async fn request(user: &User<'_>) {
    let asked = user
        .gql(
            "mutation { requestAccountDeletion { deleteAfter userErrors { message } } }",
            json!({}),
        )
        .await;
    assert!(
        asked["requestAccountDeletion"]["deleteAfter"].is_string(),
        "{asked}"
    );
}

/// What is due by now is done.
async fn time_passes(app: &TestApp, by: TimeDelta) {
    app.db.clock().advance(by);
    app.tick().await;
    app.run_jobs().await;
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"]
        .as_str()
        .unwrap_or_default()
}

#[actix_web::test]
async fn after_a_week_nothing_is_left_of_an_account_and_everything_of_another() {
    let mail = MailDir::new();
    let app = TestApp::with(&[("MAIL_DIR", mail.path()), ("FRONTEND_ORIGINS", FRONT_END)]).await;
    let mut admin = app.admin().await;
    let ada = account(&app, &mail).await;
    let bob = app.as_user("bob").await;
    bob.import("google-contacts.csv", SAMPLE).await;
    let bob_owner = owner_of(&mut admin, "bob@example.test").await;
    let needles = [ada.ids.clone(), vec![ADDRESS.to_owned(), "lovelace".to_owned()]].concat();
    let before = rows_of(&mut admin, &ada.ids[0]).await;
    // What lives within its transaction, and what only an import under way has.
    let empty: Vec<&str> = before
        .iter()
        .filter(|(_, rows)| rows.0 == 0)
        .map(|(table, _)| table.as_str())
        .collect();
    assert_eq!(
        empty,
        ["contact_search_due", "sign_in_link", "upload", "upload_chunk"],
        "the account has a little of everything else"
    );

    let tables = found(&mut admin, &needles).await.len();
    assert!(tables > 25, "the search finds what is there: {tables}");
    request(&ada.user).await;
    time_passes(&app, TimeDelta::days(7) - TimeDelta::minutes(1)).await;
    assert_eq!(
        rows_of(&mut admin, &ada.ids[0]).await["contact"],
        before["contact"],
        "not a minute too early"
    );
    let theirs = rows_of(&mut admin, &bob_owner).await;
    time_passes(&app, TimeDelta::hours(1)).await;

    assert_eq!(found(&mut admin, &needles).await, Vec::<String>::new());
    assert_eq!(app.count("SELECT count(*) FROM owner").await, 1);
    assert_eq!(rows_of(&mut admin, &bob_owner).await, theirs);
    assert_eq!(
        app.count("SELECT count(*) FROM apalis.jobs WHERE status NOT IN ('Done')")
            .await,
        0
    );

    // Whoever still holds a token or a cookie is nobody.
    assert_eq!(
        code(&ada.user.answer("{ viewer { email } }", json!({})).await),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        ada.browser.call("/session/token").await.status(),
        StatusCode::UNAUTHORIZED
    );
    // What comes to the address is a new account's.
    for file in std::fs::read_dir(mail.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let browser = Browser::at(app.url.parse().unwrap());
    let link = mailed(&app, &mail, &browser, ADDRESS).await;
    browser.press(&link).await;
    let anew = app.with_token(browser.access_token().await);
    let data = anew
        .gql(
            "{ viewer { email deleteAfter auditEvents { nodes { kind } } } contacts { totalCount } }",
            json!({}),
        )
        .await;
    let kinds = json!({ "nodes": [{ "kind": "sign_in.succeeded" }, { "kind": "account.created" }] });
    assert_eq!(
        data["viewer"],
        json!({ "email": ADDRESS, "deleteAfter": null, "auditEvents": kinds })
    );
    assert_eq!(data["contacts"]["totalCount"], 0);
    assert_ne!(owner_of(&mut admin, ADDRESS).await, ada.ids[0]);
}

#[actix_web::test]
async fn an_account_that_is_kept_loses_nothing() {
    let mail = MailDir::new();
    let app = TestApp::with(&[("MAIL_DIR", mail.path()), ("FRONTEND_ORIGINS", FRONT_END)]).await;
    let mut admin = app.admin().await;
    let ada = account(&app, &mail).await;
    let before = rows_of(&mut admin, &ada.ids[0]).await;
    request(&ada.user).await;
    time_passes(&app, TimeDelta::days(6)).await;
    // The tick of the last hour may be there already when the way back is taken.
    app.db.clock().advance(TimeDelta::days(1));
    app.tick().await;
    ada.browser.access_token().await;
    let user = app.with_token(ada.browser.access_token().await);
    user.gql(
        "mutation { cancelAccountDeletion { user { deleteAfter } } }",
        json!({}),
    )
    .await;
    app.run_jobs().await;
    time_passes(&app, TimeDelta::days(2)).await;
    let after = rows_of(&mut admin, &ada.ids[0]).await;
    for table in [
        "contact",
        "note",
        "tag",
        "contact_email",
        "company",
        "journal",
        "data_key",
        "import",
        "import_row",
        "user_email",
        "passkey",
        "api_key",
    ] {
        assert_eq!(after[table], before[table], "{table}");
    }
}
