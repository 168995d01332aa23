//! Passkeys, made and presented by an authenticator in software: rightly, and in every wrong way.

use chrono::TimeDelta;
use domain::db::Freshness;
use domain::identity::browser::BrowserSecret;
use domain::identity::passkey::{self, Challenge, Passkey};
use domain::identity::sign_in::{Outcome, SignedIn};
use domain::testing::Authenticator;
use domain::{Code, Error, Result, Viewer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::identity::{Setting, client, code};

/// Where a test's pages are.
const OWN: &str = "http://localhost:8080";

/// Somebody who has added a passkey in a session that began with a mailed link.
pub struct Holder {
    pub viewer: Viewer,
    pub device: Authenticator,
}

impl Holder {
    pub async fn new(setting: &Setting, address: &str) -> Self {
        let viewer = setting.viewer(&setting.sign_in(address).await).await;
        let mut device = Authenticator::at(OWN);
        add(setting, &viewer, &mut device).await.unwrap();
        Self { viewer, device }
    }

    /// A session that began with the passkey.
    pub async fn strong(&mut self, setting: &Setting) -> Viewer {
        setting
            .viewer(&present(setting, &mut self.device).await.unwrap())
            .await
    }
}

async fn asked(setting: &Setting, viewer: &Viewer, browser: &BrowserSecret) -> Result<Challenge> {
    passkey::begin_registration(&setting.db, &setting.limits, viewer, browser).await
}

async fn register(
    setting: &Setting,
    viewer: &Viewer,
    browser: Option<&BrowserSecret>,
    challenge: &Challenge,
    answer: Value,
) -> Result<Passkey> {
    let (db, limits) = (&setting.db, &setting.limits);
    passkey::register(db, limits, viewer, browser, &challenge.handle, answer, "").await
}

/// Adds a passkey as the page does.
pub async fn add(setting: &Setting, viewer: &Viewer, device: &mut Authenticator) -> Result<Passkey> {
    let browser = BrowserSecret::new().unwrap();
    let challenge = asked(setting, viewer, &browser).await?;
    let answer = device.create(&challenge.options);
    register(setting, viewer, Some(&browser), &challenge, answer).await
}

pub async fn challenge(setting: &Setting, browser: &BrowserSecret) -> Challenge {
    let address = client().address;
    passkey::begin_sign_in(&setting.db, &setting.limits, browser, "", address)
        .await
        .unwrap()
}

async fn answer(
    setting: &Setting,
    browser: Option<&BrowserSecret>,
    challenge: &Challenge,
    answer: Value,
) -> Result<SignedIn> {
    let (db, limits) = (&setting.db, &setting.limits);
    match passkey::sign_in(db, limits, &challenge.handle, answer, browser, &client()).await? {
        Outcome::SignedIn(signed_in) => Ok(signed_in),
        Outcome::SecondFactor(_) => panic!("a passkey is two factors"),
    }
}

/// Signs in as the page does.
pub async fn present(setting: &Setting, device: &mut Authenticator) -> Result<SignedIn> {
    let browser = BrowserSecret::new().unwrap();
    let challenge = challenge(setting, &browser).await;
    let signed = device.get(&challenge.options);
    answer(setting, Some(&browser), &challenge, signed).await
}

async fn events(setting: &Setting, kind: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM audit_event WHERE kind = $1")
        .bind(kind)
        .fetch_one(&mut setting.admin().await)
        .await
        .unwrap()
}

async fn notices(setting: &Setting) -> i64 {
    setting
        .count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'send-account-notice'")
        .await
}

/// Runs `change` in a transaction of the viewer's account.
pub async fn in_account<T>(
    setting: &Setting,
    viewer: &Viewer,
    change: impl AsyncFnOnce(&domain::Tx) -> Result<T>,
) -> Result<T> {
    let tx = setting.db.begin_account(viewer, Freshness::Recent).await?;
    let done = change(&tx).await?;
    tx.commit().await?;
    Ok(done)
}

#[tokio::test]
async fn a_passkey_signs_in_and_nobody_is_named_before() {
    let setting = Setting::new().await;
    let mut ada = Holder::new(&setting, "ada@example.org").await;
    let browser = BrowserSecret::new().unwrap();
    let options = challenge(&setting, &browser).await.options;
    assert_eq!(options["rpId"], "localhost");
    assert_eq!(options["userVerification"], "required");
    assert_eq!(options["allowCredentials"], json!([]));
    assert_eq!(options["challenge"].as_str().unwrap().len(), 43, "256 bits");

    let signed_in = present(&setting, &mut ada.device).await.unwrap();
    let viewer = setting.viewer(&signed_in).await;
    assert_eq!(viewer.user(), ada.viewer.user());
    let strong = setting
        .count("SELECT count(*) FROM session WHERE method = 'passkey' AND second_factor IS NULL")
        .await;
    assert_eq!(strong, 1);
    let list = passkey::list(&setting.db.read(&viewer).await.unwrap())
        .await
        .unwrap();
    assert_eq!(list.len(), 1);
    assert!(list[0].last_used_at.is_some());
    assert!(list[0].name.starts_with("Passkey of "), "{}", list[0].name);
    let counter = "SELECT (credential->'cred'->>'counter')::bigint FROM passkey";
    assert_eq!(setting.count(counter).await, 2, "the counter is written back");
    assert_eq!(events(&setting, "passkey.added").await, 1);
}

#[tokio::test]
async fn a_new_passkey_is_asked_to_be_found_without_a_name_and_to_verify_its_user() {
    let setting = Setting::new().await;
    let ada = Holder::new(&setting, "ada@example.org").await;
    let browser = BrowserSecret::new().unwrap();
    let options = asked(&setting, &ada.viewer, &browser).await.unwrap().options;
    let selection = &options["authenticatorSelection"];
    assert_eq!(selection["residentKey"], "required");
    assert_eq!(selection["requireResidentKey"], true);
    assert_eq!(selection["userVerification"], "required");
    assert_eq!(options["rp"]["id"], "localhost");
    assert_eq!(options["user"]["name"], "ada@example.org");
    assert_eq!(options["attestation"], "none");
    let known = options["excludeCredentials"].as_array().unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(ada.device.keys[0].user_handle, ada.viewer.user().as_bytes());
}

#[tokio::test]
async fn an_answer_that_does_not_hold_signs_nobody_in() {
    let setting = Setting::new().await;
    let ada = Holder::new(&setting, "ada@example.org").await;
    let bob = Holder::new(&setting, "bob@example.org").await;
    let sessions = setting.count("SELECT count(*) FROM session").await;
    let handle = bob.device.keys[0].user_handle.clone();
    let id = ada.device.keys[0].id.clone();
    let mut wrong: Vec<(&str, Authenticator)> = Vec::new();
    let mut with = |name, change: &dyn Fn(&mut Authenticator)| {
        let mut device = ada.device.clone();
        change(&mut device);
        wrong.push((name, device));
    };
    for origin in [
        "https://localhost:8080",
        "http://localhost",
        "http://localhost:8081",
        "http://app.localhost:8080",
        "http://localhost.evil.example:8080",
        "http://localhost:8080/",
        "null",
    ] {
        with(origin, &|device| device.origin = origin.to_owned());
    }
    with("framed by another site", &|device| device.cross_origin = true);
    for host in ["evil.example", "app.localhost", ""] {
        with("another host's", &|device| device.rp_id = Some(host.to_owned()));
    }
    with("no user verification", &|device| device.verifies = false);
    with("another user's handle", &|device| {
        device.keys[0].user_handle.clone_from(&handle);
    });
    with("no user's handle", &|device| {
        device.keys[0].user_handle = Uuid::now_v7().as_bytes().to_vec();
    });
    with("an empty handle", &|device| {
        device.keys[0].user_handle = Vec::new()
    });
    with("another key for the same credential", &|device| {
        let options = json!({ "user": { "id": "" }, "rp": { "id": "localhost" }, "challenge": "" });
        let handle = device.keys[0].user_handle.clone();
        device.create_with_id(id.clone(), &options);
        device.keys.last_mut().unwrap().user_handle = handle;
    });
    with("an unknown credential", &|device| device.keys[0].id = vec![7; 32]);
    // The last is nobody's, so there is nobody to tell.
    let known = wrong.len() - 1;
    for (name, mut device) in wrong {
        let refused = present(&setting, &mut device).await;
        assert_eq!(code(refused), Some(Code::PasskeyRefused), "{name}");
    }
    assert_eq!(setting.count("SELECT count(*) FROM session").await, sessions);
    let refused = i64::try_from(known).unwrap();
    assert_eq!(events(&setting, "sign_in.refused").await, refused);
    let mut device = ada.device;
    present(&setting, &mut device).await.unwrap();
}

#[tokio::test]
async fn what_is_no_answer_is_refused_and_spends_the_challenge() {
    let setting = Setting::new().await;
    let mut ada = Holder::new(&setting, "ada@example.org").await;
    let browser = BrowserSecret::new().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let change: [&dyn Fn(&mut Value); 8] = [
        &|answer| *answer = Value::Null,
        &|answer| *answer = json!({}),
        &|answer| answer["rawId"] = json!("AAAA"),
        &|answer| answer["response"]["userHandle"] = Value::Null,
        &|answer| answer["response"]["signature"] = json!(""),
        &|answer| answer["response"]["authenticatorData"] = json!("AA"),
        &|answer| answer["response"]["clientDataJSON"] = json!("e30"),
        &|answer| answer["response"]["signature"] = answer["response"]["authenticatorData"].clone(),
    ];
    for (index, change) in change.iter().enumerate() {
        let challenge = challenge(&setting, &browser).await;
        let right = ada.device.get(&challenge.options);
        let mut wrong = right.clone();
        change(&mut wrong);
        let refused = answer(&setting, Some(&browser), &challenge, wrong).await;
        assert_eq!(code(refused), Some(Code::PasskeyRefused), "{index}");
        let late = answer(&setting, Some(&browser), &challenge, right).await;
        assert_eq!(code(late), Some(Code::LinkInvalid), "{index}");
    }
    // Another kind of ceremony: what was signed for adding a passkey does not sign in.
    let challenge = challenge(&setting, &browser).await;
    let mut wrong = ada.device.get(&challenge.options);
    let made = asked(&setting, &ada.viewer, &browser).await.unwrap();
    let created = ada.device.clone().create(&made.options);
    wrong["response"]["clientDataJSON"] = json!(text(&created["response"]["clientDataJSON"]));
    let refused = answer(&setting, Some(&browser), &challenge, wrong).await;
    assert_eq!(code(refused), Some(Code::PasskeyRefused));
}

#[tokio::test]
async fn a_challenge_is_answered_once_in_time_and_by_its_browser() {
    let setting = Setting::new().await;
    let mut ada = Holder::new(&setting, "ada@example.org").await;
    let (browser, other) = (BrowserSecret::new().unwrap(), BrowserSecret::new().unwrap());

    let first = challenge(&setting, &browser).await;
    let signed = ada.device.get(&first.options);
    for wrong in [None, Some(&other)] {
        let refused = answer(&setting, wrong, &first, signed.clone()).await;
        assert_eq!(code(refused), Some(Code::LinkInvalid));
    }
    answer(&setting, Some(&browser), &first, signed.clone())
        .await
        .unwrap();
    let replayed = answer(&setting, Some(&browser), &first, signed.clone()).await;
    assert_eq!(code(replayed), Some(Code::LinkInvalid));

    // An answer is to its own challenge.
    let second = challenge(&setting, &browser).await;
    let refused = answer(&setting, Some(&browser), &second, signed).await;
    assert_eq!(code(refused), Some(Code::PasskeyRefused));

    let third = challenge(&setting, &browser).await;
    let signed = ada.device.get(&third.options);
    setting.clock.advance(TimeDelta::minutes(5));
    let late = answer(&setting, Some(&browser), &third, signed).await;
    assert_eq!(code(late), Some(Code::LinkInvalid));

    // Of twenty at once one is first.
    let fourth = challenge(&setting, &browser).await;
    let signed = ada.device.get(&fourth.options);
    let all = (0..20).map(|_| answer(&setting, Some(&browser), &fourth, signed.clone()));
    let all = futures::future::join_all(all).await;
    assert_eq!(all.iter().filter(|result| result.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused_and_told() {
    let setting = Setting::new().await;
    let mut ada = Holder::new(&setting, "ada@example.org").await;
    let mut copy = ada.device.clone();
    present(&setting, &mut ada.device).await.unwrap();
    let (sessions, mailed) = (
        setting.count("SELECT count(*) FROM session").await,
        notices(&setting).await,
    );
    let refused = present(&setting, &mut copy).await;
    assert_eq!(code(refused), Some(Code::PasskeyRefused));
    assert_eq!(setting.count("SELECT count(*) FROM session").await, sessions);
    assert_eq!(events(&setting, "passkey.cloned").await, 1);
    assert_eq!(notices(&setting).await, mailed + 1);
    // The right one goes on.
    present(&setting, &mut ada.device).await.unwrap();

    // Who never counts is fine; who counted once and says zero now is not.
    let mut device = Authenticator::at(OWN);
    device.counts = false;
    add(&setting, &ada.viewer, &mut device).await.unwrap();
    for _ in 0..2 {
        present(&setting, &mut device).await.unwrap();
    }
    ada.device.counts = false;
    ada.device.keys[0].counter = 0;
    let refused = present(&setting, &mut ada.device).await;
    assert_eq!(code(refused), Some(Code::PasskeyRefused));
    assert_eq!(events(&setting, "passkey.cloned").await, 2);
}

#[tokio::test]
async fn a_new_passkey_that_does_not_hold_is_not_added() {
    let setting = Setting::new().await;
    let ada = setting.viewer(&setting.sign_in("ada@example.org").await).await;
    let change: [&dyn Fn(&mut Authenticator); 5] = [
        &|device| device.origin = "http://localhost:8081".to_owned(),
        &|device| device.origin = "https://evil.example".to_owned(),
        &|device| device.cross_origin = true,
        &|device| device.rp_id = Some("evil.example".to_owned()),
        &|device| device.verifies = false,
    ];
    for (index, change) in change.iter().enumerate() {
        let mut device = Authenticator::at(OWN);
        change(&mut device);
        let refused = add(&setting, &ada, &mut device).await;
        assert_eq!(code(refused), Some(Code::PasskeyRefused), "{index}");
    }
    let browser = BrowserSecret::new().unwrap();
    let mut device = Authenticator::at(OWN);
    for wrong in [Value::Null, json!({})] {
        let challenge = asked(&setting, &ada, &browser).await.unwrap();
        let refused = register(&setting, &ada, Some(&browser), &challenge, wrong).await;
        assert_eq!(code(refused), Some(Code::PasskeyRefused));
    }
    // An answer to a sign-in is none to this, nor one to another challenge.
    let other = asked(&setting, &ada, &browser).await.unwrap();
    let challenge = asked(&setting, &ada, &browser).await.unwrap();
    let stale = device.create(&other.options);
    let refused = register(&setting, &ada, Some(&browser), &challenge, stale).await;
    assert_eq!(code(refused), Some(Code::PasskeyRefused));
    assert_eq!(setting.count("SELECT count(*) FROM passkey").await, 0);
}

#[tokio::test]
async fn adding_is_for_one_session_one_browser_once_and_in_time() {
    let setting = Setting::new().await;
    let ada = setting.viewer(&setting.sign_in("ada@example.org").await).await;
    let again = setting.viewer(&setting.sign_in("ada@example.org").await).await;
    let bob = setting.viewer(&setting.sign_in("bob@example.org").await).await;
    let (browser, other) = (BrowserSecret::new().unwrap(), BrowserSecret::new().unwrap());
    let mut device = Authenticator::at(OWN);

    for (viewer, wrong) in [
        (&bob, Some(&browser)),
        (&again, Some(&browser)),
        (&ada, Some(&other)),
        (&ada, None),
    ] {
        let challenge = asked(&setting, &ada, &browser).await.unwrap();
        let made = device.create(&challenge.options);
        let refused = register(&setting, viewer, wrong, &challenge, made).await;
        assert_eq!(code(refused), Some(Code::LinkInvalid));
    }
    let challenge = asked(&setting, &ada, &browser).await.unwrap();
    let made = device.create(&challenge.options);
    register(&setting, &ada, Some(&browser), &challenge, made.clone())
        .await
        .unwrap();
    let replayed = register(&setting, &ada, Some(&browser), &challenge, made).await;
    assert_eq!(code(replayed), Some(Code::LinkInvalid));

    let challenge = asked(&setting, &ada, &browser).await.unwrap();
    let made = device.create(&challenge.options);
    setting.clock.advance(TimeDelta::minutes(5));
    let late = register(&setting, &ada, Some(&browser), &challenge, made).await;
    assert_eq!(code(late), Some(Code::LinkInvalid));

    // Ten minutes after the sign-in another is wanted.
    setting.clock.advance(TimeDelta::minutes(5));
    let refused = asked(&setting, &ada, &browser).await;
    assert!(matches!(refused, Err(Error::StepUpRequired)));
    assert_eq!(setting.count("SELECT count(*) FROM passkey").await, 1);
}

#[tokio::test]
async fn a_credential_is_registered_once() {
    let setting = Setting::new().await;
    let ada = Holder::new(&setting, "ada@example.org").await;
    let bob = setting.viewer(&setting.sign_in("bob@example.org").await).await;
    let browser = BrowserSecret::new().unwrap();
    let id = ada.device.keys[0].id.clone();

    let challenge = asked(&setting, &bob, &browser).await.unwrap();
    let made = Authenticator::at(OWN).create_with_id(id.clone(), &challenge.options);
    let refused = register(&setting, &bob, Some(&browser), &challenge, made).await;
    assert_eq!(code(refused), Some(Code::Taken));

    let challenge = asked(&setting, &ada.viewer, &browser).await.unwrap();
    let made = Authenticator::at(OWN).create_with_id(id, &challenge.options);
    let refused = register(&setting, &ada.viewer, Some(&browser), &challenge, made).await;
    assert_eq!(code(refused), Some(Code::PasskeyRefused));
    assert_eq!(setting.count("SELECT count(*) FROM passkey").await, 1);
}

#[tokio::test]
async fn an_account_has_at_most_twenty() {
    let setting = Setting::new().await;
    let ada = setting.viewer(&setting.sign_in("ada@example.org").await).await;
    let mut device = Authenticator::at(OWN);
    let browser = BrowserSecret::new().unwrap();
    let early = asked(&setting, &ada, &browser).await.unwrap();
    for _ in 0..20 {
        add(&setting, &ada, &mut device).await.unwrap();
    }
    assert_eq!(code(add(&setting, &ada, &mut device).await), Some(Code::TooMany));
    let made = device.create(&early.options);
    let refused = register(&setting, &ada, Some(&browser), &early, made).await;
    assert_eq!(code(refused), Some(Code::TooMany));
}

#[tokio::test]
async fn a_passkey_is_renamed_and_removed_by_its_user_alone() {
    let setting = Setting::new().await;
    let mut ada = Holder::new(&setting, "ada@example.org").await;
    let bob = Holder::new(&setting, "bob@example.org").await;
    let id = passkey::list(&setting.db.read(&ada.viewer).await.unwrap())
        .await
        .unwrap()[0]
        .id;
    let rename = |viewer, name: &'static str| {
        in_account(&setting, viewer, async move |tx| {
            passkey::rename(tx, id, name).await
        })
    };
    let remove = |viewer| in_account(&setting, viewer, async move |tx| passkey::remove(tx, id).await);

    assert!(matches!(rename(&bob.viewer, "mine").await, Err(Error::NotFound)));
    assert!(matches!(remove(&bob.viewer).await, Err(Error::NotFound)));
    for (name, expected) in [
        ("", Code::Required),
        ("  ", Code::Required),
        ("a\nb", Code::Invalid),
    ] {
        assert_eq!(code(rename(&ada.viewer, name).await), Some(expected));
    }
    assert_eq!(rename(&ada.viewer, " My phone ").await.unwrap().name, "My phone");
    let mailed = notices(&setting).await;
    remove(&ada.viewer).await.unwrap();
    assert_eq!(notices(&setting).await, mailed + 1);
    assert_eq!(events(&setting, "passkey.removed").await, 1);
    let refused = present(&setting, &mut ada.device).await;
    assert_eq!(code(refused), Some(Code::PasskeyRefused));
    setting.clock.advance(TimeDelta::minutes(10));
    assert!(matches!(
        rename(&bob.viewer, "late").await,
        Err(Error::StepUpRequired)
    ));
    assert!(matches!(remove(&bob.viewer).await, Err(Error::StepUpRequired)));
}

#[tokio::test]
async fn the_last_way_in_stays_whoever_removes_at_once() {
    let setting = Setting::new().await;
    let mut ada = Holder::new(&setting, "ada@example.org").await;
    add(&setting, &ada.viewer, &mut ada.device).await.unwrap();
    let removed = sqlx::query("DELETE FROM user_email")
        .execute(&mut setting.admin().await)
        .await
        .unwrap();
    assert_eq!(removed.rows_affected(), 1);
    let list = passkey::list(&setting.db.read(&ada.viewer).await.unwrap())
        .await
        .unwrap();
    let all = list.iter().map(|passkey| {
        in_account(&setting, &ada.viewer, async |tx| {
            passkey::remove(tx, passkey.id).await
        })
    });
    let results = futures::future::join_all(all).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = results.into_iter().find(Result::is_err).unwrap();
    assert_eq!(code(refused), Some(Code::LastSignInMethod));
    assert_eq!(setting.count("SELECT count(*) FROM passkey").await, 1);
}
