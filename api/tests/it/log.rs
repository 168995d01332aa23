//! What is logged of signing in and of an account's life: who, what and when, and nothing by which anybody gets
//! in or is named.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use domain::telemetry::{self, Output};
use domain::testing::{Login, TestDatabase};
use serde_json::{Value, json};

use crate::browser::{Browser, FRONT_END};
use crate::sign_in_by_mail::{MailDir, mailed};
use crate::support::TestApp;

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
}

#[actix_web::test]
async fn the_log_names_events_and_holds_nothing_that_opens_or_names() {
    // The lines of production, all of them, from every thread of the server.
    let database = TestDatabase::new().await;
    let mut config = database.config(Login::Api, &[("LOG", "debug")]);
    config.environment = domain::Environment::Staging;
    let log = Log::default();
    let (dispatch, _guard) = telemetry::assemble(&config, "api", log.output()).unwrap();
    tracing::dispatcher::set_global_default(dispatch).unwrap();

    let mail = MailDir::new();
    let app = TestApp::with(&[("MAIL_DIR", mail.path()), ("FRONTEND_ORIGINS", FRONT_END)]).await;
    let (browser, other) = (
        Browser::at(app.url.parse().unwrap()),
        Browser::at(app.url.parse().unwrap()),
    );
    let address = "ada.lovelace@example.test";
    let link = mailed(&app, &mail, &browser, address).await;
    let mut secrets = vec![address.to_owned(), "lovelace".to_owned(), "Mozilla".to_owned()];
    secrets.push(link.split_once("token=").unwrap().1.to_owned());
    secrets.extend(browser.cookie("__Host-browser"));
    other.press(&link).await;
    browser.press(&link).await;
    secrets.extend(["__Host-session", "__Host-device"].map(|name| browser.cookie(name).unwrap()));
    let stolen = browser.cookie("__Host-session").unwrap();
    let token = browser.access_token().await;
    secrets.push(token.clone());
    secrets.extend(browser.cookie("__Host-session"));
    let user = app.with_token(token);
    user.gql(
        "mutation { updateProfile(input: { name: \"Augusta King\" }) { user { id } } }",
        json!({}),
    )
    .await;
    secrets.push("Augusta".to_owned());
    user.gql("mutation { requestAccountDeletion { deleteAfter } }", json!({}))
        .await;
    user.gql("mutation { cancelAccountDeletion { user { id } } }", json!({}))
        .await;
    user.gql("mutation { endOtherSessions { endedCount } }", json!({}))
        .await;
    app.run_jobs().await;
    app.db.clock().advance(TimeDelta::minutes(1));
    let thief = Browser::at(app.url.parse().unwrap());
    thief.plant("__Host-session", &stolen);
    let reused = thief
        .request(reqwest::Method::POST, "/session/token")
        .header("Origin", FRONT_END)
        .header("User-Agent", "Mozilla/5.0")
        .header("X-Request-Id", "forged\tline")
        .send();
    assert_eq!(reused.await.unwrap().status(), 401);

    let text = log.text();
    for secret in &secrets {
        assert!(secret.len() > 5 && !text.contains(secret.as_str()), "{secret}");
    }
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said = |kind: &str| {
        lines
            .iter()
            .find(|line| line["event"] == kind)
            .unwrap_or_else(|| panic!("{kind} was not logged"))
    };
    for kind in [
        "account.created",
        "sign_in.succeeded",
        "account.deletion_requested",
        "account.deletion_cancelled",
        "session.token_reused",
    ] {
        let line = said(kind);
        assert!(
            line["user_id"].is_string() && line["timestamp"].as_str().unwrap().ends_with('Z'),
            "{line}"
        );
    }
    assert!(lines.iter().any(|line| line["message"] == "sign-in refused"));
}
