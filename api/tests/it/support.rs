//! Starts the real application on a port of its own, and speaks to it as somebody.

use api::app::App;
use api::http::envelope::Envelope;
use api::http::server;
use domain::clock::Clock;
use domain::identity::account::development_token;
use domain::testing::{Login, TestDatabase};
use domain::{Config, Db};
use serde_json::{Value, json};

use crate::sign_in_by_mail::MailDir;

/// A running application with a database of its own.
pub struct TestApp {
    pub database: TestDatabase,
    pub config: Config,
    pub db: Db,
    pub url: String,
    pub client: reqwest::Client,
    app: App,
    worker: worker::Context,
    /// Where its mails go, unless a test says so itself.
    _mail: MailDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

/// Somebody who is signed in.
#[derive(Clone)]
pub struct User<'a> {
    app: &'a TestApp,
    pub token: String,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With other settings than a test's usual ones.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        domain::crypto::install_crypto_provider();
        let database = TestDatabase::new().await;
        let clock = Clock::system();
        let config = database.config(Login::Api, settings);
        let db = Db::connect(&config, "api", clock.clone()).unwrap();
        let app = App::new(config.clone(), db.clone()).unwrap();
        let envelope = Envelope::new(&config, clock.clone());
        let routes = {
            let app = app.clone();
            move |config: &mut actix_web::web::ServiceConfig| app.routes(config)
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async {
            stopped.await.ok();
        };
        let listening = server::listen("127.0.0.1:0", &envelope, routes, stopped).unwrap();
        let url = format!("http://{}", listening.addresses[0]);
        actix_web::rt::spawn(listening.server);
        let mail = MailDir::new();
        let mut worker = settings.to_vec();
        if !settings.iter().any(|(name, _)| *name == "MAIL_DIR") {
            worker.push(("MAIL_DIR", mail.path()));
        }
        let worker = database.config(Login::Worker, &worker);
        let worker = worker::Context::new(worker, clock.clone()).unwrap();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            database,
            config,
            db,
            url,
            client,
            app,
            worker,
            _mail: mail,
            stop: Some(stop),
        }
    }

    /// The user of that address, who is made if need be.
    pub async fn as_user(&self, name: &str) -> User<'_> {
        let email = format!("{name}@example.test");
        let token = development_token(&self.db, self.app.tokens(), &email)
            .await
            .unwrap();
        User { app: self, token }
    }

    /// Whoever holds that access token.
    pub fn with_token(&self, token: String) -> User<'_> {
        User { app: self, token }
    }

    /// Enqueues what comes at fixed times, as any worker does.
    pub async fn tick(&self) {
        worker::schedule::enqueue_latest(&self.worker, worker::register::SCHEDULES)
            .await
            .unwrap();
    }

    /// A passkey of that user's, which no authenticator has.
    pub async fn give_passkey(&self, user: &str, name: &str) {
        let id = uuid::Uuid::now_v7();
        let given = sqlx::query(
            "INSERT INTO passkey (owner_id, id, user_id, credential_id, credential, name, created_at) \
             SELECT owner_id, $1, user_id, $2, '{}', $3, now() FROM user_email WHERE address = $4",
        )
        .bind(id)
        .bind(id.as_bytes().as_slice())
        .bind(name)
        .bind(format!("{user}@example.test"));
        let given = given.execute(&mut self.admin().await).await.unwrap();
        assert_eq!(given.rows_affected(), 1);
    }

    /// Links an identity at a provider to everybody.
    pub async fn give_identities(&self) {
        let linked = "INSERT INTO external_identity (owner_id, id, user_id, provider, issuer, subject, created_at) \
            SELECT owner_id, gen_random_uuid(), id, 'acme', 'https://acme.example', id::text, now() FROM app_user";
        sqlx::query(linked)
            .execute(&mut self.admin().await)
            .await
            .unwrap();
    }

    /// Runs every job that is due, to its end.
    pub async fn run_jobs(&self) -> usize {
        worker::drain(&self.worker).await
    }

    /// A connection with all rights, for looking.
    pub async fn admin(&self) -> sqlx::PgConnection {
        use sqlx::Connection;
        sqlx::PgConnection::connect(self.database.admin_url().as_str())
            .await
            .unwrap()
    }

    /// Asks the database with all rights.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut self.admin().await)
            .await
            .unwrap()
    }

    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }
}

/// Asks until there is an answer; fails after a minute, which is longer than anything here takes.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
    }
}

impl<'a> User<'a> {
    /// An integration with a key of theirs.
    pub async fn key(&self, scopes: &[&str]) -> User<'a> {
        let input = json!({ "input": { "name": "Zapier", "scopes": scopes } });
        let create = "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { secret userErrors { message } } }";
        let made = self.gql(create, input).await;
        let token = made["createApiKey"]["secret"].as_str().unwrap().to_owned();
        User { app: self.app, token }
    }
    /// The whole answer, errors and all.
    pub async fn answer(&self, query: &str, variables: Value) -> Value {
        let request = self.app.post("/graphql").bearer_auth(&self.token);
        let response = request
            .json(&json!({ "query": query, "variables": variables }))
            .send()
            .await
            .unwrap();
        response.json().await.unwrap()
    }

    /// The data of an answer without errors.
    #[track_caller]
    pub fn gql(&self, query: &str, variables: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        let (this, query) = (self.clone(), query.to_owned());
        async move {
            let answer = this.answer(&query, variables).await;
            assert!(answer.get("errors").is_none(), "{place}: {answer:#}");
            answer["data"].clone()
        }
    }

    /// Sends a file to be imported.
    pub async fn upload(&self, filename: &str, content: impl Into<reqwest::Body>) -> reqwest::Response {
        self.send(filename, content.into()).await.unwrap()
    }

    /// The same, where the connection may well break.
    pub async fn upload_raw(&self, content: reqwest::Body) -> reqwest::Result<reqwest::Response> {
        self.send("contacts.csv", content).await
    }

    async fn send(&self, filename: &str, content: reqwest::Body) -> reqwest::Result<reqwest::Response> {
        let operations = json!({
            "query": "mutation ($file: Upload!) { importContacts(file: $file) { import { id state } userErrors { code field message } } }",
            "variables": { "file": null },
        });
        let file = reqwest::multipart::Part::stream(content).file_name(filename.to_owned());
        let form = reqwest::multipart::Form::new()
            .text("operations", operations.to_string())
            .text("map", json!({ "0": ["variables.file"] }).to_string())
            .part("0", file);
        let request = self
            .app
            .post("/graphql")
            .bearer_auth(&self.token)
            .header("GraphQL-Require-Preflight", "1");
        request.multipart(form).send().await
    }

    /// Imports a file to its end; its final state.
    pub async fn import(&self, filename: &str, content: impl Into<reqwest::Body>) -> Value {
        let answer: Value = self.upload(filename, content).await.json().await.unwrap();
        let id = answer["data"]["importContacts"]["import"]["id"].clone();
        assert!(id.is_string(), "{answer:#}");
        self.app.run_jobs().await;
        let query = "query ($id: ID!) { import(id: $id) { id state errorCode progress \
            counts { total created updated skipped rejected } } }";
        self.gql(query, json!({ "id": id })).await["import"].clone()
    }
}
