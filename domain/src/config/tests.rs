//! What is refused, and how it is said.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::collections::HashMap;

fn sound(environment: &str) -> HashMap<&'static str, String> {
    let scheme = if environment == "development" {
        "http"
    } else {
        "https"
    };
    HashMap::from([
        ("APP_ENV", environment.to_owned()),
        ("DATABASE_URL", "postgres://a:b@localhost/crm".to_owned()),
        ("REDIS_URL", "redis://localhost".to_owned()),
        (
            "ROOT_KEYS",
            "a:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=".to_owned(),
        ),
        ("PUBLIC_URL", format!("{scheme}://crm.example.test")),
        ("SMTP_URL", "smtps://mail.example.test".to_owned()),
        ("MAIL_FROM", "crm@example.test".to_owned()),
    ])
}

fn problems(settings: &HashMap<&'static str, String>) -> Vec<String> {
    match Config::read(|name| settings.get(name).cloned()) {
        Ok(_) => Vec::new(),
        Err(ConfigError(problems)) => problems.iter().map(|p| p.variable.to_string()).collect(),
    }
}

#[test]
fn sound_settings_pass() {
    for environment in ["development", "staging", "production"] {
        assert!(problems(&sound(environment)).is_empty(), "{environment}");
    }
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let names = problems(&HashMap::new());
    assert_eq!(
        names,
        [
            "APP_ENV",
            "DATABASE_URL",
            "REDIS_URL",
            "ROOT_KEYS",
            "PUBLIC_URL",
            "SMTP_URL",
            "MAIL_FROM"
        ]
    );
}

#[test]
fn production_is_strict() {
    for (variable, value) in [
        ("PUBLIC_URL", "http://crm.example.test"),
        ("FRONTEND_ORIGINS", "*"),
        ("FRONTEND_ORIGINS", "http://app.example.test"),
        ("ROOT_KEYS", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("SMTP_URL", ""),
        ("TLS_CERT_FILE", "/tls/cert.pem"),
        ("TLS_KEY_FILE", "/tls/key.pem"),
        ("HTTP_REDIRECT_ADDRESS", "80"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("SIGNING_KEY_DAYS", "0"),
        ("SIGNING_KEY_DAYS", "366"),
    ] {
        let other = match variable {
            "TLS_CERT_FILE" => "TLS_KEY_FILE",
            "TLS_KEY_FILE" => "TLS_CERT_FILE",
            same => same,
        };
        let mut settings = sound("production");
        settings.insert(variable, value.to_owned());
        assert_eq!(problems(&settings), [other], "{variable}={value}");
    }
}

#[test]
fn what_is_served_by_tls_is_reached_by_https() {
    for extra in [
        &[("TLS_CERT_FILE", "a"), ("TLS_KEY_FILE", "b")][..],
        &[("HTTP_REDIRECT_ADDRESS", "127.0.0.1:80")],
    ] {
        let mut settings = sound("development");
        settings.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        assert_eq!(problems(&settings), ["PUBLIC_URL"]);
        settings.insert("PUBLIC_URL", "https://crm.example.test".to_owned());
        assert!(problems(&settings).is_empty());
    }
}

#[test]
fn a_problem_does_not_show_a_secret() {
    let mut settings = sound("production");
    settings.insert("ROOT_KEYS", "a:c2VjcmV0".to_owned());
    settings.insert("DATABASE_URL", "mysql://u:hunter2@h/d".to_owned());
    let error = Config::read(|name| settings.get(name).cloned())
        .err()
        .unwrap()
        .to_string();
    assert!(
        !error.contains("c2VjcmV0") && !error.contains("hunter2"),
        "{error}"
    );
}
