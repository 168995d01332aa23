//! Plain http outside development: led to our own address, or refused.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use api::http::envelope::Envelope;
use api::http::{https, server};
use domain::Config;
use domain::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LOCATION: &str = "location: https://crm.example.test";

/// Settings without a database.
pub fn config(environment: &str, extra: &[(&str, &str)]) -> Config {
    let mut settings = HashMap::from([
        ("APP_ENV", environment),
        ("DATABASE_URL", "postgres://localhost/crm"),
        ("REDIS_URL", "redis://localhost"),
        ("ROOT_KEYS", "a:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="),
        ("PUBLIC_URL", "https://crm.example.test"),
        ("SMTP_URL", "smtps://mail.example.test"),
        ("MAIL_FROM", "crm@example.test"),
    ]);
    settings.extend(extra.iter().copied());
    Config::read(|name| settings.get(name).map(|value| (*value).to_owned())).unwrap()
}

/// The whole answer, in small letters, to a request written by hand: no client makes these.
async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.to_ascii_lowercase()
}

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{headers}\r\n")
}

fn served(config: &Config) -> std::net::SocketAddr {
    let routes = |config: &mut web::ServiceConfig| {
        for path in ["/page", "/healthz", "/readyz"] {
            config.route(path, web::get().to(HttpResponse::Ok));
        }
    };
    let envelope = Envelope::new(config, Clock::system());
    let listening = server::listen("127.0.0.1:0", &envelope, routes, std::future::pending()).unwrap();
    actix_web::rt::spawn(listening.server);
    listening.addresses[0]
}

#[actix_web::test]
async fn the_plain_listener_leads_to_our_own_address_and_nowhere_else() {
    let listening =
        https::redirect("127.0.0.1:0", &config("production", &[]), std::future::pending()).unwrap();
    actix_web::rt::spawn(listening.server);
    let address = listening.addresses[0];
    for (target, to) in [
        ("/", "/"),
        ("/a/b?c=d&e=%0d%0aX:y", "/a/b?c=d&e=%0d%0ax:y"),
        ("//evil.example/x", "//evil.example/x"),
        ("http://evil.example/x", "/x"),
        ("/@evil.example", "/@evil.example"),
    ] {
        for method in ["GET", "HEAD"] {
            let request = get(target, "X-Forwarded-Host: evil.example\r\n").replacen("GET", method, 1);
            let answer = ask(address, &request).await;
            assert!(answer.starts_with("http/1.1 308"), "{answer}");
            assert!(
                answer.contains(&format!("{LOCATION}{to}\r\n")),
                "{target}: {answer}"
            );
            assert!(!answer.contains("strict-transport-security"));
            assert!(answer.contains("nosniff") && answer.contains("no-store"));
        }
    }
    let post = "POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    for request in [post, &get("/graphql", "Authorization: Bearer x\r\n")] {
        let answer = ask(address, request).await;
        assert!(
            answer.starts_with("http/1.1 403") && answer.contains("https_required"),
            "{answer}"
        );
        assert!(!answer.contains("\nlocation:"));
    }
}

#[actix_web::test]
async fn what_a_trusted_proxy_got_by_http_is_led_to_https() {
    let proxies = [("TRUSTED_PROXIES", "10.0.0.0/8,127.0.0.0/8")];
    let address = served(&config("staging", &proxies));
    let asked = async |target: &str, said: &str| ask(address, &get(target, said)).await;
    for said in [
        "X-Forwarded-Proto: http\r\n",
        "X-Forwarded-Proto: HTTP\r\n",
        "X-Forwarded-Proto: http, http\r\n",
    ] {
        let answer = asked("/page?x=1", said).await;
        assert!(answer.starts_with("http/1.1 308"), "{answer}");
        assert!(answer.contains(&format!("{LOCATION}/page?x=1\r\n")), "{answer}");
        assert!(asked("/healthz", said).await.starts_with("http/1.1 200"));
        assert!(asked("/readyz", said).await.starts_with("http/1.1 200"));
        let secret = format!("{said}Authorization: Bearer x\r\n");
        assert!(asked("/page", &secret).await.starts_with("http/1.1 403"));
    }
    for said in [
        "",
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Proto: https, http\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n",
    ] {
        let answer = asked("/page", said).await;
        assert!(answer.starts_with("http/1.1 200"), "{said} {answer}");
        assert!(answer.contains("strict-transport-security: max-age=63072000"));
    }
}

#[actix_web::test]
async fn a_stranger_that_comes_by_http_is_not_believed_to_have_come_by_https() {
    for environment in ["staging", "production"] {
        let address = served(&config(environment, &[("TRUSTED_PROXIES", "192.0.2.0/24")]));
        let answer = ask(address, &get("/page", "X-Forwarded-Proto: https\r\n")).await;
        assert!(answer.starts_with("http/1.1 308"), "{answer}");
        assert!(
            ask(address, &get("/healthz", ""))
                .await
                .starts_with("http/1.1 200")
        );
    }
    let address = served(&config("development", &[]));
    let answer = ask(address, &get("/page", "X-Forwarded-Proto: http\r\n")).await;
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
}

#[test]
fn nobody_starts_where_no_request_could_come_by_https() {
    for environment in ["staging", "production"] {
        assert!(https::check(&config(environment, &[])).is_err());
        let files = [("TLS_CERT_FILE", "c.pem"), ("TLS_KEY_FILE", "k.pem")];
        https::check(&config(environment, &files)).unwrap();
        https::check(&config(environment, &[("TRUSTED_PROXIES", "10.0.0.0/8")])).unwrap();
    }
    https::check(&config("development", &[])).unwrap();
}
