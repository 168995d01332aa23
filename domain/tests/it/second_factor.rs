//! The second factor: nobody gets in by one alone, by no way around, and a recovery code opens once.

use chrono::TimeDelta;
use domain::identity::browser::BrowserSecret;
use domain::identity::ceremony::Handle;
use domain::identity::link;
use domain::identity::passkey;
use domain::identity::second_factor::{self, RecoveryCode, Setting as Chosen};
use domain::identity::sign_in::{Outcome, SignedIn};
use domain::testing::Authenticator;
use domain::{Code, Error, Result, Viewer};
use serde_json::json;

use crate::identity::{Setting, client, code, unauthenticated};
use crate::passkey::{Holder, challenge, in_account, present};

const ADA: &str = "ada@example.org";

/// Ada requires a passkey of herself; her codes as they were shown.
async fn strict(setting: &Setting) -> (Holder, Viewer, Vec<String>) {
    let mut ada = Holder::new(setting, ADA).await;
    let viewer = ada.strong(setting).await;
    let codes = require(setting, &viewer).await.unwrap().unwrap();
    // The mails so far are forgotten.
    setting.clock.advance(TimeDelta::minutes(16));
    (ada, viewer, codes.iter().map(|code| code.to_text()).collect())
}

/// The first factor: a mailed link.
async fn first(setting: &Setting, browser: &BrowserSecret) -> Result<Outcome> {
    let id = setting.request(ADA, browser).await.unwrap();
    let token = setting.token(id).await;
    link::redeem_link(&setting.db, &setting.limits, id, &token, Some(browser), &client()).await
}

async fn waiting(setting: &Setting, browser: &BrowserSecret) -> Handle {
    match first(setting, browser).await.unwrap() {
        Outcome::SecondFactor(handle) => handle,
        Outcome::SignedIn(_) => panic!("in by one factor"),
    }
}

fn signed_in(outcome: Result<Outcome>) -> Result<SignedIn> {
    match outcome? {
        Outcome::SignedIn(signed_in) => Ok(signed_in),
        Outcome::SecondFactor(_) => panic!("a third factor"),
    }
}

async fn with_code(
    setting: &Setting,
    handle: &Handle,
    code: &str,
    browser: &BrowserSecret,
) -> Result<SignedIn> {
    let (db, limits) = (&setting.db, &setting.limits);
    signed_in(second_factor::present_code(db, limits, handle, code, browser, &client()).await)
}

async fn with_passkey(
    setting: &Setting,
    handle: &Handle,
    device: &mut Authenticator,
    browser: &BrowserSecret,
) -> Result<SignedIn> {
    let (db, limits) = (&setting.db, &setting.limits);
    let asked = challenge(setting, browser).await;
    let answer = device.get(&asked.options);
    let outcome =
        second_factor::present_passkey(db, limits, handle, &asked.handle, answer, browser, &client()).await;
    signed_in(outcome)
}

async fn require(setting: &Setting, viewer: &Viewer) -> Result<Option<Vec<RecoveryCode>>> {
    in_account(setting, viewer, async |tx| second_factor::require(tx).await).await
}

async fn chosen(setting: &Setting, viewer: &Viewer) -> Chosen {
    second_factor::setting(&setting.db.read(viewer).await.unwrap())
        .await
        .unwrap()
}

const SESSIONS: &str = "SELECT count(*) FROM session WHERE ended_at IS NULL";
const WEAK: &str = "SELECT count(*) FROM session WHERE ended_at IS NULL AND method = 'email_link' \
    AND second_factor IS NULL";
const REFUSED: &str = "SELECT count(*) FROM audit_event WHERE kind = 'second_factor.refused'";

#[tokio::test]
async fn requiring_a_passkey_ends_what_began_without_one() {
    let setting = Setting::new().await;
    let viewer = setting.viewer(&setting.sign_in(ADA).await).await;
    // Without a passkey, and in a session that would end itself.
    assert_eq!(code(require(&setting, &viewer).await), Some(Code::Required));
    let mut ada = Holder::new(&setting, ADA).await;
    assert_eq!(
        code(require(&setting, &ada.viewer).await),
        Some(Code::StrongSessionRequired)
    );
    let other = setting.viewer(&setting.sign_in("bob@example.org").await).await;
    let (kept, current) = (ada.strong(&setting).await, ada.strong(&setting).await);

    let codes = require(&setting, &current).await.unwrap().unwrap();
    assert_eq!(codes.len(), 10);
    let expected = Chosen {
        required: true,
        codes_left: 10,
    };
    assert_eq!(chosen(&setting, &current).await, expected);
    for weak in [&viewer, &ada.viewer] {
        assert!(unauthenticated(setting.db.read(weak).await));
    }
    for strong in [&kept, &current, &other] {
        setting.db.read(strong).await.unwrap();
    }
    // Again changes nothing, and shows no codes.
    assert!(require(&setting, &kept).await.unwrap().is_none());
    assert_eq!(chosen(&setting, &kept).await, expected);
    let told = "SELECT count(*) FROM audit_event WHERE kind = 'second_factor.required'";
    assert_eq!(setting.count(told).await, 1);
}

#[tokio::test]
async fn there_is_no_session_before_the_second_factor() {
    let setting = Setting::new().await;
    let (mut ada, viewer, _) = strict(&setting).await;
    let before = setting.count(SESSIONS).await;
    let browser = BrowserSecret::new().unwrap();
    let handle = waiting(&setting, &browser).await;
    assert_eq!(setting.count(SESSIONS).await, before);

    let signed_in = with_passkey(&setting, &handle, &mut ada.device, &browser)
        .await
        .unwrap();
    assert_eq!(signed_in.return_to.as_deref(), Some("https://crm.example/"));
    assert_eq!(setting.viewer(&signed_in).await.user(), viewer.user());
    let both = "SELECT count(*) FROM session WHERE method = 'email_link' AND second_factor = 'passkey'";
    assert_eq!(setting.count(both).await, 1);
    // It ends once.
    let again = with_passkey(&setting, &handle, &mut ada.device, &browser).await;
    assert_eq!(code(again), Some(Code::LinkInvalid));
    // A passkey alone is two factors.
    present(&setting, &mut ada.device).await.unwrap();
}

#[tokio::test]
async fn a_second_factor_is_the_very_users_in_the_same_browser_and_in_time() {
    let setting = Setting::new().await;
    let (mut ada, _, codes) = strict(&setting).await;
    let mut bob = Holder::new(&setting, "bob@example.org").await;
    let bobs = bob.strong(&setting).await;
    let bobs = require(&setting, &bobs).await.unwrap().unwrap()[0].to_text();
    let (browser, other) = (BrowserSecret::new().unwrap(), BrowserSecret::new().unwrap());
    let handle = waiting(&setting, &browser).await;

    let refused = with_passkey(&setting, &handle, &mut bob.device, &browser).await;
    assert_eq!(code(refused), Some(Code::PasskeyRefused));
    let refused = with_code(&setting, &handle, &bobs, &browser).await;
    assert_eq!(code(refused), Some(Code::Invalid));
    let mut unverified = ada.device.clone();
    unverified.verifies = false;
    let refused = with_passkey(&setting, &handle, &mut unverified, &browser).await;
    assert_eq!(code(refused), Some(Code::PasskeyRefused));
    assert_eq!(setting.count(REFUSED).await, 3);

    let refused = with_passkey(&setting, &handle, &mut ada.device, &other).await;
    assert_eq!(code(refused), Some(Code::LinkInvalid));
    let refused = with_code(&setting, &handle, &codes[0], &other).await;
    assert_eq!(code(refused), Some(Code::LinkInvalid));
    // The challenge of another kind of ceremony is no first factor.
    let asked = challenge(&setting, &browser).await;
    let refused = with_code(&setting, &asked.handle, &codes[0], &browser).await;
    assert_eq!(code(refused), Some(Code::LinkInvalid));
    setting.clock.advance(TimeDelta::minutes(10));
    let late = with_code(&setting, &handle, &codes[0], &browser).await;
    assert_eq!(code(late), Some(Code::LinkInvalid));
    let used = "SELECT count(*) FROM recovery_code WHERE used_at IS NOT NULL";
    assert_eq!(setting.count(used).await, 0);
}

#[tokio::test]
async fn a_recovery_code_opens_once_however_it_is_typed() {
    let setting = Setting::new().await;
    let (_, _, codes) = strict(&setting).await;
    let browser = BrowserSecret::new().unwrap();
    let handle = waiting(&setting, &browser).await;
    let typed = format!(" {} ", codes[3].replace('-', " ").to_lowercase());
    let signed_in = with_code(&setting, &handle, &typed, &browser).await.unwrap();
    let viewer = setting.viewer(&signed_in).await;
    assert_eq!(chosen(&setting, &viewer).await.codes_left, 9);
    let both = "SELECT count(*) FROM session WHERE method = 'email_link' AND second_factor = 'recovery_code'";
    assert_eq!(setting.count(both).await, 1);
    let told = "SELECT count(*) FROM audit_event WHERE kind = 'recovery_code.used'";
    assert_eq!(setting.count(told).await, 1);

    let handle = waiting(&setting, &browser).await;
    let again = with_code(&setting, &handle, &codes[3], &browser).await;
    assert_eq!(code(again), Some(Code::Invalid));
    // New ones void the old ones. The session that a code opened is strong.
    let new = in_account(&setting, &viewer, async |tx| second_factor::renew_codes(tx).await)
        .await
        .unwrap();
    let void = with_code(&setting, &handle, &codes[4], &browser).await;
    assert_eq!(code(void), Some(Code::Invalid));
    with_code(&setting, &handle, &new[0].to_text(), &browser)
        .await
        .unwrap();
}

#[tokio::test]
async fn of_twenty_with_one_code_one_gets_in() {
    let setting = Setting::new().await;
    let (_, _, codes) = strict(&setting).await;
    let before = setting.count(SESSIONS).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        let browser = BrowserSecret::new().unwrap();
        let handle = waiting(&setting, &browser).await;
        all.push((handle, browser));
    }
    let tries = all
        .iter()
        .flat_map(|(handle, browser)| (0..4).map(|_| with_code(&setting, handle, &codes[0], browser)));
    let results = futures::future::join_all(tries).await;
    assert_eq!(results.len(), 20);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(setting.count(SESSIONS).await, before + 1);
}

#[tokio::test]
async fn guessing_ends_soon() {
    let setting = Setting::new().await;
    let (mut ada, _, codes) = strict(&setting).await;
    let browser = BrowserSecret::new().unwrap();
    for _ in 0..2 {
        let handle = waiting(&setting, &browser).await;
        for _ in 0..10 {
            let refused = with_code(&setting, &handle, "0000", &browser).await;
            assert_eq!(code(refused), Some(Code::Invalid));
        }
        // One first factor bears ten attempts, and then not even the right one.
        let refused = with_code(&setting, &handle, &codes[0], &browser).await;
        assert_eq!(code(refused), Some(Code::LinkInvalid));
        let refused = with_passkey(&setting, &handle, &mut ada.device, &browser).await;
        assert_eq!(code(refused), Some(Code::LinkInvalid));
    }
    assert_eq!(setting.count(REFUSED).await, 20);
    // Nor do more first factors help; but whoever guesses keeps nobody's passkey from opening.
    let handle = waiting(&setting, &browser).await;
    let refused = with_code(&setting, &handle, &codes[0], &browser).await;
    assert!(matches!(refused, Err(Error::RateLimited(_))));
    with_passkey(&setting, &handle, &mut ada.device, &browser)
        .await
        .unwrap();
}

#[tokio::test]
async fn who_signs_in_while_a_passkey_becomes_required_is_not_in_by_one_factor() {
    let setting = Setting::new().await;
    let mut ada = Holder::new(&setting, ADA).await;
    for round in 0..4 {
        setting.clock.advance(TimeDelta::minutes(16));
        let viewer = ada.strong(&setting).await;
        let browser = BrowserSecret::new().unwrap();
        let (first, required) = futures::join!(first(&setting, &browser), require(&setting, &viewer));
        assert!(first.is_ok() && required.unwrap().is_some(), "{round}");
        assert_eq!(setting.count(WEAK).await, 0, "{round}");
        in_account(&setting, &viewer, async |tx| second_factor::release(tx).await)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_is_required_stays_until_a_strong_session_releases_it() {
    let setting = Setting::new().await;
    let (mut ada, _, codes) = strict(&setting).await;
    let viewer = ada.strong(&setting).await;
    let id = passkey::list(&setting.db.read(&viewer).await.unwrap())
        .await
        .unwrap()[0]
        .id;
    let last = in_account(&setting, &viewer, async |tx| passkey::remove(tx, id).await).await;
    assert_eq!(code(last), Some(Code::PasskeyRequired));

    let release = |viewer| in_account(&setting, viewer, async |tx| second_factor::release(tx).await);
    let renew = |viewer| in_account(&setting, viewer, async |tx| second_factor::renew_codes(tx).await);
    let weaken = sqlx::query("UPDATE session SET method = 'email_link' WHERE id = $1");
    let weak = ada.strong(&setting).await;
    let domain::viewer::Via::Session(session) = weak.via() else {
        panic!("a session");
    };
    weaken
        .bind(session)
        .execute(&mut setting.admin().await)
        .await
        .unwrap();
    assert_eq!(code(release(&weak).await), Some(Code::StrongSessionRequired));
    assert_eq!(code(renew(&weak).await), Some(Code::StrongSessionRequired));

    let browser = BrowserSecret::new().unwrap();
    let handle = waiting(&setting, &browser).await;
    release(&viewer).await.unwrap();
    let expected = Chosen {
        required: false,
        codes_left: 0,
    };
    assert_eq!(chosen(&setting, &viewer).await, expected);
    assert_eq!(code(renew(&viewer).await), Some(Code::Required));
    let void = with_code(&setting, &handle, &codes[0], &browser).await;
    assert_eq!(code(void), Some(Code::Invalid));
    release(&viewer).await.unwrap();
    in_account(&setting, &viewer, async |tx| passkey::remove(tx, id).await)
        .await
        .unwrap();
    signed_in(first(&setting, &browser).await).unwrap();

    setting.clock.advance(TimeDelta::minutes(10));
    assert!(matches!(release(&viewer).await, Err(Error::StepUpRequired)));
    assert!(matches!(renew(&viewer).await, Err(Error::StepUpRequired)));
}

#[tokio::test]
async fn the_database_knows_no_code() {
    let setting = Setting::new().await;
    let (_, _, codes) = strict(&setting).await;
    let rows: Vec<String> = sqlx::query_scalar("SELECT to_jsonb(c)::text FROM recovery_code c")
        .fetch_all(&mut setting.admin().await)
        .await
        .unwrap();
    assert_eq!(rows.len(), 10);
    let all = json!(rows).to_string().to_uppercase();
    for code in codes {
        assert!(!all.contains(&code) && !all.contains(&code.replace('-', "")));
    }
}
