//! Redis or the connections to Postgres go away in the middle of a session: nothing is lost, nobody is
//! locked out, and nothing need be started again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::browser::{Browser, FRONT_END, header};
use crate::sign_in_by_mail::{MailDir, mailed};
use crate::support::{TestApp, User, eventually};

/// A Redis of the test's own, empty, in memory alone; killed with the value.
struct Redis {
    port: u16,
    process: Child,
}

impl Redis {
    fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    async fn start(port: u16) -> Self {
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self { port, process };
        eventually("Redis", async || (redis.ask("PING")? == "+PONG").then_some(())).await;
        redis
    }

    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "{command}\r\n").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    }

    /// How many keys there are of that form.
    fn keys(&self, pattern: &str) -> usize {
        let answer = self.ask(&format!("KEYS {pattern}")).unwrap();
        answer.strip_prefix('*').unwrap().parse().unwrap()
    }

    fn kill(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn create(user: &User<'_>, name: &str) {
    let mutation = "mutation ($input: CreateContactInput!) { createContact(input: $input) { \
        contact { displayName } userErrors { code } } }";
    let data = user
        .gql(mutation, json!({ "input": { "givenName": name } }))
        .await;
    assert_eq!(data["createContact"]["contact"]["displayName"], name);
}

async fn names(user: &User<'_>) -> Vec<String> {
    let query = "{ contacts(orderBy: { field: NAME, direction: ASC }) { nodes { displayName } } }";
    let data = user.gql(query, json!({})).await;
    let nodes = data["contacts"]["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| node["displayName"].as_str().unwrap().to_owned())
        .collect()
}

async fn ready(app: &TestApp) -> (u16, Value) {
    let answer = app.get("/readyz").send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn sign_in(app: &TestApp, mail: &MailDir, address: &str) -> Browser {
    let browser = Browser::at(app.url.parse().unwrap());
    let link = mailed(app, mail, &browser, address).await;
    assert_eq!(browser.press(&link).await.status(), StatusCode::SEE_OTHER);
    browser
}

#[actix_web::test]
async fn redis_may_die_and_come_back_empty() {
    let mail = MailDir::new();
    let mut redis = Redis::start(Redis::free_port()).await;
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let settings = [
        ("REDIS_URL", url.as_str()),
        ("MAIL_DIR", mail.path()),
        ("FRONTEND_ORIGINS", FRONT_END),
    ];
    let app = TestApp::with(&settings).await;
    let browser = sign_in(&app, &mail, "ada@example.test").await;
    let mut ada = app.as_user("ada").await;
    ada.token = browser.access_token().await;
    create(&ada, "Before").await;
    assert!(redis.keys("*:graphql-user:*") > 0);
    assert_eq!(ready(&app).await.1["status"], "ready");

    redis.kill();
    assert_eq!(names(&ada).await, ["Before"]);
    create(&ada, "Meanwhile").await;
    let degraded = json!({ "status": "degraded", "postgres": "ready", "redis": "away" });
    assert_eq!(ready(&app).await, (200, degraded));
    // The same session fetches another token, and others sign in.
    ada.token = browser.access_token().await;
    assert_eq!(names(&ada).await, ["Before", "Meanwhile"]);
    sign_in(&app, &mail, "bob@example.test")
        .await
        .access_token()
        .await;

    let redis = Redis::start(redis.port).await;
    assert_eq!(redis.keys("*"), 0);
    create(&ada, "Since").await;
    eventually("limits counted in Redis", async || {
        names(&ada).await;
        (redis.keys("*:graphql-user:*") > 0).then_some(())
    })
    .await;
    assert_eq!(names(&ada).await, ["Before", "Meanwhile", "Since"]);
    assert_eq!(ready(&app).await.1["status"], "ready");
    ada.token = browser.access_token().await;
    let mut refused = 0;
    let link = "/sign-in/link?id=00000000-0000-7000-8000-000000000000&token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for _ in 0..70 {
        let answer = browser.press(link).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(header(&answer, "retry-after").parse::<u64>().unwrap() > 0);
            refused += 1;
        }
    }
    assert!(refused > 0, "links can be tried without limit");
    assert_eq!(redis.keys("*:link-client:*"), 1);
}

/// Ends every connection of the API's, and waits until they have ended.
async fn cut(app: &TestApp) -> usize {
    let mut admin = app.admin().await;
    // Not among the conditions, which come in any order: it would end the connections of other tests.
    let cut: Vec<(i32, bool)> = sqlx::query_as(
        "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'api'",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let cut: Vec<i32> = cut.into_iter().map(|(pid, _)| pid).collect();
    let left = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)";
    while sqlx::query_scalar::<_, i64>(left)
        .bind(&cut)
        .fetch_one(&mut admin)
        .await
        .unwrap()
        > 0
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cut.len()
}

const TAG: &str =
    "mutation ($name: String!) { createTag(input: { name: $name }) { tag { id } userErrors { code } } }";

#[actix_web::test]
async fn connections_that_were_cut_are_replaced() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    // One owner alone does not get every connection of the pool.
    let mut users = vec![ada.clone()];
    for name in ["bob", "cy", "di", "eve"] {
        users.push(app.as_user(name).await);
    }
    let many = || futures::future::join_all(users.iter().cycle().take(20).map(names));
    for round in 0..3 {
        many().await;
        assert!(cut(&app).await > 5, "there were connections to cut");
        // All at once, then a write: nobody is told anything of it.
        assert_eq!(many().await.iter().map(Vec::len).sum::<usize>(), 4 * round);
        cut(&app).await;
        create(&ada, &format!("N{round}")).await;
    }
    assert_eq!(ready(&app).await.0, 200);
}

#[actix_web::test]
async fn a_write_whose_connection_is_cut_never_was_and_can_be_done_again() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    ada.gql(TAG, json!({ "name": "First" })).await;
    let mut admin = app.admin().await;
    let mut lock = admin.begin().await.unwrap();
    sqlx::query("LOCK TABLE tag IN SHARE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'api' AND wait_event_type = 'Lock'";
    let cut_while_it_waits = async {
        eventually("it waits", async || (app.count(waits).await == 1).then_some(())).await;
        cut(&app).await
    };
    let (answer, _) = futures::join!(ada.answer(TAG, json!({ "name": "Friends" })), cut_while_it_waits);
    assert_eq!(
        answer["errors"][0]["extensions"]["code"], "UNAVAILABLE",
        "{answer}"
    );
    lock.rollback().await.unwrap();

    let done = ada.gql(TAG, json!({ "name": "Friends" })).await;
    assert_eq!(done["createTag"]["userErrors"], json!([]));
    assert_eq!(app.count("SELECT count(*) FROM tag").await, 2);
}
