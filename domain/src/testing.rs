//! For tests: databases of their own, on a real server.
//!
//! The server is named by `TEST_DATABASE_URL` (a role that may create databases and roles). The schema
//! is migrated once for each version of it, into a template; a test's database is a copy.

mod authenticator;
mod sink;

use std::collections::HashMap;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use url::Url;
use uuid::Uuid;

use crate::clock::{Clock, new_id};
use crate::config::Config;
use crate::crypto::create_owner_keys;
use crate::db::Db;
use crate::identity::token::AccessToken;
use crate::viewer::Viewer;

pub use authenticator::{Authenticator, Key};
pub use sink::{HttpSink, Received};

/// What test logins use as their password; they exist on test servers alone.
const PASSWORD: &str = "only-for-tests";

/// A migrated database of one test; dropped with the value.
pub struct TestDatabase {
    name: String,
    admin: Url,
}

/// Which binary's login a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The API's.
    Api,
    /// The worker's.
    Worker,
}

impl TestDatabase {
    /// Copies the template, which the first caller makes.
    ///
    /// # Panics
    /// When `TEST_DATABASE_URL` is not set, or the server refuses: there is no test without it.
    pub async fn new() -> Self {
        let admin = Url::parse(&variable("TEST_DATABASE_URL")).expect("TEST_DATABASE_URL is a URL");
        let template = format!("crm_template_{}", fingerprint());
        let name = format!("crm_test_{}", uuid::Uuid::now_v7().simple());
        let mut connection = connect(&admin).await;
        run(&mut connection, "SELECT pg_advisory_lock(7242)").await;
        let known: Option<i32> =
            sqlx::query_scalar("SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate")
                .bind(&template)
                .fetch_optional(&mut connection)
                .await
                .expect("the catalog answers");
        if known.is_none() {
            run(&mut connection, &format!("DROP DATABASE IF EXISTS {template}")).await;
            run(&mut connection, &format!("CREATE DATABASE {template}")).await;
            let url = with_database(&admin, &template);
            migration::up(url.as_str(), "development")
                .await
                .expect("the migrations apply");
            migration::login(url.as_str(), "api", "crm_test_api", PASSWORD)
                .await
                .expect("the API's login");
            migration::login(url.as_str(), "worker", "crm_test_worker", PASSWORD)
                .await
                .expect("the worker's login");
            run(
                &mut connection,
                &format!("ALTER DATABASE {template} IS_TEMPLATE true"),
            )
            .await;
        }
        run(
            &mut connection,
            &format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await;
        connection.close().await.ok();
        Self { name, admin }
    }

    /// The URL with the rights of the server's administrator, for looking at what no viewer may.
    #[must_use]
    pub fn admin_url(&self) -> Url {
        with_database(&self.admin, &self.name)
    }

    /// The URL of a binary's login.
    #[must_use]
    pub fn url(&self, login: Login) -> Url {
        let mut url = self.admin_url();
        let user = match login {
            Login::Api => "crm_test_api",
            Login::Worker => "crm_test_worker",
        };
        url.set_username(user).expect("a user name");
        url.set_password(Some(PASSWORD)).expect("a password");
        url
    }

    /// The environment of a process that uses this database. Tests share a Redis, in which limits are
    /// counted for each database by itself.
    #[must_use]
    pub fn environment(&self, login: Login) -> HashMap<String, String> {
        let pairs = [
            ("APP_ENV", "development".to_owned()),
            ("DATABASE_URL", self.url(login).into()),
            ("DATABASE_POOL", "8".to_owned()),
            ("REDIS_URL", variable("TEST_REDIS_URL")),
            (
                "ROOT_KEYS",
                "test:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=".to_owned(),
            ),
            ("PUBLIC_URL", "http://localhost:8080".to_owned()),
            ("LISTEN_ADDRESS", "127.0.0.1:0".to_owned()),
            ("LOG", "warn".to_owned()),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// The same as a configuration, with `extra` set besides.
    ///
    /// # Panics
    /// When the settings do not make a configuration.
    #[must_use]
    pub fn config(&self, login: Login, extra: &[(&str, &str)]) -> Config {
        let mut settings = self.environment(login);
        settings.extend(
            extra
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Config::read(|name| settings.get(name).cloned()).expect("sound settings")
    }
}

impl TestDatabase {
    /// A handle with a binary's login, the system's clock and a test's keys.
    ///
    /// # Panics
    /// When the settings do not make one.
    #[must_use]
    pub fn connect(&self, login: Login) -> Db {
        Db::connect(&self.config(login, &[]), "test", Clock::system()).expect("a handle")
    }

    /// A new user with an owner and keys, as a job of theirs would come.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn user(&self, db: &Db) -> Viewer {
        let tx = db.begin_auth().await.expect("a transaction");
        let (owner, user) = (tx.new_id(), tx.new_id());
        tx.run("INSERT INTO owner (id) VALUES ($1)", [owner.into()])
            .await
            .expect("an owner");
        tx.run(
            "INSERT INTO app_user (owner_id, id, created_at) VALUES ($1, $2, $3)",
            [owner.into(), user.into(), tx.now().into()],
        )
        .await
        .expect("a user");
        create_owner_keys(&tx, owner).await.expect("keys");
        tx.commit().await.expect("a commit");
        #[expect(clippy::disallowed_methods, reason = "tests begin with a viewer")]
        Viewer::from_job(owner, user, new_id(db.clock().now()))
    }
}

/// The same user, come by a session of that id, whether there is one or not.
#[must_use]
pub fn by_session(viewer: &Viewer, session: Uuid) -> Viewer {
    let expires_at = Clock::system().now() + chrono::TimeDelta::minutes(10);
    let token = AccessToken {
        owner: viewer.owner(),
        user: viewer.user(),
        session,
        expires_at,
    };
    #[expect(clippy::disallowed_methods, reason = "tests begin with a viewer")]
    Viewer::from_access_token(&token, None)
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, admin) = (self.name.clone(), self.admin.clone());
        let done = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut connection = connect(&admin).await;
                run(
                    &mut connection,
                    &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
                )
                .await;
            });
        });
        done.join().ok();
    }
}

/// The names of all migrations, in order.
#[must_use]
pub fn migrations() -> Vec<String> {
    migration::names()
}

fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "tests are told where the servers are")]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

fn with_database(url: &Url, database: &str) -> Url {
    let mut url = url.clone();
    url.set_path(database);
    url
}

async fn connect(url: &Url) -> PgConnection {
    let options: PgConnectOptions = url.as_str().parse().expect("a database URL");
    options.connect().await.expect("the test server answers")
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .expect("an administrator's statement");
}

/// Changes with every change of the schema.
fn fingerprint() -> String {
    use std::fmt::Write;
    let mut hex = String::new();
    for byte in &crate::crypto::sha256(migration::SOURCES.concat().as_bytes())[..8] {
        write!(hex, "{byte:02x}").ok();
    }
    hex
}
