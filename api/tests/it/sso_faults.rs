//! Providers that are away, slow, or not in their senses: a clear page, no half-made account, and the other ways
//! to sign in work.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::browser::header;
use crate::provider::{Provider, Reply};
use crate::sso::{app_with, arrived, begin, browser, by_mail, walk, who};
use crate::support::TestApp;

fn ada() -> Value {
    json!({ "sub": "7", "email": "ada@example.test", "email_verified": true })
}

const CONFIGURATION: &str = "/.well-known/openid-configuration";

/// The title of a page without secrets in it, and its status.
async fn page(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert!(header(&answer, "content-type").starts_with("text/html"));
    assert!(!answer.headers().contains_key("set-cookie"));
    let html = answer.text().await.unwrap();
    assert!(html.contains(r#"<a href="/sign-in">"#), "{html}");
    let title = html.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap();
    (status, title.to_owned())
}

async fn nobody_is_there(app: &TestApp) {
    for rows in [
        "SELECT count(*) FROM app_user",
        "SELECT count(*) FROM owner",
        "SELECT count(*) FROM external_identity",
        "SELECT count(*) FROM session",
    ] {
        assert_eq!(app.count(rows).await, 0, "{rows}");
    }
}

#[actix_web::test]
async fn a_provider_that_can_not_be_begun_at_is_away() {
    let provider = Provider::start();
    provider.person(ada());
    let app = app_with(&[("acme", &provider)], &[]).await;
    let browser = browser(&app);
    for reply in [
        Reply::Json(500, json!({ "error": "no" })),
        Reply::Json(404, json!({})),
        Reply::Text(200, "<html>".to_owned()),
        Reply::Text(200, " ".repeat(1_000_000)),
        Reply::Redirect("/elsewhere".to_owned()),
        Reply::Never,
    ] {
        provider.state().answers.insert(CONFIGURATION, reply);
        for _ in 0..2 {
            let answer = browser.post("/sign-in/with/acme", &[]).await;
            assert_eq!(page(answer).await, (503, "acme does not answer".to_owned()));
        }
        app.db.clock().advance(chrono::TimeDelta::seconds(3));
    }
    assert_eq!(provider.fetches("/elsewhere"), 0);
    assert_eq!(
        provider.fetches(CONFIGURATION),
        6,
        "nobody else waits for what has just failed"
    );
    nobody_is_there(&app).await;
    // The other ways work, and this one as soon as it is back.
    by_mail(&app, &browser, "ada@example.test").await;
    provider.state().answers.clear();
    assert!(arrived(&walk(&self::browser(&app), &provider, "acme").await));
}

#[actix_web::test]
async fn a_configuration_that_names_another_issuer_is_none() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    for configuration in [
        json!({ "issuer": "https://evil.example" }),
        json!({ "issuer": format!("{}/", provider.url) }),
        json!({ "issuer": null }),
        json!({ "token_endpoint": null }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
        json!({ "jwks_uri": 7 }),
    ] {
        provider.state().configuration = configuration.clone();
        let answer = browser(&app).post("/sign-in/with/acme", &[]).await;
        assert_eq!(page(answer).await.0, 503, "{configuration}");
        app.db.clock().advance(chrono::TimeDelta::seconds(3));
    }
    provider.state().configuration = json!({});
    begin(&browser(&app), "acme").await;
}

#[actix_web::test]
async fn a_provider_that_fails_in_the_middle_leaves_nothing_half_made() {
    let away = (503, "acme does not answer".to_owned());
    let refused = (403, "This did not work".to_owned());
    let provider = Provider::start();
    provider.person(ada());
    let app = app_with(&[("acme", &provider)], &[]).await;
    let browser = browser(&app);
    for (reply, expected) in [
        (Reply::Json(500, json!({})), &away),
        (Reply::Json(429, json!({})), &away),
        (Reply::Never, &away),
        (Reply::Json(400, json!({ "error": "invalid_grant" })), &refused),
        (Reply::Json(401, json!({ "error": "invalid_client" })), &refused),
        (Reply::Redirect("/elsewhere".to_owned()), &refused),
        (Reply::Text(200, String::new()), &refused),
        (Reply::Text(200, "{".to_owned()), &refused),
        (
            Reply::Text(200, format!("{{\"name\":\"{}\"}}", "a".repeat(1_000_000))),
            &refused,
        ),
        (Reply::Json(200, json!([])), &refused),
        (Reply::Json(200, json!({ "access_token": null })), &refused),
        (
            Reply::Json(200, json!({ "access_token": "a", "token_type": "Bearer" })),
            &refused,
        ),
        (
            Reply::Json(
                200,
                json!({ "access_token": "a", "token_type": "Bearer", "id_token": null }),
            ),
            &refused,
        ),
        (
            Reply::Json(
                200,
                json!({ "access_token": "a", "token_type": "Bearer", "id_token": 7 }),
            ),
            &refused,
        ),
        (
            Reply::Json(
                200,
                json!({ "access_token": "a", "token_type": "Bearer", "id_token": "a.b.c" }),
            ),
            &refused,
        ),
    ] {
        let back = provider.consent(&begin(&browser, "acme").await);
        provider.state().answers.insert("/token", reply);
        assert_eq!(page(browser.get(&back).await).await, *expected);
        assert_eq!(provider.fetches("/elsewhere"), 0);
        nobody_is_there(&app).await;
        provider.state().answers.clear();
    }
    assert!(arrived(&walk(&browser, &provider, "acme").await));
}

#[actix_web::test]
async fn a_person_may_say_no() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    let browser = browser(&app);
    for (error, title) in [
        ("access_denied", (403, "You said no at acme")),
        ("user_cancelled_login", (403, "You said no at acme")),
        ("temporarily_unavailable", (503, "acme does not answer")),
        ("invalid_scope", (403, "This did not work")),
        ("<script>alert(1)</script>", (403, "This did not work")),
    ] {
        let back = provider.consent(&begin(&browser, "acme").await);
        let state = back.split("state=").nth(1).unwrap();
        let path = format!("/sign-in/with/acme/callback?error={error}&error_description=<b>&state={state}");
        let (status, found) = page(browser.get(&path).await).await;
        assert_eq!((status, found.as_str()), title);
        assert_eq!(
            browser.get(&back).await.status(),
            StatusCode::GONE,
            "it is over with that"
        );
    }
    assert_eq!(provider.fetches("/token"), 0);
    nobody_is_there(&app).await;
}

#[actix_web::test]
async fn what_a_provider_says_of_a_person_is_looked_at_like_what_a_person_types() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    // None of these is an address that an account could be found or made by.
    for (n, email) in [
        json!("ada@example.test\r\nBcc: eve@example.test"),
        json!("<b>ada</b>"),
        json!(format!("{}@example.test", "a".repeat(300))),
        json!("\u{fb01}ona@example.test"),
        json!(""),
        json!(null),
    ]
    .iter()
    .enumerate()
    {
        provider.person(json!({ "sub": n.to_string(), "email": email, "email_verified": true }));
        let found = page(walk(&browser(&app), &provider, "acme").await).await;
        assert_eq!(
            found,
            (403, "Please sign in another way first".to_owned()),
            "{email}"
        );
    }
    // What has the wrong type is no ID token at all.
    for claims in [
        json!({ "email": ["ada@example.test"], "email_verified": true }),
        json!({ "email": "ada@example.test", "email_verified": "yes" }),
        json!({ "email": "ada@example.test", "email_verified": 1 }),
        json!({ "email": "ada@example.test", "email_verified": true, "name": "a".repeat(1_000_000) }),
        json!({ "email": "ada@example.test", "email_verified": true, "iat": "now" }),
    ] {
        provider.person(claims.clone());
        let found = page(walk(&browser(&app), &provider, "acme").await).await;
        assert_eq!(
            found,
            (403, "This did not work".to_owned()),
            "{:.80}",
            claims.to_string()
        );
    }
    nobody_is_there(&app).await;
    // What is not asked for is not minded.
    provider.person(json!({
        "email": "ada@example.test", "email_verified": true, "name": "<script>alert(1)</script>", "picture": "javascript:x",
    }));
    let browser = browser(&app);
    assert!(arrived(&walk(&browser, &provider, "acme").await));
    assert_eq!(who(&app, &browser).await, "ada@example.test");
    assert_eq!(
        app.count("SELECT count(*) FROM app_user WHERE name IS NULL")
            .await,
        1
    );
}

#[actix_web::test]
async fn an_address_may_be_asked_for_separately_and_of_the_same_person_alone() {
    let provider = Provider::start();
    provider.person(json!({ "sub": "7" }));
    let url = format!("{}/me", provider.url);
    provider.state().configuration = json!({ "userinfo_endpoint": url });
    let app = app_with(&[("acme", &provider)], &[]).await;
    for (said, title) in [
        (
            json!({ "sub": "8", "email": "ada@example.test", "email_verified": true }),
            "This did not work",
        ),
        (
            json!({ "email": "ada@example.test", "email_verified": true }),
            "This did not work",
        ),
        (
            json!({ "sub": "7", "email": "ada@example.test" }),
            "Please sign in another way first",
        ),
        (
            json!({ "sub": "7", "email": "ada@example.test", "email_verified": false }),
            "Please sign in another way first",
        ),
    ] {
        provider.state().answers.insert("/me", Reply::Json(200, said));
        assert_eq!(page(walk(&browser(&app), &provider, "acme").await).await.1, title);
    }
    nobody_is_there(&app).await;
    provider.state().answers.insert("/me", Reply::Json(200, ada()));
    let browser = browser(&app);
    assert!(arrived(&walk(&browser, &provider, "acme").await));
    assert_eq!(
        provider.last("/me").headers["authorization"],
        "Bearer an-access-token"
    );
    assert_eq!(who(&app, &browser).await, "ada@example.test");
}
