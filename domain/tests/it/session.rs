//! The session that a sign-in begins: its refresh tokens, its end, and what is kept of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use domain::db::Freshness;
use domain::identity::account::{self, ProfileChange};
use domain::identity::browser::BrowserSecret;
use domain::identity::link;
use domain::identity::own_session;
use domain::identity::session::{self, End};
use domain::identity::token::Tokens;
use domain::testing::Login;
use domain::{Code, Db, Error};

use super::identity::{Setting, client, code, unauthenticated};

#[tokio::test]
async fn a_refresh_token_turns_into_the_next_and_for_a_while_into_the_same() {
    let setting = Setting::new().await;
    let first = setting
        .sign_in("ada@example.org")
        .await
        .session
        .refresh_token
        .to_cookie();
    let second = session::refresh(&setting.db, &first, &client()).await.unwrap();
    let again = session::refresh(&setting.db, &first, &client()).await.unwrap();
    assert_eq!(second.refresh_token.to_cookie(), again.refresh_token.to_cookie());
    assert_eq!(second.subject, again.subject);
    assert_ne!(second.refresh_token.to_cookie(), first);
    let client = client();
    let all = (0..10).map(|_| session::refresh(&setting.db, &first, &client));
    for same in futures::future::join_all(all).await {
        assert_eq!(
            same.unwrap().refresh_token.to_cookie(),
            second.refresh_token.to_cookie()
        );
    }
    session::refresh(&setting.db, &second.refresh_token.to_cookie(), &client)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_older_refresh_token_ends_the_family_and_the_access_token_with_it() {
    let setting = Setting::new().await;
    let signed_in = setting.sign_in("ada@example.org").await;
    let viewer = setting.viewer(&signed_in).await;
    let first = signed_in.session.refresh_token.to_cookie();
    let second = session::refresh(&setting.db, &first, &client()).await.unwrap();
    let third = session::refresh(&setting.db, &second.refresh_token.to_cookie(), &client())
        .await
        .unwrap();
    setting.db.read(&viewer).await.unwrap();
    assert!(unauthenticated(
        session::refresh(&setting.db, &first, &client()).await
    ));
    assert!(unauthenticated(setting.db.read(&viewer).await));
    assert!(unauthenticated(setting.db.begin(&viewer).await));
    let current = third.refresh_token.to_cookie();
    assert!(unauthenticated(
        session::refresh(&setting.db, &current, &client()).await
    ));
}

#[tokio::test]
async fn the_token_just_before_is_too_old_after_half_a_minute() {
    let setting = Setting::new().await;
    let first = setting
        .sign_in("ada@example.org")
        .await
        .session
        .refresh_token
        .to_cookie();
    let second = session::refresh(&setting.db, &first, &client())
        .await
        .unwrap()
        .refresh_token
        .to_cookie();
    setting.clock.advance(TimeDelta::seconds(31));
    assert!(unauthenticated(
        session::refresh(&setting.db, &first, &client()).await
    ));
    assert!(unauthenticated(
        session::refresh(&setting.db, &second, &client()).await
    ));
}

#[tokio::test]
async fn garbage_ends_nothing() {
    let setting = Setting::new().await;
    let cookie = setting
        .sign_in("ada@example.org")
        .await
        .session
        .refresh_token
        .to_cookie();
    let changed = format!("{}A", &cookie[..cookie.len() - 1]);
    for garbage in [
        "",
        "test.",
        "other.AAAA",
        "\0",
        &changed,
        &cookie[..40],
        &"a".repeat(10_000),
    ] {
        if *garbage != cookie {
            assert!(
                unauthenticated(session::refresh(&setting.db, garbage, &client()).await),
                "{garbage}"
            );
            session::end_by_token(&setting.db, garbage, &client(), End::SignedOut)
                .await
                .unwrap();
        }
    }
    session::refresh(&setting.db, &cookie, &client()).await.unwrap();
}

#[tokio::test]
async fn a_session_ends_idle_at_its_age_and_when_told() {
    let setting = Setting::new().await;
    let idle = setting
        .sign_in("idle@example.org")
        .await
        .session
        .refresh_token
        .to_cookie();
    let mut used = setting
        .sign_in("used@example.org")
        .await
        .session
        .refresh_token
        .to_cookie();
    for _ in 0..4 {
        setting.clock.advance(TimeDelta::days(20));
        used = session::refresh(&setting.db, &used, &client())
            .await
            .unwrap()
            .refresh_token
            .to_cookie();
    }
    assert!(unauthenticated(
        session::refresh(&setting.db, &idle, &client()).await
    ));
    setting.clock.advance(TimeDelta::days(10));
    assert!(unauthenticated(
        session::refresh(&setting.db, &used, &client()).await
    ));

    let one = setting.sign_in("ada@example.org").await;
    let two = setting.sign_in("ada@example.org").await;
    let (viewer, other) = (setting.viewer(&one).await, setting.viewer(&two).await);
    session::end_by_token(
        &setting.db,
        &one.session.refresh_token.to_cookie(),
        &client(),
        End::SignedOut,
    )
    .await
    .unwrap();
    assert!(unauthenticated(setting.db.read(&viewer).await));
    setting.db.read(&other).await.unwrap();
    let tx = setting.db.begin_account(&other, Freshness::Any).await.unwrap();
    assert_eq!(own_session::end_all(&tx).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(unauthenticated(setting.db.read(&other).await));
}

#[tokio::test]
async fn the_database_holds_no_token_and_no_cookie() {
    let setting = Setting::new().await;
    let browser = BrowserSecret::new().unwrap();
    let unspent = setting.request("bob@example.org", &browser).await.unwrap();
    let spent = setting.sign_in("ada@example.org").await;
    let first = spent.session.refresh_token.to_cookie();
    let second = session::refresh(&setting.db, &first, &client()).await.unwrap();
    let access = setting.tokens.issue(&second.subject).await.unwrap();
    let dump = dump(&setting).await;
    assert!(dump.contains("bob@example.org"));
    let mut secrets = vec![setting.token(unspent).await, browser.to_cookie(), access];
    for cookie in [first, second.refresh_token.to_cookie()] {
        let encoded = cookie.split_once('.').unwrap().1.to_owned();
        let bytes = URL_SAFE_NO_PAD.decode(&encoded).unwrap();
        secrets.push(hex(&bytes[20..52]));
        secrets.push(encoded);
    }
    for text in [setting.token(unspent).await, browser.to_cookie()] {
        secrets.push(hex(&URL_SAFE_NO_PAD.decode(text).unwrap()));
    }
    for secret in secrets {
        assert!(!dump.contains(&secret), "{secret}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every row of every table as text, in which bytes are hexadecimal; those of jobs as text besides.
async fn dump(setting: &Setting) -> String {
    let mut admin = setting.admin().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'apalis')",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let mut dump = String::new();
    for table in tables {
        let sql = sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut admin).await.unwrap();
        dump.push_str(&rows.join("\n"));
    }
    let jobs: Vec<String> = sqlx::query_scalar("SELECT convert_from(job, 'UTF8') FROM apalis.jobs")
        .fetch_all(&mut admin)
        .await
        .unwrap();
    dump + &jobs.join("\n")
}

#[tokio::test]
async fn a_profile_takes_what_exists() {
    let setting = Setting::new().await;
    let signed_in = setting.sign_in("ada@example.org").await;
    let viewer = setting.viewer(&signed_in).await;
    let tx = setting.db.begin(&viewer).await.unwrap();
    let changed = account::update_profile(
        &tx,
        ProfileChange {
            name: Some(Some("  Ada ".to_owned())),
            time_zone: Some("Europe/Berlin".to_owned()),
            phone_region: Some(Some("DE".to_owned())),
        },
    )
    .await
    .unwrap();
    assert_eq!(changed.name.as_deref(), Some("Ada"));
    assert_eq!(
        (changed.time_zone.as_str(), changed.phone_region.as_deref()),
        ("Europe/Berlin", Some("DE"))
    );
    let kept = account::update_profile(&tx, ProfileChange::default())
        .await
        .unwrap();
    assert_eq!(kept, changed);
    let wrong = account::update_profile(
        &tx,
        ProfileChange {
            name: Some(Some("x".repeat(201))),
            time_zone: Some("Europe/Atlantis".to_owned()),
            phone_region: Some(Some("XX".to_owned())),
        },
    )
    .await;
    let Err(Error::Invalid(errors)) = wrong else {
        unreachable!("three errors")
    };
    let fields: Vec<_> = errors.iter().map(|error| error.field.join(".")).collect();
    assert_eq!(fields, ["name", "timeZone", "phoneRegion"]);
    for zone in ["utc", "posix/UTC", "localtime", "<X>5", "europe/berlin", "", "\0"] {
        let change = ProfileChange {
            time_zone: Some(zone.to_owned()),
            ..ProfileChange::default()
        };
        assert_eq!(
            code(account::update_profile(&tx, change).await),
            Some(Code::Invalid),
            "{zone}"
        );
    }
}

#[tokio::test]
async fn a_new_root_key_signs_nobody_out() {
    let setting = Setting::new().await;
    let browser = BrowserSecret::new().unwrap();
    let id = setting.request("bob@example.org", &browser).await.unwrap();
    let token = setting.token(id).await;
    let old = setting
        .sign_in("ada@example.org")
        .await
        .session
        .refresh_token
        .to_cookie();
    setting.tokens.key_set().await.unwrap();

    let keys =
        "new:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,test:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
    let config = setting.database.config(Login::Worker, &[("ROOT_KEYS", keys)]);
    let db = Db::connect(&config, "test", setting.clock.clone()).unwrap();
    let mail = link::mail_for(&db, id).await.unwrap().unwrap();
    assert!(mail.url.contains(&token));
    link::redeem_link(&db, &setting.limits, id, &token, Some(&browser), &client())
        .await
        .unwrap();
    let next = session::refresh(&db, &old, &client()).await.unwrap();
    assert!(next.refresh_token.to_cookie().starts_with("new."));
    let again = session::refresh(&db, &old, &client()).await.unwrap();
    assert_eq!(again.refresh_token.to_cookie(), next.refresh_token.to_cookie());
    // A token from before the key was there is verified, and new ones are signed by the same key.
    let token = Tokens::new(&db, &config).issue(&next.subject).await.unwrap();
    setting.tokens.verify(&token).await.unwrap();
    // A process that has the old key alone does not take the new one for a theft.
    assert!(unauthenticated(
        session::refresh(&setting.db, &next.refresh_token.to_cookie(), &client()).await
    ));
    session::refresh(&db, &next.refresh_token.to_cookie(), &client())
        .await
        .unwrap();
}
