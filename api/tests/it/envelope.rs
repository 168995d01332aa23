//! What every request goes through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::{ServerHandle, Service};
use actix_web::{App, HttpRequest, HttpResponse, test, web};
use api::http::envelope::{self, Envelope};
use api::http::server;
use domain::clock::Clock;
use domain::testing::HttpSink;
use domain::{Config, telemetry};
use reqwest::header::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

const ORIGIN: &str = "https://app.example.test";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const HOUR: Duration = Duration::from_hours(1);

fn config(environment: &str, extra: &[(&str, &str)]) -> Config {
    let mut settings = HashMap::from([
        ("APP_ENV", environment),
        ("DATABASE_URL", "postgres://localhost/crm"),
        ("REDIS_URL", "redis://localhost"),
        ("ROOT_KEYS", "a:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="),
        ("PUBLIC_URL", "https://crm.example.test"),
        ("SMTP_URL", "smtps://mail.example.test"),
        ("MAIL_FROM", "crm@example.test"),
        ("RELEASE", "1.2.3"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    settings.extend(extra.iter().copied());
    Config::read(|name| settings.get(name).map(|value| (*value).to_owned())).unwrap()
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/hello", web::get().to(hello))
        .route("/contacts/{id}", web::get().to(hello))
        .route("/session/refresh", web::post().to(hello))
        .route("/page", web::get().to(page))
        .route("/panic", web::get().to(panics))
        .route("/pause", web::post().to(pause));
}

async fn hello(request: HttpRequest) -> HttpResponse {
    envelope::identify(&request, Uuid::from_u128(7));
    HttpResponse::Ok().json(serde_json::json!({
        "id": envelope::request_id(&request),
        "parent": telemetry::trace_parent(),
    }))
}

async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("content-security-policy", "default-src 'self'"))
        .insert_header(("cache-control", "max-age=60"))
        .insert_header(("referrer-policy", "unsafe-url"))
        .body("a page")
}

async fn panics() -> HttpResponse {
    panic!("of ada@example.test");
}

async fn pause() -> HttpResponse {
    tokio::time::sleep(Duration::from_millis(20)).await;
    HttpResponse::Ok().finish()
}

/// A real server.
struct Running {
    base: String,
    handle: ServerHandle,
}

impl Running {
    fn start(envelope: &Envelope) -> Self {
        let listening = server::listen("127.0.0.1:0", envelope, routes, std::future::pending()).unwrap();
        let handle = listening.server.handle();
        actix_web::rt::spawn(listening.server);
        Self {
            base: format!("http://{}", listening.addresses[0]),
            handle,
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = reqwest::Client::new().request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.text().await.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

fn sealed(config: &Config) -> Running {
    domain::crypto::install_crypto_provider();
    Running::start(&Envelope::new(config, Clock::system()))
}

#[actix_web::test]
async fn every_answer_has_its_id_and_security_headers() {
    let server = sealed(&config("production", &[]));
    for (path, expected) in [("/hello", 200), ("/no/such/path", 404), ("/panic", 500)] {
        let (status, headers, body) = server.send("GET", path, &[]).await;
        assert_eq!(status, expected);
        for (name, value) in [
            ("strict-transport-security", "max-age=63072000; includeSubDomains"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(headers[name], value, "{path}");
        }
        assert!(headers.contains_key("permissions-policy"));
        assert!(!headers.contains_key("vary") && !headers.contains_key("access-control-allow-origin"));
        let id = headers["x-request-id"].to_str().unwrap();
        assert_eq!(Uuid::parse_str(id).unwrap().get_version_num(), 7);
        assert!(body.is_empty() || body.contains(id), "{body}");
    }
    let (_, headers, _) = server.send("GET", "/page", &[]).await;
    assert_eq!(headers["content-security-policy"], "default-src 'self'");
    assert_eq!(headers["cache-control"], "max-age=60");
    assert_eq!(headers["referrer-policy"], "no-referrer");
}

#[actix_web::test]
async fn a_developers_browser_is_not_bound_to_https() {
    let server = sealed(&config("development", &[]));
    let (_, headers, _) = server.send("GET", "/hello", &[]).await;
    assert!(!headers.contains_key("strict-transport-security"));
}

#[actix_web::test]
async fn a_panic_is_an_answer_and_the_process_lives() {
    let server = sealed(&config("production", &[]));
    let mut ids = std::collections::HashSet::new();
    for _ in 0..20 {
        let (status, headers, body) = server.send("GET", "/panic", &[]).await;
        assert_eq!(status, 500);
        assert_eq!(headers["content-type"], "application/json; charset=utf-8");
        let body: Value = serde_json::from_str(&body).unwrap();
        let error = &body["errors"][0];
        assert_eq!(error["extensions"]["code"], "INTERNAL");
        assert_eq!(
            error["extensions"]["requestId"],
            headers["x-request-id"].to_str().unwrap()
        );
        assert!(!error["message"].as_str().unwrap().contains("ada"));
        ids.insert(headers["x-request-id"].clone());
    }
    assert_eq!(ids.len(), 20);
    assert_eq!(server.send("GET", "/hello", &[]).await.0, 200);
}

#[actix_web::test]
async fn what_takes_too_long_is_given_up_and_a_file_has_longer() {
    let envelope = Envelope::with_times(&config("production", &[]), Clock::system(), Duration::ZERO, HOUR);
    let server = Running::start(&envelope);
    let (status, headers, body) = server.send("POST", "/pause", &[]).await;
    assert_eq!(status, 503);
    assert!(body.contains("UNAVAILABLE") && headers.contains_key("x-request-id"));
    let multipart = [("content-type", "multipart/form-data; boundary=x")];
    assert_eq!(server.send("POST", "/pause", &multipart).await.0, 200);
}

#[actix_web::test]
async fn only_a_trusted_proxy_names_a_request() {
    let proxied = sealed(&config("production", &[("TRUSTED_PROXIES", "127.0.0.0/8")]));
    let stranger = sealed(&config("development", &[("TRUSTED_PROXIES", "192.0.2.0/24")]));
    let id = [("x-request-id", "abc-1.2_3")];
    assert_eq!(
        proxied.send("GET", "/hello", &id).await.1["x-request-id"],
        "abc-1.2_3"
    );
    assert_ne!(
        stranger.send("GET", "/hello", &id).await.1["x-request-id"],
        "abc-1.2_3"
    );
    for odd in ["a b", "{}", &"a".repeat(65)] {
        let (_, headers, _) = proxied.send("GET", "/hello", &[("x-request-id", odd)]).await;
        assert_ne!(headers["x-request-id"], odd);
    }
}

#[actix_web::test]
async fn a_listed_origin_may_call_and_others_may_not() {
    let server = sealed(&config("production", &[("FRONTEND_ORIGINS", ORIGIN)]));
    let (_, headers, _) = server.send("GET", "/hello", &[("origin", ORIGIN)]).await;
    assert_eq!(headers["access-control-allow-origin"], ORIGIN);
    assert_eq!(headers["vary"], "Origin");
    assert!(!headers.contains_key("access-control-allow-credentials"));
    assert!(!headers.contains_key("cross-origin-resource-policy"));
    let (_, headers, _) = server
        .send("POST", "/session/refresh", &[("origin", ORIGIN)])
        .await;
    assert_eq!(headers["access-control-allow-credentials"], "true");

    for other in [
        "https://app.example.test.evil.test",
        "http://app.example.test",
        "https://app.example.test:8443",
        "null",
    ] {
        let (status, headers, _) = server.send("GET", "/hello", &[("origin", other)]).await;
        assert_eq!((status, &headers["vary"]), (200, &"Origin".parse().unwrap()));
        assert!(
            !headers
                .keys()
                .any(|name| name.as_str().starts_with("access-control"))
        );
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
    }
}

#[actix_web::test]
async fn a_browser_that_asks_first_is_answered() {
    let server = sealed(&config("production", &[("FRONTEND_ORIGINS", ORIGIN)]));
    let ask = |origin| [("origin", origin), ("access-control-request-method", "POST")];
    let (status, headers, body) = server.send("OPTIONS", "/graphql", &ask(ORIGIN)).await;
    assert_eq!((status, body.as_str()), (204, ""));
    for (name, value) in [
        ("access-control-allow-origin", ORIGIN),
        ("access-control-allow-methods", "GET, POST"),
        (
            "access-control-allow-headers",
            "authorization, content-type, graphql-require-preflight, traceparent",
        ),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(headers[name], value);
    }
    let (_, headers, _) = server
        .send("OPTIONS", "/graphql", &ask("https://evil.test"))
        .await;
    assert!(
        !headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control"))
    );

    let closed = sealed(&config("production", &[]));
    let (status, headers, _) = closed.send("OPTIONS", "/hello", &ask(ORIGIN)).await;
    assert_ne!(status, 204);
    assert!(!headers.contains_key("vary"));
}

/// One request in this thread, with telemetry of its own; the lines of its log, and what it answered.
async fn logged(config: &Config, request: test::TestRequest) -> (Vec<Value>, Value) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&log);
    let output: telemetry::Output = Arc::new(move |line| shared.lock().unwrap().extend_from_slice(line));
    let (dispatch, guard) = telemetry::assemble(config, "api", output).unwrap();
    let set = tracing::dispatcher::set_default(&dispatch);
    let envelope = Envelope::new(config, Clock::system());
    let app = test::init_service(App::new().wrap(envelope).configure(routes)).await;
    let body = match app.call(request.to_request()).await {
        Ok(response) => test::read_body(response).await,
        Err(error) => {
            let body = error.error_response().into_body();
            actix_web::body::to_bytes(body).await.unwrap()
        }
    };
    drop(set);
    guard.shutdown();
    let lines = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (lines, serde_json::from_slice(&body).unwrap_or_default())
}

#[actix_web::test]
async fn a_request_has_one_line_without_what_was_asked() {
    let request = test::TestRequest::get()
        .uri("/contacts/MARKED?q=MARKED")
        .insert_header(("user-agent", "MARKED"))
        .peer_addr("203.0.113.9:1".parse().unwrap());
    let proxies = [("TRUSTED_PROXIES", "203.0.113.0/24")];
    let (lines, answer) = logged(&config("production", &proxies), request).await;
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["target"], "access");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["http.request.method"], "GET");
    assert_eq!(line["http.route"], "/contacts/{id}");
    assert_eq!(line["http.response.status_code"], 200);
    assert_eq!(line["user_id"], Uuid::from_u128(7).to_string());
    assert_eq!(line["request_id"], answer["id"]);
    assert!(line["duration_ms"].is_u64());
    let text = line.to_string();
    assert!(!text.contains("MARKED") && !text.contains("203.0.113"), "{text}");
}

#[actix_web::test]
async fn a_trace_goes_on_from_a_trusted_proxy_alone() {
    for (peer, goes_on) in [("127.0.0.1:1", true), ("203.0.113.9:1", false)] {
        let sink = HttpSink::start();
        let endpoint = format!("http://{}", sink.address());
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("TRUSTED_PROXIES", "127.0.0.1"),
        ];
        let request = test::TestRequest::get()
            .uri("/contacts/7")
            .insert_header(("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01")))
            .peer_addr(peer.parse().unwrap());
        let (lines, answer) = logged(&config("production", &settings), request).await;
        assert_eq!(lines[0]["trace_id"] == TRACE, goes_on);
        if goes_on {
            let parent = answer["parent"].as_str().unwrap();
            assert_eq!(parent.split('-').nth(1), lines[0]["trace_id"].as_str());
        }
        let received = sink.received();
        let count = |part: &[u8]| received.iter().map(|r| r.count(part)).sum::<usize>();
        assert_eq!(count(b"GET /contacts/{id}"), 1);
        let trace = u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes();
        assert_eq!(count(&trace), usize::from(goes_on));
    }
}

#[actix_web::test]
async fn a_panic_is_reported_under_its_requests_id() {
    let sink = HttpSink::start();
    let dsn = format!("http://key@{}/42", sink.address());
    let request = test::TestRequest::get()
        .uri("/panic?token=MARKED")
        .insert_header(("authorization", "Bearer MARKED"))
        .peer_addr("127.0.0.1:1".parse().unwrap());
    let (lines, answer) = logged(&config("production", &[("SENTRY_DSN", &dsn)]), request).await;
    let id = answer["errors"][0]["extensions"]["requestId"].as_str().unwrap();
    let targets: Vec<&str> = lines.iter().filter_map(|line| line["target"].as_str()).collect();
    assert_eq!(targets, ["panic", "access"]);
    assert!(lines.iter().all(|line| line["request_id"] == id));
    assert_eq!(lines[1]["http.response.status_code"], 500);

    let received = sink.received();
    let sent: String = received
        .iter()
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect();
    assert!(sent.contains(id) && sent.contains("\"fatal\""), "{sent}");
    assert!(!sent.contains("MARKED") && !sent.contains("ada@"), "{sent}");
}
