//! What leaves the process: log lines, traces and error reports.

use std::sync::{Arc, Mutex};

use domain::clock::{Clock, new_id};
use domain::config::Config;
use domain::jobs::{self, RunImport};
use domain::telemetry::{self, Guard, Output};
use domain::testing::{HttpSink, Login, TestDatabase};
use domain::{Db, Viewer};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tracing::Instrument;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn output(&self) -> Output {
        let bytes = Arc::clone(&self.0);
        Arc::new(move |line| bytes.lock().unwrap().extend_from_slice(line))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn config(environment: &str, extra: &[(&str, &str)]) -> Config {
    let mut settings = std::collections::HashMap::from([
        ("APP_ENV", environment),
        ("DATABASE_URL", "postgres://localhost/crm"),
        ("REDIS_URL", "redis://localhost"),
        ("ROOT_KEYS", "a:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="),
        ("PUBLIC_URL", "https://crm.example.test"),
        ("SMTP_URL", "smtps://mail.example.test"),
        ("MAIL_FROM", "crm@example.test"),
        ("RELEASE", "1.2.3"),
    ]);
    settings.extend(extra.iter().copied());
    Config::read(|name| settings.get(name).map(|value| (*value).to_owned())).unwrap()
}

/// Telemetry of this thread alone, and its log.
fn start(config: &Config) -> (tracing::subscriber::DefaultGuard, Guard, Log) {
    let log = Log::default();
    let (dispatch, guard) = telemetry::assemble(config, "api", log.output()).unwrap();
    (tracing::dispatcher::set_default(&dispatch), guard, log)
}

#[test]
fn a_line_is_json_and_nothing_in_it_begins_another() {
    let (_set, _guard, log) = start(&config("production", &[]));
    let forged = "x\r\n{\"level\":\"ERROR\"}\u{2028}y\u{1b}[31m";
    let span = tracing::info_span!(
        "http.request",
        request_id = "r-1",
        user_id = tracing::field::Empty
    );
    span.record("user_id", tracing::field::display(7));
    span.in_scope(|| {
        tracing::warn!(file = forged, target = "mine", rows = 3, "{forged}");
    });
    assert_eq!(log.text().matches('\n').count(), 1);
    assert!(!log.text().contains(['\r', '\u{2028}', '\u{1b}']));
    let line = &log.lines()[0];
    for (name, expected) in [
        ("level", "WARN"),
        ("service", "api"),
        ("environment", "production"),
        ("release", "1.2.3"),
        ("span", "http.request"),
        ("request_id", "r-1"),
        ("user_id", "7"),
        ("field_target", "mine"),
    ] {
        assert_eq!(line[name], expected, "{name}");
    }
    assert_eq!(line["rows"], 3);
    assert!(line["message"].as_str().unwrap().starts_with("x\r\n{"));
    let timestamp = line["timestamp"].as_str().unwrap();
    assert!(timestamp.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(timestamp).is_ok());
    assert!(line.get("trace_id").is_none());
}

#[test]
fn what_is_private_does_not_reach_a_line() {
    let (_set, _guard, log) = start(&config("staging", &[("LOG", "trace")]));
    tracing::info!(
        email = "ada@example.test",
        refresh_token = "abc",
        "mail to ada@example.test with q83vEjRWeJCrze8SNFZ4kKvN"
    );
    let text = log.text();
    for private in ["ada@", "\"abc\"", "q83vEj"] {
        assert!(!text.contains(private), "{text}");
    }
}

#[test]
fn the_filter_is_the_configured_one_and_spans_are_known_whatever_it_says() {
    let (_set, _guard, log) = start(&config("production", &[("LOG", "warn")]));
    tracing::info_span!("job", job_id = "j-1").in_scope(|| {
        tracing::info!("not said");
        tracing::warn!("said");
    });
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["job_id"], "j-1");
    assert!(telemetry::assemble(&config("production", &[("LOG", "a=b=c")]), "api", log.output()).is_err());
}

#[tokio::test]
async fn statements_are_logged_without_their_values() {
    let database = TestDatabase::new().await;
    let (_set, _guard, log) = start(&config("production", &[("LOG", "trace,sqlx=trace")]));
    let mut connection = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    let sql = "SELECT name FROM environment WHERE name <> $1";
    let rows: Vec<String> = sqlx::query_scalar(sql)
        .bind("MARKED-bound")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let failed = sqlx::query("SELECT $1::text::date")
        .bind("MARKED-value")
        .execute(&mut connection)
        .await
        .unwrap_err();
    tracing::error!(error = %failed, "a statement failed");
    assert_eq!(rows, ["development"]);
    let text = log.text();
    assert!(text.contains("SELECT name FROM") && text.contains("a statement failed"));
    assert!(!text.contains("MARKED"), "{text}");
}

#[tokio::test]
async fn one_trace_leads_from_the_request_to_its_job() {
    let database = TestDatabase::new().await;
    let sink = HttpSink::start();
    let endpoint = format!("http://{}", sink.address());
    let db = Db::connect(&database.config(Login::Api, &[]), "test", Clock::system()).unwrap();
    let (_set, guard, log) = start(&config(
        "production",
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)],
    ));

    let request = tracing::info_span!("http.request", otel.name = "POST /graphql", note_token = "MARKED");
    async {
        let ids = || new_id(db.clock().now());
        let viewer = Viewer::from_job(ids(), ids(), ids());
        let tx = db.begin(&viewer).await.unwrap();
        let job = RunImport { import_id: ids() };
        assert!(jobs::enqueue(&tx, &job, "one").await.unwrap());
        tx.commit().await.unwrap();
        tracing::info!("enqueued");
    }
    .instrument(request)
    .await;

    let mut admin = PgConnection::connect(database.admin_url().as_str())
        .await
        .unwrap();
    let parent: String = sqlx::query_scalar("SELECT metadata -> 'trace' FROM apalis.jobs")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let trace_id = log.lines()[0]["trace_id"].as_str().unwrap().to_owned();
    assert_eq!(parent.split('-').nth(1), Some(trace_id.as_str()));

    let job = tracing::info_span!("job run-import");
    telemetry::set_parent(&job, &parent);
    job.in_scope(|| {
        tracing::info!("done");
        assert!(telemetry::trace_parent().unwrap().contains(&trace_id));
    });
    drop(job);
    assert_eq!(log.lines()[1]["trace_id"], trace_id.as_str());

    // Within the runtime on purpose: a blocking client must not be dropped here.
    guard.shutdown();
    let received = sink.received();
    assert!(received.iter().all(|r| r.head.starts_with("POST /v1/traces ")));
    let bytes = u128::from_str_radix(&trace_id, 16).unwrap().to_be_bytes();
    let count = |part: &[u8]| received.iter().map(|r| r.count(part)).sum::<usize>();
    assert_eq!(count(b"POST /graphql"), 1);
    assert_eq!(count(b"job run-import"), 1);
    assert_eq!(count(&bytes), 2);
    assert_eq!(count(b"MARKED"), 0);
}

#[tokio::test]
async fn a_collector_that_is_away_stops_nothing() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let (_set, guard, log) = start(&config(
        "production",
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)],
    ));
    tracing::info_span!("a").in_scope(|| tracing::info!("still said"));
    guard.flush();
    guard.shutdown();
    assert!(log.text().contains("still said"));
}

#[tokio::test]
async fn errors_and_panics_are_reported_with_their_ids_alone() {
    let sink = HttpSink::start();
    let dsn = format!("http://key@{}/42", sink.address());
    let (_set, guard, log) = start(&config("production", &[("SENTRY_DSN", &dsn)]));
    let span = tracing::info_span!(
        "http.request",
        request_id = "r-77",
        user_id = "u-5",
        note = "MARKED-span"
    );
    span.in_scope(|| {
        let error = domain::Error::internal("invalid input syntax for type date: \"MARKED-value\"");
        tracing::error!(%error, text = "MARKED-field", "of ada@example.test");
        tracing::warn!("MARKED-warning");
        let caught = std::panic::catch_unwind(|| {
            "bob@example.test"
                .parse::<u8>()
                .map_err(|_| "bob@example.test")
                .unwrap();
        });
        assert!(caught.is_err());
    });
    guard.shutdown();

    let received = sink.received();
    assert!(
        received
            .iter()
            .all(|r| r.head.starts_with("POST /api/42/envelope/ "))
    );
    let sent: String = received
        .iter()
        .map(|r| String::from_utf8_lossy(&r.body).into_owned())
        .collect();
    for private in ["MARKED", "ada@", "bob@", "\"request\"", "breadcrumbs"] {
        assert!(!sent.contains(private), "{private}: {sent}");
    }
    let events: Vec<Value> = sent
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|value| value.get("platform").is_some())
        .collect();
    assert_eq!(events.len(), 2, "{sent}");
    for event in &events {
        assert_eq!(event["tags"]["request_id"], "r-77");
        assert_eq!(event["tags"]["service"], "api");
        assert_eq!(event["user"], serde_json::json!({"id": "u-5"}));
        assert_eq!(event["release"], "1.2.3");
        assert_eq!(event["environment"], "production");
    }
    assert_eq!(events[1]["level"], "fatal");
    assert!(events[1]["exception"]["values"][0]["stacktrace"]["frames"].is_array());

    let panic = log
        .lines()
        .into_iter()
        .find(|line| line["target"] == "panic")
        .unwrap();
    assert!(
        panic["location"].as_str().unwrap().contains("telemetry.rs"),
        "{panic}"
    );
}
