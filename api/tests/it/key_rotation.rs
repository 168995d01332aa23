//! A thousand requests a second, while a signing key is rotated and another is retired: two copies of the API,
//! clients that behave as front ends do, and somebody who makes up tokens.
//!
//! The rate is what the clients aim at; what was reached is printed, and depends on the machine. What must
//! hold at any rate: nothing fails but the tokens of the retired key, and those at most until the next refresh.

use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::app::App;
use api::http::envelope::Envelope;
use api::http::server;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use domain::clock::Clock;
use domain::identity::keys::{self, State};
use domain::identity::link;
use domain::jobs::{self, RotateSigningKeys};
use domain::testing::{Login, TestDatabase};
use domain::{Config, Db};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection;
use url::Url;

use crate::browser::{Browser, OWN};
use crate::support::eventually;

/// Requests a second that the clients aim at.
const RATE: u32 = 1000;
const CLIENTS: u32 = 8;
/// Requests that one client may have under way at a time.
const LANES: u32 = 4;
/// How often a client refreshes its token, which a front end does every ten minutes.
const REFRESH: Duration = Duration::from_secs(2);
/// Requests that must succeed before the next thing happens.
const ENOUGH: usize = 300;

struct Copy {
    url: Url,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Copy {
    fn start(config: &Config) -> Self {
        let clock = Clock::system();
        let db = Db::connect(config, "api", clock.clone()).unwrap();
        let app = App::new(config.clone(), db).unwrap();
        let envelope = Envelope::new(config, clock);
        let routes = move |config: &mut actix_web::web::ServiceConfig| app.routes(config);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async {
            stopped.await.ok();
        };
        let listening = server::listen("127.0.0.1:0", &envelope, routes, stopped).unwrap();
        let url = Url::parse(&format!("http://{}", listening.addresses[0])).unwrap();
        actix_web::rt::spawn(listening.server);
        Self {
            url,
            stop: Some(stop),
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
    }
}

/// A front end: a session, and the access token that it has at the moment.
struct Client {
    browser: Browser,
    copies: [Url; 2],
    token: Mutex<String>,
    refreshing: tokio::sync::Mutex<usize>,
}

/// What all see.
#[derive(Default)]
struct Load {
    stopped: AtomicBool,
    answered: AtomicUsize,
    refreshed: AtomicUsize,
    made_up: AtomicUsize,
    /// The keys that may be refused.
    retired: Mutex<HashSet<String>>,
    refused: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }

    fn assert_none_failed(&self) {
        let failures = self.failures.lock().unwrap();
        let (count, first) = (failures.len(), failures.first());
        assert!(failures.is_empty(), "{count} failed, first {first:?}");
    }

    async fn enough_more(&self) {
        let until = self.answered.load(Ordering::Relaxed) + ENOUGH;
        eventually("more answers", async || {
            self.assert_none_failed();
            (self.answered.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }
}

fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

impl Client {
    async fn sign_in(db: &Db, copies: &[Copy; 2], number: u32) -> Self {
        let mut browser = Browser::at(copies[0].url.clone());
        let address = format!("load{number}@example.test");
        assert_eq!(browser.ask(&address).await.status(), StatusCode::SEE_OTHER);
        let id = link::newest_for(db, &address).await.unwrap().unwrap();
        let mail = link::mail_for(db, id).await.unwrap().unwrap();
        let link = Url::parse(&mail.url).unwrap()[url::Position::BeforePath..].to_owned();
        // To a copy that knows nothing yet.
        browser.url = copies[1].url.clone();
        assert_eq!(browser.press(&link).await.status(), StatusCode::SEE_OTHER);
        let client = Self {
            browser,
            copies: [copies[0].url.clone(), copies[1].url.clone()],
            token: Mutex::default(),
            refreshing: tokio::sync::Mutex::new(0),
        };
        client.refresh(&Load::default(), "").await;
        client
    }

    fn token(&self) -> String {
        self.token.lock().unwrap().clone()
    }

    /// Fetches another token than that, unless that has just been done.
    async fn refresh(&self, load: &Load, instead_of: &str) {
        let mut turn = self.refreshing.lock().await;
        if self.token() != instead_of {
            return;
        }
        *turn += 1;
        let url = self.copies[*turn % 2].join("/session/token").unwrap();
        let request = self
            .browser
            .client
            .request(Method::POST, url)
            .header("Origin", OWN);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        match body["accessToken"].as_str() {
            Some(token) if status == StatusCode::OK => token.clone_into(&mut self.token.lock().unwrap()),
            _ => load.fail(format!("refresh: {status} {body}")),
        }
        load.refreshed.fetch_add(1, Ordering::Relaxed);
    }

    async fn ask(&self, copy: usize, token: &str) -> (StatusCode, Value) {
        self.ask_from("198.18.0.1", copy, token).await
    }

    /// As through a proxy, from that address.
    async fn ask_from(&self, address: &str, copy: usize, token: &str) -> (StatusCode, Value) {
        let url = self.copies[copy % 2].join("/graphql").unwrap();
        let request = self.browser.client.request(Method::POST, url).bearer_auth(token);
        let request = request.header("X-Forwarded-For", address);
        let answer = request
            .json(&json!({ "query": "{ viewer { id } }" }))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap_or_default())
    }

    /// One request, and if its token's key was retired the same once more with another.
    async fn request(&self, load: &Load, copy: usize) {
        let mut token = self.token();
        let (mut status, mut body) = self.ask(copy, &token).await;
        if status == StatusCode::UNAUTHORIZED && load.retired.lock().unwrap().contains(&kid(&token)) {
            load.refused.fetch_add(1, Ordering::Relaxed);
            self.refresh(load, &token).await;
            token = self.token();
            (status, body) = self.ask(copy, &token).await;
        }
        match status {
            StatusCode::OK if body["data"]["viewer"]["id"].is_string() => {
                load.answered.fetch_add(1, Ordering::Relaxed);
            }
            _ => load.fail(format!("{} at {copy}: {status} {body}", kid(&token))),
        }
    }

    async fn lane(self: Arc<Self>, load: Arc<Load>, lane: usize) {
        let mut pace = tokio::time::interval(Duration::from_secs(1) * (CLIENTS * LANES) / RATE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for number in lane.. {
            pace.tick().await;
            if !load.goes_on() {
                return;
            }
            self.request(&load, number).await;
        }
    }

    async fn stay_signed_in(self: Arc<Self>, load: Arc<Load>) {
        while load.goes_on() {
            tokio::time::sleep(REFRESH).await;
            let token = self.token();
            self.refresh(&load, &token).await;
        }
    }

    /// Sends what looks like tokens of keys that are not there.
    async fn make_up(self: Arc<Self>, load: Arc<Load>) {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for number in 0_usize.. {
            if !load.goes_on() {
                return;
            }
            let header =
                part(json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": format!("MADEUP{number:010}") }));
            let token = format!("{header}.{}.{}", part(json!({})), "A".repeat(86));
            let (status, body) = self.ask_from("198.18.0.2", number, &token).await;
            if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS) {
                load.fail(format!("made up: {status} {body}"));
            }
            load.made_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Rig {
    database: TestDatabase,
    copies: [Copy; 2],
    worker: worker::Context,
    clients: Vec<Arc<Client>>,
    load: Arc<Load>,
}

impl Rig {
    async fn start() -> Self {
        domain::crypto::install_crypto_provider();
        let database = TestDatabase::new().await;
        let config = database.config(Login::Api, &[("TRUSTED_PROXIES", "127.0.0.0/8")]);
        let copies = [Copy::start(&config), Copy::start(&config)];
        let worker = worker::Context::new(database.config(Login::Worker, &[]), Clock::system()).unwrap();
        let db = database.connect(Login::Api);
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            clients.push(Arc::new(Client::sign_in(&db, &copies, number).await));
        }
        Self {
            database,
            copies,
            worker,
            clients,
            load: Arc::default(),
        }
    }

    fn begin(&self) -> Vec<tokio::task::JoinHandle<()>> {
        let mut tasks = Vec::new();
        for client in &self.clients {
            let (load, client) = (&self.load, client);
            tasks.extend(
                (0..LANES as usize)
                    .map(|lane| actix_web::rt::spawn(Arc::clone(client).lane(Arc::clone(load), lane))),
            );
            tasks.push(actix_web::rt::spawn(
                Arc::clone(client).stay_signed_in(Arc::clone(load)),
            ));
        }
        for client in &self.clients[..2] {
            tasks.push(actix_web::rt::spawn(
                Arc::clone(client).make_up(Arc::clone(&self.load)),
            ));
        }
        tasks
    }

    /// Lets time pass for the keys alone, so that the tokens stay good.
    async fn age(&self, by: TimeDelta) {
        let mut admin = sqlx::PgConnection::connect(self.database.admin_url().as_str())
            .await
            .unwrap();
        sqlx::query(
            "UPDATE signing_key SET created_at = created_at - $1::interval, signs_from = signs_from - $1::interval, \
             retired_at = retired_at - $1::interval",
        )
        .bind(format!("{} seconds", by.num_seconds()))
        .execute(&mut admin)
        .await
        .unwrap();
    }

    /// What the worker does every hour.
    async fn rotate(&self, key: &str) {
        let tx = self.worker.db.begin_system().await.unwrap();
        jobs::enqueue(&tx, &RotateSigningKeys {}, key).await.unwrap();
        tx.commit().await.unwrap();
        worker::drain(&self.worker).await;
    }

    async fn states(&self) -> Vec<State> {
        let keys = keys::list(&self.worker.db).await.unwrap();
        keys.iter().map(|key| key.state).collect()
    }

    async fn signs(&self) -> String {
        let keys = keys::list(&self.worker.db).await.unwrap();
        let signs = keys.into_iter().find(|key| key.state == State::Signs);
        signs.unwrap().id
    }

    /// Until both copies publish so many keys, that one among them.
    async fn published(&self, count: usize, kid: &str) {
        for copy in &self.copies {
            let url = copy.url.join("/.well-known/jwks.json").unwrap();
            eventually("the key set follows", async || {
                let set: Value = reqwest::get(url.clone()).await.unwrap().json().await.unwrap();
                let set = set["keys"].as_array().unwrap();
                (set.len() == count && set.iter().any(|key| key["kid"] == kid)).then_some(())
            })
            .await;
        }
    }

    /// Until every client has a token of that key.
    async fn all_have(&self, key: &str) {
        eventually("every client has a token of the new key", async || {
            self.load.assert_none_failed();
            let all = self.clients.iter().all(|client| kid(&client.token()) == key);
            all.then_some(())
        })
        .await;
    }

    /// The command that an operator runs.
    async fn retire_current(&self) -> String {
        let environment = self.database.environment(Login::Api);
        let run = move || {
            Command::new(env!("CARGO_BIN_EXE_api"))
                .args(["signing-key", "retire", "--current"])
                .env_clear()
                .envs(environment)
                .output()
                .unwrap()
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

#[actix_web::test]
async fn none_of_a_thousand_requests_a_second_fails_while_a_signing_key_rotates() {
    let rig = Rig::start().await;
    let first = rig.signs().await;
    let (began, tasks) = (Instant::now(), rig.begin());
    rig.load.enough_more().await;

    rig.age(TimeDelta::days(30)).await;
    rig.rotate("a month later").await;
    assert_eq!(rig.states().await, [State::Signs, State::Published]);
    rig.published(2, &first).await;
    rig.load.enough_more().await;

    rig.age(TimeDelta::days(1)).await;
    let second = rig.signs().await;
    assert_ne!(second, first);
    rig.all_have(&second).await;
    rig.load.enough_more().await;

    rig.age(TimeDelta::hours(13)).await;
    rig.published(1, &second).await;
    rig.rotate("when its last token has expired").await;
    assert_eq!(rig.states().await, [State::Signs]);
    rig.load.enough_more().await;
    let rotated = (rig.load.answered.load(Ordering::Relaxed), began.elapsed());

    let leaked: Vec<String> = rig.clients.iter().map(|client| client.token()).collect();
    rig.load.retired.lock().unwrap().insert(second.clone());
    let said = rig.retire_current().await;
    let third = rig.signs().await;
    assert!(said.contains(&format!("destroyed {second}")), "{said}");
    assert!(said.contains(&format!("{third} signs from now on")), "{said}");
    rig.published(1, &third).await;
    rig.all_have(&third).await;
    rig.load.enough_more().await;
    for (client, token) in rig.clients.iter().zip(&leaked) {
        assert_eq!(kid(token), second);
        for copy in 0..2 {
            assert_eq!(client.ask(copy, token).await.0, StatusCode::UNAUTHORIZED);
        }
    }
    rig.load.stopped.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    rig.load.assert_none_failed();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "{} requests in {:.1} s while a key rotated ({:.0} a second), {} in all; {} refreshes, {} made-up tokens, \
         {} requests again after the retirement",
        rotated.0,
        rotated.1.as_secs_f64(),
        f64::from(u32::try_from(rotated.0).unwrap()) / rotated.1.as_secs_f64(),
        count(&rig.load.answered),
        count(&rig.load.refreshed),
        count(&rig.load.made_up),
        count(&rig.load.refused),
    );
}
