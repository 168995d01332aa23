//! API keys: made by a person, kept as a hash, and good for what they were made for until they end.

use chrono::{DateTime, TimeDelta, Utc};
use domain::db::Freshness;
use domain::identity::api_key::{self, ApiKey, ApiKeys, LIFETIME, LONGEST, MOST, NewApiKey};
use domain::identity::scope::Scope;
use domain::testing::Login;
use domain::viewer::Via;
use domain::{Code, Db, Error, Result, Viewer, tag};

use super::identity::{Setting, client, code, unauthenticated};

const ALL_GOOD: &str = "SELECT count(*) FROM api_key WHERE revoked_at IS NULL";

fn new(scopes: &[&str]) -> NewApiKey {
    NewApiKey {
        name: "Zapier".to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        expires_at: None,
    }
}

async fn person(setting: &Setting, address: &str) -> Viewer {
    setting.viewer(&setting.sign_in(address).await).await
}

async fn make(setting: &Setting, viewer: &Viewer, new: NewApiKey) -> Result<(ApiKey, String)> {
    let tx = setting.db.begin_account(viewer, Freshness::Recent).await?;
    let (key, text) = api_key::create(&tx, new).await?;
    tx.commit().await?;
    Ok((key, text.expose().to_owned()))
}

async fn revoke(setting: &Setting, viewer: &Viewer, key: &ApiKey) -> Result<ApiKey> {
    let tx = setting.db.begin_account(viewer, Freshness::Any).await?;
    let key = api_key::revoke(&tx, key.id).await?;
    tx.commit().await?;
    Ok(key)
}

async fn list(setting: &Setting, viewer: &Viewer) -> Vec<ApiKey> {
    api_key::list(&setting.db.read(viewer).await.unwrap())
        .await
        .unwrap()
}

/// Who comes by that key, to a process that has not seen it before.
async fn by_key(setting: &Setting, text: &str) -> Result<Viewer> {
    let known = ApiKeys::new(&setting.db, &setting.config).verify(text).await?;
    Ok(Viewer::from_api_key(&known, client()))
}

async fn tags(setting: &Setting, viewer: &Viewer) -> Result<u64> {
    tag::count(&setting.db.read(viewer).await?).await
}

#[tokio::test]
async fn a_key_comes_in_its_makers_name_and_does_what_it_was_made_for() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let (key, text) = make(&setting, &ada, new(&["tags:read", "tags:write"]))
        .await
        .unwrap();
    assert!(text.starts_with("crm_dev_") && text.starts_with(&key.hint));
    assert_eq!(key.expires_at, key.created_at + LIFETIME);
    assert_eq!(list(&setting, &ada).await, std::slice::from_ref(&key));

    let zapier = by_key(&setting, &text).await.unwrap();
    assert_eq!((zapier.owner(), zapier.user()), (ada.owner(), ada.user()));
    assert_eq!(zapier.via(), Via::ApiKey(key.id));
    for scope in Scope::ALL {
        assert!(ada.may(*scope));
        assert_eq!(
            zapier.may(*scope),
            [Scope::TagsRead, Scope::TagsWrite].contains(scope),
            "{scope:?}"
        );
    }
    let tx = setting.db.begin(&zapier).await.unwrap();
    tag::create(&tx, "Friends").await.unwrap();
    tx.commit().await.unwrap();
    let actor: String = sqlx::query_scalar("SELECT actor FROM journal WHERE table_name = 'tag'")
        .fetch_one(&mut setting.admin().await)
        .await
        .unwrap();
    assert_eq!(actor, format!("api_key:{}", key.id));
}

#[tokio::test]
async fn the_database_knows_no_key() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let (key, text) = make(&setting, &ada, new(&["tags:read"])).await.unwrap();
    by_key(&setting, &text).await.unwrap();
    revoke(&setting, &ada, &key).await.unwrap();
    let mut admin = setting.admin().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    assert!(tables.iter().any(|table| table == "public.api_key"));
    // As text, as bytes, and what follows the prefix alone.
    let secret = text.rsplit('_').next().unwrap();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut rows = 0;
    for table in tables {
        let sql = format!(
            "SELECT count(*), count(*) FILTER (WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0) FROM {table} t"
        );
        let (all, hits): (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(secret)
            .bind(&hex)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        rows += all;
        assert_eq!(hits, 0, "{table}");
    }
    assert!(rows > 5);
}

#[tokio::test]
async fn keys_end_and_their_next_transaction_is_refused() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let (revoked, text) = make(&setting, &ada, new(&["tags:read"])).await.unwrap();
    let keys = ApiKeys::new(&setting.db, &setting.config);
    let remembered = Viewer::from_api_key(&keys.verify(&text).await.unwrap(), client());
    assert_eq!(tags(&setting, &remembered).await.unwrap(), 0);
    let gone = revoke(&setting, &ada, &revoked).await.unwrap();
    assert!(!gone.is_good(setting.clock.now()));
    assert!(unauthenticated(tags(&setting, &remembered).await));
    assert!(unauthenticated(by_key(&setting, &text).await));
    // The process that remembers it does so for seconds.
    setting.clock.advance(TimeDelta::seconds(3));
    assert!(unauthenticated(keys.verify(&text).await));

    let soon = Some(setting.clock.now() + TimeDelta::minutes(5));
    let short = NewApiKey {
        expires_at: soon,
        ..new(&["tags:read"])
    };
    let (_, text) = make(&setting, &ada, short).await.unwrap();
    let viewer = by_key(&setting, &text).await.unwrap();
    keys.verify(&text).await.unwrap();
    setting.clock.advance(TimeDelta::minutes(5));
    assert!(unauthenticated(keys.verify(&text).await));
    assert!(unauthenticated(by_key(&setting, &text).await));
    assert!(unauthenticated(tags(&setting, &viewer).await));
}

#[tokio::test]
async fn keys_of_an_account_that_goes_open_nothing_and_come_back_with_it() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let (_, text) = make(&setting, &ada, new(&["tags:read"])).await.unwrap();
    let viewer = by_key(&setting, &text).await.unwrap();
    let mut admin = setting.admin().await;
    sqlx::query(
        "UPDATE app_user SET deletion_requested_at = now(), delete_after = now() + interval '7 days'",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    assert!(unauthenticated(tags(&setting, &viewer).await));
    assert!(unauthenticated(by_key(&setting, &text).await));
    sqlx::query("UPDATE app_user SET deletion_requested_at = NULL, delete_after = NULL")
        .execute(&mut admin)
        .await
        .unwrap();
    assert_eq!(tags(&setting, &viewer).await.unwrap(), 0);
    sqlx::query("DELETE FROM app_user")
        .execute(&mut admin)
        .await
        .unwrap();
    assert!(unauthenticated(tags(&setting, &viewer).await));
    assert!(unauthenticated(by_key(&setting, &text).await));
}

#[tokio::test]
async fn a_key_touches_no_account_and_one_that_reads_writes_nothing() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let everything: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let (_, text) = make(&setting, &ada, new(&everything)).await.unwrap();
    let all = by_key(&setting, &text).await.unwrap();
    for freshness in [Freshness::Any, Freshness::Recent] {
        let opened = setting.db.begin_account(&all, freshness).await;
        assert!(matches!(opened, Err(Error::Forbidden)));
    }
    setting.db.begin(&all).await.unwrap();

    let reading: Vec<&str> = Scope::ALL
        .iter()
        .filter(|scope| scope.only_reads())
        .map(|scope| scope.as_str())
        .collect();
    let (_, text) = make(&setting, &ada, new(&reading)).await.unwrap();
    let reads = by_key(&setting, &text).await.unwrap();
    assert!(matches!(setting.db.begin(&reads).await, Err(Error::Forbidden)));
    let machinery = setting.db.begin_machinery(&reads).await;
    assert!(matches!(machinery, Err(Error::Forbidden)));
    assert_eq!(tags(&setting, &reads).await.unwrap(), 0);
}

#[tokio::test]
async fn only_who_just_showed_who_they_are_makes_a_key() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let (key, _) = make(&setting, &ada, new(&["tags:read"])).await.unwrap();
    setting.clock.advance(TimeDelta::minutes(10));
    let late = make(&setting, &ada, new(&["tags:read"])).await;
    assert!(matches!(late, Err(Error::StepUpRequired)));
    assert_eq!(setting.count(ALL_GOOD).await, 1);
    // To take one away no time is too late.
    revoke(&setting, &ada, &key).await.unwrap();
    assert_eq!(setting.count(ALL_GOOD).await, 0);
}

#[tokio::test]
async fn another_users_key_is_not_there() {
    let setting = Setting::new().await;
    let (ada, bob) = (
        person(&setting, "ada@example.org").await,
        person(&setting, "bob@example.org").await,
    );
    let (key, _) = make(&setting, &ada, new(&["tags:read"])).await.unwrap();
    assert!(list(&setting, &bob).await.is_empty());
    assert!(matches!(revoke(&setting, &bob, &key).await, Err(Error::NotFound)));
    assert_eq!(setting.count(ALL_GOOD).await, 1);
}

#[tokio::test]
async fn all_that_is_wrong_with_a_new_key_is_told_at_once() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let now = setting.clock.now();
    let fields = async |new: NewApiKey| match make(&setting, &ada, new).await {
        Err(Error::Invalid(errors)) => errors
            .into_iter()
            .map(|error| (error.field.join("."), error.code))
            .collect(),
        other => vec![(format!("{other:?}"), Code::Conflict)],
    };
    let wrong = NewApiKey {
        name: " ".to_owned(),
        scopes: vec!["tags:read".to_owned(), "admin".to_owned()],
        expires_at: Some(now - TimeDelta::seconds(1)),
    };
    let told = [
        ("name".to_owned(), Code::Required),
        ("scopes.1".to_owned(), Code::Invalid),
        ("expiresAt".to_owned(), Code::Invalid),
    ];
    assert_eq!(fields(wrong).await, told);
    let named = |name: String| NewApiKey {
        name,
        ..new(&["tags:read"])
    };
    let name = |code| vec![("name".to_owned(), code)];
    assert_eq!(fields(named("é".repeat(101))).await, name(Code::TooLong));
    assert_eq!(fields(named("a\nb".to_owned())).await, name(Code::Invalid));
    assert_eq!(fields(new(&[])).await, [("scopes".to_owned(), Code::Required)]);
    for at in [DateTime::<Utc>::MAX_UTC, now + LONGEST + TimeDelta::hours(1)] {
        let late = NewApiKey {
            expires_at: Some(at),
            ..new(&["tags:read"])
        };
        assert_eq!(fields(late).await, [("expiresAt".to_owned(), Code::Invalid)]);
    }
    assert_eq!(setting.count("SELECT count(*) FROM api_key").await, 0);
    assert_eq!(
        setting
            .count("SELECT count(*) FROM audit_event WHERE kind LIKE 'api_key%'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_user_has_so_many_keys_at_most_however_fast_they_ask() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let mut last = None;
    for _ in 1..MOST {
        last = Some(make(&setting, &ada, new(&["tags:read"])).await.unwrap().0);
    }
    let asked = (0..6).map(|_| make(&setting, &ada, new(&["tags:read"])));
    let made = futures::future::join_all(asked).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    assert_eq!(setting.count(ALL_GOOD).await, MOST);
    // One goes, another may come; but not for ever on one day.
    for _ in 0..MOST {
        let gone = last.take().unwrap();
        revoke(&setting, &ada, &gone).await.unwrap();
        last = Some(make(&setting, &ada, new(&["tags:read"])).await.unwrap().0);
    }
    revoke(&setting, &ada, &last.unwrap()).await.unwrap();
    let more = make(&setting, &ada, new(&["tags:read"])).await;
    assert_eq!(code(more), Some(Code::TooMany));
}

#[tokio::test]
async fn uses_are_written_down_once_a_minute() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let (_, text) = make(&setting, &ada, new(&["tags:read"])).await.unwrap();
    let keys = ApiKeys::new(&setting.db, &setting.config);
    let last = async || list(&setting, &ada).await[0].last_used_at;
    assert_eq!(last().await, None);
    keys.verify(&text).await.unwrap();
    let first = last().await.unwrap();
    setting.clock.advance(TimeDelta::seconds(50));
    keys.verify(&text).await.unwrap();
    assert_eq!(last().await, Some(first));
    setting.clock.advance(TimeDelta::seconds(10));
    keys.verify(&text).await.unwrap();
    assert!(last().await.unwrap() >= first + TimeDelta::minutes(1));
}

#[tokio::test]
async fn making_and_revoking_is_in_the_trail_and_mailed() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    let (key, _) = make(&setting, &ada, new(&["tags:read"])).await.unwrap();
    revoke(&setting, &ada, &key).await.unwrap();
    // Twice is no error, and nothing new.
    revoke(&setting, &ada, &key).await.unwrap();
    let Via::Session(session) = ada.via() else {
        panic!("a person")
    };
    let events: Vec<(String, String, uuid::Uuid, uuid::Uuid)> = sqlx::query_as(
        "SELECT kind, detail, api_key_id, session_id FROM audit_event WHERE kind LIKE 'api_key%' ORDER BY at, id",
    )
    .fetch_all(&mut setting.admin().await)
    .await
    .unwrap();
    let event = |kind: &str| (kind.to_owned(), "Zapier".to_owned(), key.id, session);
    assert_eq!(events, [event("api_key.created"), event("api_key.revoked")]);
    let mails = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'send-account-notice'";
    assert_eq!(setting.count(mails).await, 2);
}

#[tokio::test]
async fn keys_that_ended_long_ago_are_swept() {
    let setting = Setting::new().await;
    let ada = person(&setting, "ada@example.org").await;
    make(&setting, &ada, new(&["tags:read"])).await.unwrap();
    let (gone, _) = make(&setting, &ada, new(&["tags:read"])).await.unwrap();
    revoke(&setting, &ada, &gone).await.unwrap();
    let worker = setting.database.config(Login::Worker, &[]);
    let worker = Db::connect(&worker, "worker", setting.clock.clone()).unwrap();
    let swept = async || domain::sweep::run(&worker).await.unwrap().api_keys;
    setting.clock.advance(TimeDelta::days(89));
    assert_eq!(swept().await, 0);
    setting.clock.advance(TimeDelta::days(2));
    assert_eq!(swept().await, 1);
    assert_eq!(setting.count(ALL_GOOD).await, 1);
    setting.clock.advance(LIFETIME);
    assert_eq!(swept().await, 1);
}
