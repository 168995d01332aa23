//! GitHub and X, which speak OAuth 2.0 and have endpoints of their own; and LinkedIn, which wants switches.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::browser::header;
use crate::provider::{CLIENT, Provider, Reply, SECRET};
use crate::sso::{app_with, arrived, begin, browser, walk, who};
use crate::support::TestApp;

fn answers(provider: &Provider, answers: &[(&'static str, Value)]) {
    let mut state = provider.state();
    for (path, answer) in answers {
        state.answers.insert(path, Reply::Json(200, answer.clone()));
    }
}

const GITHUB: (&str, &str, &str) = ("/login/oauth/access_token", "/user", "/user/emails");

fn github(provider: &Provider, user: Value, emails: Value) {
    let token =
        json!({ "access_token": "gho_16C7e42F292c6912E7", "scope": "user:email", "token_type": "bearer" });
    answers(
        provider,
        &[(GITHUB.0, token), (GITHUB.1, user), (GITHUB.2, emails)],
    );
}

fn octocat() -> Value {
    json!({ "login": "octocat", "id": 583_231, "node_id": "MDQ6VXNlcjE=", "type": "User", "name": "The Octocat", "email": null })
}

fn octomail(email: &str, primary: bool, verified: bool) -> Value {
    json!({ "email": email, "primary": primary, "verified": verified, "visibility": "private" })
}

#[actix_web::test]
async fn github_is_asked_who_somebody_is() {
    let provider = Provider::start();
    github(
        &provider,
        octocat(),
        json!([
            octomail("old@example.test", false, true),
            octomail("octocat@example.test", true, true)
        ]),
    );
    let app = app_with(&[("github", &provider)], &[]).await;
    let browser = browser(&app);
    let there = Url::parse(&begin(&browser, "github").await).unwrap();
    assert_eq!(there.path(), "/login/oauth/authorize");
    let query: std::collections::HashMap<_, _> = there.query_pairs().into_owned().collect();
    assert_eq!(
        (query["client_id"].as_str(), query["scope"].as_str()),
        (CLIENT, "user:email")
    );
    assert_eq!(
        (query["state"].len(), query["code_challenge_method"].as_str()),
        (43, "S256")
    );
    assert!(arrived(&browser.get(&provider.consent(there.as_str())).await));
    assert_eq!(who(&app, &browser).await, "octocat@example.test");

    let token = provider.last(GITHUB.0);
    assert_eq!(token.headers["accept"], "application/json");
    assert_eq!(token.form["client_secret"], SECRET);
    assert_eq!(token.form["code_verifier"].len(), 64);
    assert!(!token.headers.contains_key("authorization"));
    for path in [GITHUB.0, GITHUB.1, GITHUB.2] {
        assert_eq!(
            provider.last(path).headers["user-agent"],
            "personal-crm",
            "{path}"
        );
    }
    assert_eq!(
        provider.last(GITHUB.2).headers["authorization"],
        "Bearer gho_16C7e42F292c6912E7"
    );

    // Known by the number: names and addresses there change hands.
    let known = "SELECT count(*) FROM external_identity WHERE provider = 'github' AND subject = '583231'";
    assert_eq!(app.count(known).await, 1);
    let mut renamed = octocat();
    renamed["login"] = json!("somebody");
    github(&provider, renamed, json!([]));
    let again = self::browser(&app);
    assert!(arrived(&walk(&again, &provider, "github").await));
    assert_eq!(who(&app, &again).await, "octocat@example.test");
    let mut successor = octocat();
    successor["id"] = json!(2);
    github(
        &provider,
        successor,
        json!([octomail("octocat@example.test", true, false)]),
    );
    assert!(!arrived(&walk(&self::browser(&app), &provider, "github").await));
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 1);
}

async fn title(answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    let html = answer.text().await.unwrap();
    let title = html.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap();
    (status, title.to_owned())
}

async fn refused(app: &TestApp, provider: &Provider, name: &str) -> (StatusCode, String) {
    let answer = walk(&browser(app), provider, name).await;
    assert!(!arrived(&answer));
    title(answer).await
}

#[actix_web::test]
async fn what_github_does_not_vouch_for_opens_nothing() {
    let provider = Provider::start();
    let app = app_with(&[("github", &provider)], &[]).await;
    let first = (
        StatusCode::FORBIDDEN,
        "Please sign in another way first".to_owned(),
    );
    let wrong = (StatusCode::FORBIDDEN, "This did not work".to_owned());
    let mut public = octocat();
    public["email"] = json!("ada@example.test");
    for (user, emails, expected) in [
        (
            octocat(),
            json!([octomail("ada@example.test", true, false)]),
            &first,
        ),
        (
            octocat(),
            json!([octomail("ada@example.test", false, true)]),
            &first,
        ),
        (public, json!([]), &first),
        (octocat(), json!({ "message": "Not Found" }), &wrong),
        (
            octocat(),
            json!([{ "email": "ada@example.test", "primary": "yes", "verified": 1 }]),
            &wrong,
        ),
        (
            json!({ "id": "583231" }),
            json!([octomail("ada@example.test", true, true)]),
            &wrong,
        ),
        (
            json!({ "id": -1 }),
            json!([octomail("ada@example.test", true, true)]),
            &wrong,
        ),
        (
            json!({ "id": null }),
            json!([octomail("ada@example.test", true, true)]),
            &wrong,
        ),
        (json!([]), json!([]), &wrong),
    ] {
        github(&provider, user, emails);
        assert_eq!(refused(&app, &provider, "github").await, *expected);
    }
    // Somebody who does not let us see the addresses.
    github(&provider, octocat(), json!([]));
    provider
        .state()
        .answers
        .insert(GITHUB.2, Reply::Json(403, json!({ "message": "no" })));
    assert_eq!(refused(&app, &provider, "github").await, first);
    // It says with the status 200 what is wrong.
    let error =
        json!({ "error": "bad_verification_code", "error_description": "The code is incorrect or expired." });
    answers(&provider, &[(GITHUB.0, error)]);
    assert_eq!(refused(&app, &provider, "github").await, wrong);
    answers(&provider, &[(GITHUB.0, json!({ "access_token": "a\r\nb" }))]);
    assert_eq!(refused(&app, &provider, "github").await, wrong);
    provider
        .state()
        .answers
        .insert(GITHUB.0, Reply::Json(502, json!({})));
    assert_eq!(
        refused(&app, &provider, "github").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    for rows in [
        "SELECT count(*) FROM app_user",
        "SELECT count(*) FROM external_identity",
    ] {
        assert_eq!(app.count(rows).await, 0);
    }
}

#[actix_web::test]
async fn x_is_asked_who_somebody_is() {
    let provider = Provider::start();
    let (token, me) = ("/2/oauth2/token", "/2/users/me");
    let granted = json!({ "token_type": "bearer", "expires_in": 7200, "access_token": "T2F1dGg", "scope": "users.read" });
    let user = json!({ "data": { "id": "2244994945", "name": "Ada", "username": "ada", "confirmed_email": "ada@example.test" } });
    answers(&provider, &[(token, granted), (me, user)]);
    let app = app_with(&[("x", &provider)], &[]).await;
    let browser = browser(&app);
    let there = Url::parse(&begin(&browser, "x").await).unwrap();
    assert_eq!(there.path(), "/i/oauth2/authorize");
    assert!(there.query().unwrap().contains("code_challenge_method=S256"));
    assert!(there.query().unwrap().contains("users.email"));
    assert!(arrived(&browser.get(&provider.consent(there.as_str())).await));
    assert_eq!(who(&app, &browser).await, "ada@example.test");
    let asked = provider.last(token);
    // RFC 6749, section 2.3.1: both parts are form-encoded first.
    let basic = "Basic cGVyc29uYWwtY3JtOmErc2VjcmV0JTNBK29mK3RoZSt0ZXN0cw==";
    assert_eq!(asked.headers["authorization"], basic);
    assert!(!asked.form.contains_key("client_secret"));
    assert_eq!(asked.form["code_verifier"].len(), 64);

    let first = (
        StatusCode::FORBIDDEN,
        "Please sign in another way first".to_owned(),
    );
    let wrong = (StatusCode::FORBIDDEN, "This did not work".to_owned());
    for (user, expected) in [
        (
            json!({ "data": { "id": "1", "name": "Eve", "username": "eve" } }),
            &first,
        ),
        (json!({ "data": { "id": "1", "confirmed_email": null } }), &first),
        (
            json!({ "data": { "id": 1, "confirmed_email": "eve@example.test" } }),
            &wrong,
        ),
        (
            json!({ "data": { "id": "eve", "confirmed_email": "eve@example.test" } }),
            &wrong,
        ),
        (
            json!({ "data": { "id": "", "confirmed_email": "eve@example.test" } }),
            &wrong,
        ),
        (json!({ "errors": [{ "title": "Forbidden" }] }), &wrong),
    ] {
        answers(&provider, &[(me, user)]);
        assert_eq!(refused(&app, &provider, "x").await, *expected);
    }
    provider
        .state()
        .answers
        .insert(token, Reply::Json(401, json!({ "error": "unauthorized_client" })));
    assert_eq!(refused(&app, &provider, "x").await, wrong);
    provider.state().answers.insert(me, Reply::Never);
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 1);
}

#[actix_web::test]
async fn linkedin_gets_what_it_wants_and_nobody_else_does() {
    let provider = Provider::start();
    let ada =
        json!({ "sub": "782bbtaQ", "email": "ada@example.test", "email_verified": true, "nonce": null });
    provider.person(ada.clone());
    let mut settings = provider.settings("other");
    settings.push(("SSO_OTHER_KIND".to_owned(), "oidc".to_owned()));
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let app = app_with(&[("linkedin", &provider)], &settings).await;
    let browser = browser(&app);
    let there = begin(&browser, "linkedin").await;
    assert!(!there.contains("code_challenge"), "{there}");
    assert!(arrived(&browser.get(&provider.consent(&there)).await));
    let asked = provider.last("/token");
    assert_eq!(
        (
            asked.form["client_id"].as_str(),
            asked.form["client_secret"].as_str()
        ),
        (CLIENT, SECRET)
    );
    assert!(!asked.form.contains_key("code_verifier") && !asked.headers.contains_key("authorization"));
    // A nonce may be missing there, but not be another.
    let mut another = ada.clone();
    another["nonce"] = json!("another");
    provider.person(another);
    assert_eq!(
        refused(&app, &provider, "linkedin").await.0,
        StatusCode::FORBIDDEN
    );

    provider.person(ada);
    let strict = app_with(&[("other", &provider)], &[]).await;
    assert_eq!(
        refused(&strict, &provider, "other").await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        header(&strict.get("/sign-in").send().await.unwrap(), "content-type"),
        "text/html; charset=utf-8"
    );
}
