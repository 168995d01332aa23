//! The audit trail: what is written into it, whom it mails, and that nobody changes it.

use domain::db::Freshness;
use domain::error::Error;
use domain::identity::browser::BrowserSecret;
use domain::identity::link;
use domain::identity::own_session;
use domain::identity::session::{self, ClientInfo, End};
use domain::identity::sign_in::{Outcome, SignedIn};
use domain::testing::Login;
use domain::{Code, Viewer};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::identity::{Setting, client, code, unauthenticated};

const HOME: &str = "192.0.2.7";
/// In the same country-sized network, and in another.
const NEAR: &str = "192.15.0.9";
const FAR: &str = "203.0.113.5";

fn from(address: &str, device: Option<&str>) -> ClientInfo {
    ClientInfo {
        address: address.parse().unwrap(),
        user_agent: Some("Firefox/1\r\nX".to_owned()),
        device: device.map(str::to_owned),
    }
}

async fn sign_in_from(setting: &Setting, client: &ClientInfo) -> SignedIn {
    let browser = BrowserSecret::new().unwrap();
    let id = setting.request("ada@example.org", &browser).await.unwrap();
    let token = setting.token(id).await;
    let redeemed = link::redeem_link(&setting.db, &setting.limits, id, &token, Some(&browser), client).await;
    // Five mails in a quarter of an hour, and no more.
    setting.clock.advance(chrono::TimeDelta::minutes(4));
    match redeemed.unwrap() {
        Outcome::SignedIn(signed_in) => signed_in,
        Outcome::SecondFactor(_) => panic!("a second factor is wanted"),
    }
}

/// The kinds of the trail, oldest first.
async fn kinds(setting: &Setting) -> Vec<String> {
    sqlx::query_scalar("SELECT kind FROM audit_event ORDER BY at, id")
        .fetch_all(&mut setting.admin().await)
        .await
        .unwrap()
}

async fn mails(setting: &Setting) -> i64 {
    setting
        .count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'send-account-notice'")
        .await
}

#[tokio::test]
async fn a_new_device_or_network_is_told_of_and_a_known_one_is_not() {
    let setting = Setting::new().await;
    let (laptop, phone) = ("l".repeat(43), "p".repeat(43));
    for (address, device, kind) in [
        // The account's first: everything is new, and who made it is the only one there is.
        (HOME, Some(&laptop), "sign_in.succeeded"),
        (HOME, Some(&laptop), "sign_in.succeeded"),
        (NEAR, Some(&laptop), "sign_in.succeeded"),
        (FAR, Some(&laptop), "sign_in.new_client"),
        (FAR, Some(&laptop), "sign_in.succeeded"),
        (HOME, Some(&phone), "sign_in.new_client"),
        (FAR, Some(&phone), "sign_in.succeeded"),
        // One that keeps no cookies is always new.
        (HOME, None, "sign_in.new_client"),
        (HOME, None, "sign_in.new_client"),
        (HOME, Some(&laptop), "sign_in.succeeded"),
    ] {
        let before = mails(&setting).await;
        sign_in_from(&setting, &from(address, device.map(String::as_str))).await;
        assert_eq!(
            kinds(&setting).await.last().unwrap(),
            kind,
            "{address} {device:?}"
        );
        let mailed = i64::from(kind == "sign_in.new_client");
        assert_eq!(mails(&setting).await - before, mailed, "{address} {device:?}");
    }
    assert_eq!(kinds(&setting).await[0], "account.created");
    // Devices and networks are kept as hashes of their user's own.
    let kept = "SELECT count(*) FROM known_client k WHERE k::text LIKE '%192.%' OR k::text LIKE '%lll%' OR length(hash) <> 32";
    assert_eq!(setting.count(kept).await, 0);
    assert_eq!(setting.count("SELECT count(*) FROM known_client").await, 4);
}

#[tokio::test]
async fn anothers_device_is_new_to_me() {
    let setting = Setting::new().await;
    let shared = "s".repeat(43);
    sign_in_from(&setting, &from(HOME, Some("o"))).await;
    let browser = BrowserSecret::new().unwrap();
    let id = setting.request("bob@example.org", &browser).await.unwrap();
    let token = setting.token(id).await;
    let theirs = from(HOME, Some(&shared));
    link::redeem_link(&setting.db, &setting.limits, id, &token, Some(&browser), &theirs)
        .await
        .unwrap();
    assert_eq!(kinds(&setting).await.last().unwrap(), "sign_in.succeeded");
    sign_in_from(&setting, &theirs).await;
    assert_eq!(kinds(&setting).await.last().unwrap(), "sign_in.new_client");
}

#[tokio::test]
async fn refused_ways_in_are_written_down_for_accounts_that_are_there() {
    let setting = Setting::new().await;
    sign_in_from(&setting, &client()).await;
    let browser = BrowserSecret::new().unwrap();
    let other = BrowserSecret::new().unwrap();
    let mut answers = Vec::new();
    for address in ["ada@example.org", "nobody@example.org"] {
        let id = setting.request(address, &browser).await.unwrap();
        let token = setting.token(id).await;
        answers.push([
            code(setting.redeem(id, "x", Some(&browser)).await),
            code(setting.redeem(id, &token, Some(&other)).await),
            code(setting.redeem(id, &token, None).await),
        ]);
        setting.request(address, &browser).await.unwrap();
        assert_eq!(
            code(setting.redeem(id, &token, Some(&browser)).await),
            Some(Code::LinkInvalid)
        );
    }
    assert_eq!(answers[0], answers[1], "the answers tell nothing");
    setting
        .redeem(Uuid::now_v7(), "x", Some(&browser))
        .await
        .err()
        .unwrap();
    let refused: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT method, detail, address FROM audit_event WHERE kind = 'sign_in.refused' ORDER BY at, id",
    )
    .fetch_all(&mut setting.admin().await)
    .await
    .unwrap();
    let details: Vec<&str> = refused.iter().map(|event| event.1.as_str()).collect();
    assert_eq!(
        details,
        [
            "the link was not the one that was mailed",
            "the link was opened in another browser",
            "the link was opened in another browser",
            "the link was used, replaced or too old",
        ]
    );
    assert!(
        refused
            .iter()
            .all(|event| event.0 == "email_link" && event.2 == HOME)
    );
    assert_eq!(mails(&setting).await, 0, "nobody is mailed by whoever guesses");
}

#[tokio::test]
async fn nobody_buries_the_trail_under_what_they_try() {
    let setting = Setting::new().await;
    sign_in_from(&setting, &client()).await;
    let browser = BrowserSecret::new().unwrap();
    for _ in 0..4 {
        let id = setting.request("ada@example.org", &browser).await.unwrap();
        for _ in 0..12 {
            setting.redeem(id, "x", Some(&browser)).await.err().unwrap();
        }
    }
    assert_eq!(
        setting
            .count("SELECT count(*) FROM audit_event WHERE kind = 'sign_in.refused'")
            .await,
        20
    );
    setting.clock.advance(chrono::TimeDelta::hours(1));
    let id = setting.request("ada@example.org", &browser).await.unwrap();
    setting.redeem(id, "x", Some(&browser)).await.err().unwrap();
    assert_eq!(
        setting
            .count("SELECT count(*) FROM audit_event WHERE kind = 'sign_in.refused'")
            .await,
        21
    );
}

#[tokio::test]
async fn the_ends_of_sessions_are_written_down_once() {
    let setting = Setting::new().await;
    let first = setting
        .sign_in("ada@example.org")
        .await
        .session
        .refresh_token
        .to_cookie();
    for why in [End::SignedOut, End::SignedOut, End::Replaced] {
        session::end_by_token(&setting.db, &first, &client(), why)
            .await
            .unwrap();
    }
    let stolen = setting
        .sign_in("ada@example.org")
        .await
        .session
        .refresh_token
        .to_cookie();
    let next = session::refresh(&setting.db, &stolen, &client()).await.unwrap();
    setting.clock.advance(chrono::TimeDelta::minutes(1));
    let thief = from(FAR, None);
    for _ in 0..3 {
        assert!(unauthenticated(
            session::refresh(&setting.db, &stolen, &thief).await
        ));
    }
    let current = next.refresh_token.to_cookie();
    assert!(unauthenticated(
        session::refresh(&setting.db, &current, &client()).await
    ));
    let all = kinds(&setting).await;
    assert_eq!(
        all,
        [
            "account.created",
            "sign_in.succeeded",
            "session.ended",
            "sign_in.new_client",
            "session.token_reused"
        ]
    );
    let told: (String, String, Uuid) = sqlx::query_as(
        "SELECT address, user_agent, session_id FROM audit_event WHERE kind = 'session.token_reused'",
    )
    .fetch_one(&mut setting.admin().await)
    .await
    .unwrap();
    assert_eq!(
        (told.0.as_str(), told.1.as_str()),
        (FAR, "Firefox/1X"),
        "who presented it, on one line"
    );
    assert_eq!(told.2, next.subject.session());
    assert_eq!(mails(&setting).await, 2);
}

#[tokio::test]
async fn who_came_by_no_session_has_no_account_to_change() {
    let setting = Setting::new().await;
    let viewer = setting.viewer(&setting.sign_in("ada@example.org").await).await;
    let job = Viewer::from_job(viewer.owner(), viewer.user(), Uuid::now_v7());
    assert!(matches!(
        setting.db.begin_account(&job, Freshness::Any).await,
        Err(Error::Forbidden)
    ));
    // Own rows alone, also of who shares an owner.
    let other = setting.viewer(&setting.sign_in("bob@example.org").await).await;
    let tx = setting
        .db
        .begin_account(&viewer, Freshness::Recent)
        .await
        .unwrap();
    let domain::viewer::Via::Session(theirs) = other.via() else {
        unreachable!()
    };
    assert!(matches!(
        own_session::end(&tx, theirs).await,
        Err(Error::NotFound)
    ));
    assert_eq!(own_session::list(&tx).await.unwrap().len(), 1);
    drop(tx);
    setting.clock.advance(chrono::TimeDelta::minutes(10));
    assert!(matches!(
        setting.db.begin_account(&viewer, Freshness::Recent).await,
        Err(Error::StepUpRequired)
    ));
    // Using a session is no authentication: only signing in is.
    setting.db.begin_account(&viewer, Freshness::Any).await.unwrap();
}

#[tokio::test]
async fn nobody_changes_the_trail() {
    let setting = Setting::new().await;
    let viewer = setting.viewer(&setting.sign_in("ada@example.org").await).await;
    for login in [Login::Api, Login::Worker] {
        let mut raw = PgConnection::connect(setting.database.url(login).as_str())
            .await
            .unwrap();
        for role in [
            "",
            "SET LOCAL ROLE crm_account;",
            "SET LOCAL ROLE crm_auth;",
            "SET LOCAL ROLE crm_system;",
        ] {
            for statement in [
                "UPDATE audit_event SET detail = 'x'",
                "DELETE FROM audit_event",
                "TRUNCATE audit_event",
                "ALTER TABLE audit_event DISABLE ROW LEVEL SECURITY",
            ] {
                let opened = format!(
                    "BEGIN; SET LOCAL app.owner_id = '{}'; SET LOCAL app.user_id = '{}'; {role}",
                    viewer.owner(),
                    viewer.user()
                );
                let system_of_the_api = login == Login::Api && role.contains("system");
                let opened = sqlx::raw_sql(AssertSqlSafe(opened)).execute(&mut raw).await;
                assert_eq!(opened.is_err(), system_of_the_api, "{login:?} {role}");
                if !system_of_the_api {
                    let refused = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
                        .execute(&mut raw)
                        .await;
                    let found = refused
                        .err()
                        .and_then(|e| e.as_database_error()?.code().map(|code| code.into_owned()));
                    assert_eq!(found.as_deref(), Some("42501"), "{login:?} {role} {statement}");
                }
                sqlx::raw_sql("ROLLBACK").execute(&mut raw).await.unwrap();
            }
        }
        // Nor is anything written in another's name.
        let forged = format!(
            "BEGIN; SET LOCAL app.owner_id = '{}'; SET LOCAL app.user_id = '{}';
             INSERT INTO audit_event (owner_id, id, user_id, at, kind) VALUES ('{0}', gen_random_uuid(), gen_random_uuid(), now(), 'x')",
            viewer.owner(),
            viewer.user()
        );
        let refused = sqlx::raw_sql(AssertSqlSafe(forged)).execute(&mut raw).await;
        let found = refused
            .err()
            .and_then(|e| e.as_database_error()?.code().map(|code| code.into_owned()));
        assert_eq!(found.as_deref(), Some("42501"));
    }
    assert_eq!(setting.count("SELECT count(*) FROM audit_event").await, 2);
}
