//! Signing in by a mailed link.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use domain::clock::Clock;
use domain::identity::account;
use domain::identity::browser::BrowserSecret;
use domain::identity::link::{self, SignInMail};
use domain::identity::session::ClientInfo;
use domain::identity::sign_in::{Outcome, SignedIn};
use domain::identity::token::Tokens;
use domain::limit::Limits;
use domain::testing::{Login, TestDatabase};
use domain::{Code, Config, Db, Error, Result, Viewer};
use uuid::Uuid;

pub struct Setting {
    pub database: TestDatabase,
    pub config: Config,
    pub db: Db,
    pub limits: Limits,
    pub tokens: Tokens,
    pub clock: Clock,
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

pub fn client() -> ClientInfo {
    ClientInfo {
        address: CLIENT,
        user_agent: Some("A browser".repeat(100)),
        device: None,
    }
}

impl Setting {
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        let config = database.config(Login::Api, &[]);
        let clock = Clock::system();
        let db = Db::connect(&config, "test", clock.clone()).unwrap();
        Self {
            limits: Limits::connect(&config, clock.clone()).unwrap(),
            tokens: Tokens::new(&db, &config),
            database,
            config,
            db,
            clock,
        }
    }

    pub async fn request(&self, address: &str, browser: &BrowserSecret) -> Option<Uuid> {
        let to = "https://crm.example/";
        link::request_link(&self.db, &self.limits, address, browser, to, CLIENT)
            .await
            .unwrap();
        link::newest_for(&self.db, address).await.unwrap()
    }

    pub async fn mail(&self, id: Uuid) -> Option<SignInMail> {
        link::mail_for(&self.db, id).await.unwrap()
    }

    pub async fn token(&self, id: Uuid) -> String {
        let mail = self.mail(id).await.unwrap();
        let url = url::Url::parse(&mail.url).unwrap();
        let (_, token) = url.query_pairs().find(|(name, _)| name == "token").unwrap();
        token.into_owned()
    }

    pub async fn redeem(&self, id: Uuid, token: &str, browser: Option<&BrowserSecret>) -> Result<SignedIn> {
        match link::redeem_link(&self.db, &self.limits, id, token, browser, &client()).await? {
            Outcome::SignedIn(signed_in) => Ok(signed_in),
            Outcome::SecondFactor(_) => panic!("a second factor is wanted"),
        }
    }

    pub async fn sign_in(&self, address: &str) -> SignedIn {
        let browser = BrowserSecret::new().unwrap();
        let id = self.request(address, &browser).await.unwrap();
        let token = self.token(id).await;
        self.redeem(id, &token, Some(&browser)).await.unwrap()
    }

    pub async fn viewer(&self, signed_in: &SignedIn) -> Viewer {
        let token = self.tokens.issue(&signed_in.session.subject).await.unwrap();
        Viewer::from_access_token(&self.tokens.verify(&token).await.unwrap(), None)
    }

    pub async fn admin(&self) -> sqlx::PgConnection {
        use sqlx::Connection;
        sqlx::PgConnection::connect(self.database.admin_url().as_str())
            .await
            .unwrap()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut self.admin().await)
            .await
            .unwrap()
    }
}

pub fn code<T>(result: Result<T>) -> Option<Code> {
    match result {
        Err(Error::Invalid(errors)) => errors.first().map(|error| error.code),
        _ => None,
    }
}

pub fn unauthenticated<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Unauthenticated))
}

#[tokio::test]
async fn a_link_signs_in_and_makes_the_account_once() {
    let setting = Setting::new().await;
    let browser = BrowserSecret::new().unwrap();
    let id = setting.request("Ada@Example.org", &browser).await.unwrap();
    let mail = setting.mail(id).await.unwrap();
    assert_eq!(mail.address, "Ada@example.org");
    assert!(mail.url.starts_with("http://localhost:8080/sign-in/link?id="));
    assert_eq!(setting.count("SELECT count(*) FROM app_user").await, 0);
    let jobs = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'send-sign-in-link'";
    assert_eq!(setting.count(jobs).await, 1);

    let token = setting.token(id).await;
    let first = setting.redeem(id, &token, Some(&browser)).await.unwrap();
    assert_eq!(first.return_to.as_deref(), Some("https://crm.example/"));
    assert!(setting.mail(id).await.is_none());
    let again = setting.redeem(id, &token, Some(&browser)).await;
    assert_eq!(code(again), Some(Code::LinkInvalid));

    let second = setting.sign_in("ada@example.org").await;
    assert_ne!(first.session.subject.session(), second.session.subject.session());
    let viewer = setting.viewer(&first).await;
    assert_eq!(viewer.user(), setting.viewer(&second).await.user());
    let me = account::me(&setting.db.read(&viewer).await.unwrap())
        .await
        .unwrap();
    assert_eq!(
        (me.id, me.emails.len(), me.time_zone.as_str()),
        (viewer.user(), 1, "UTC")
    );
    assert!(me.emails[0].verified_at.is_some());
    // The new owner's keys are there.
    let tx = setting.db.begin(&viewer).await.unwrap();
    let field = domain::crypto::Field {
        table: "note",
        column: "body",
    };
    tx.seal(field, Uuid::nil(), b"x").await.unwrap();
}

#[tokio::test]
async fn of_twenty_redemptions_at_once_one_wins() {
    let setting = Setting::new().await;
    let browser = BrowserSecret::new().unwrap();
    let id = setting.request("ada@example.org", &browser).await.unwrap();
    let token = setting.token(id).await;
    let all = futures::future::join_all((0..20).map(|_| setting.redeem(id, &token, Some(&browser)))).await;
    assert_eq!(all.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        all.into_iter()
            .filter_map(code)
            .all(|code| code == Code::LinkInvalid)
    );
    assert_eq!(setting.count("SELECT count(*) FROM session").await, 1);
}

#[tokio::test]
async fn two_first_sign_ins_of_one_address_end_in_one_account() {
    let setting = Setting::new().await;
    let tokens = &setting.tokens;
    let addresses = [
        "ada@example.org",
        "ADA@example.org",
        "Ada@EXAMPLE.org",
        "ada@example.org",
    ];
    let all = addresses.map(|address| account::development_token(&setting.db, tokens, address));
    for result in futures::future::join_all(all).await {
        result.unwrap();
    }
    assert_eq!(setting.count("SELECT count(*) FROM app_user").await, 1);
    assert_eq!(setting.count("SELECT count(*) FROM owner").await, 1);
    assert_eq!(setting.count("SELECT count(*) FROM data_key").await, 2);
    assert_eq!(setting.count("SELECT count(*) FROM session").await, 4);
}

#[tokio::test]
async fn a_link_is_for_its_browser_alone() {
    let setting = Setting::new().await;
    let (browser, other) = (BrowserSecret::new().unwrap(), BrowserSecret::new().unwrap());
    let id = setting.request("ada@example.org", &browser).await.unwrap();
    let token = setting.token(id).await;
    for wrong in [None, Some(&other)] {
        let refused = setting.redeem(id, &token, wrong).await;
        assert_eq!(code(refused), Some(Code::OtherBrowser));
    }
    // Whoever lacks the token does not even learn that there is such a link.
    let wrong = URL_SAFE_NO_PAD.encode([7; 32]);
    assert_eq!(
        code(setting.redeem(id, &wrong, Some(&browser)).await),
        Some(Code::LinkInvalid)
    );
    let unknown = setting.redeem(Uuid::now_v7(), &token, Some(&browser)).await;
    assert_eq!(code(unknown), Some(Code::LinkInvalid));
    setting.redeem(id, &token, Some(&browser)).await.unwrap();
}

#[tokio::test]
async fn a_link_bears_ten_attempts() {
    let setting = Setting::new().await;
    let browser = BrowserSecret::new().unwrap();
    let id = setting.request("ada@example.org", &browser).await.unwrap();
    let token = setting.token(id).await;
    for _ in 0..10 {
        assert_eq!(
            code(setting.redeem(id, "x", Some(&browser)).await),
            Some(Code::LinkInvalid)
        );
    }
    assert_eq!(
        code(setting.redeem(id, &token, Some(&browser)).await),
        Some(Code::LinkInvalid)
    );
}

#[tokio::test]
async fn a_link_dies_of_age_and_of_a_newer_one() {
    let setting = Setting::new().await;
    let browser = BrowserSecret::new().unwrap();
    let first = setting.request("ada@example.org", &browser).await.unwrap();
    let token = setting.token(first).await;
    let second = setting.request("ADA@example.org", &browser).await.unwrap();
    let newer = setting.token(second).await;
    assert!(setting.mail(first).await.is_none());
    assert_eq!(
        code(setting.redeem(first, &token, Some(&browser)).await),
        Some(Code::LinkInvalid)
    );
    // A token is good for its own link alone.
    assert_eq!(
        code(setting.redeem(second, &token, Some(&browser)).await),
        Some(Code::LinkInvalid)
    );
    setting.clock.advance(TimeDelta::minutes(10));
    assert!(setting.mail(second).await.is_none());
    assert_eq!(
        code(setting.redeem(second, &newer, Some(&browser)).await),
        Some(Code::LinkInvalid)
    );
}

#[tokio::test]
async fn an_address_is_mailed_five_times_and_answers_stay_the_same() {
    let setting = Setting::new().await;
    let browser = BrowserSecret::new().unwrap();
    let mut links = std::collections::HashSet::new();
    for _ in 0..8 {
        links.insert(setting.request("ada@example.org", &browser).await.unwrap());
    }
    assert_eq!(links.len(), 5);
    setting.clock.advance(TimeDelta::minutes(16));
    let later = setting.request("ada@example.org", &browser).await.unwrap();
    assert!(links.insert(later));
    let impossible = link::request_link(&setting.db, &setting.limits, "ada", &browser, "", CLIENT).await;
    assert_eq!(code(impossible), Some(Code::Invalid));
}

#[tokio::test]
async fn of_two_requests_at_once_one_link_is_the_newer() {
    let setting = Setting::new().await;
    let browser = BrowserSecret::new().unwrap();
    futures::future::join_all((0..4).map(|_| setting.request("ada@example.org", &browser))).await;
    let alive = setting
        .count("SELECT count(*) FROM sign_in_link WHERE spent_at IS NULL")
        .await;
    assert_eq!(alive, 1);
}
