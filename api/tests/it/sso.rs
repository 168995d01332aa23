//! Signing in at a provider, as a browser does it, and what every test of it shares.

use reqwest::{Response, StatusCode};
use url::Url;

use crate::browser::{Browser, FRONT_END, header};
use crate::provider::Provider;
use crate::support::TestApp;

/// An application with these providers, which speak OpenID Connect, and settings besides.
pub async fn app_with(providers: &[(&str, &Provider)], extra: &[(&str, &str)]) -> TestApp {
    let names: Vec<_> = providers.iter().map(|(name, _)| *name).collect();
    let mut settings = vec![
        ("SSO_PROVIDERS".to_owned(), names.join(",")),
        ("FRONTEND_ORIGINS".to_owned(), FRONT_END.to_owned()),
    ];
    for (name, provider) in providers {
        settings.extend(provider.settings(name));
    }
    let mut settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    settings.extend(extra);
    let app = TestApp::with(&settings).await;
    for (_, provider) in providers {
        provider.state().clock = app.db.clock().clone();
    }
    app
}

pub fn browser(app: &TestApp) -> Browser {
    Browser::at(Url::parse(&app.url).unwrap())
}

/// Presses the button of a provider: where the browser is sent.
pub async fn begin(browser: &Browser, name: &str) -> String {
    let sent = browser.post(&format!("/sign-in/with/{name}"), &[]).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    header(&sent, "location").to_owned()
}

/// There and back, saying yes: the answer of our callback.
pub async fn walk(browser: &Browser, provider: &Provider, name: &str) -> Response {
    let there = begin(browser, name).await;
    browser.get(&provider.consent(&there)).await
}

/// Whether a sign-in succeeded.
pub fn arrived(answer: &Response) -> bool {
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    let session = cookies
        .iter()
        .any(|cookie| cookie.as_bytes().starts_with(b"__Host-session="));
    assert_eq!(
        session,
        answer.status() == StatusCode::SEE_OTHER && header(answer, "location") == "/sign-in/done"
    );
    session
}

/// Signs in by a mailed link.
pub async fn by_mail(app: &TestApp, browser: &Browser, address: &str) {
    browser.ask(address).await;
    let link = mailed(app, address).await;
    let signed_in = browser.press(&link).await;
    assert_eq!(signed_in.status(), StatusCode::SEE_OTHER);
}

/// Path and query of the newest link that was mailed to an address.
pub async fn mailed(app: &TestApp, address: &str) -> String {
    use domain::identity::link;
    let id = link::newest_for(&app.db, address).await.unwrap().unwrap();
    let mail = link::mail_for(&app.db, id).await.unwrap().unwrap();
    Url::parse(&mail.url).unwrap()[url::Position::BeforePath..].to_owned()
}

/// The address of who is signed in.
pub async fn who(app: &TestApp, browser: &Browser) -> String {
    let token = browser.access_token().await;
    let query = serde_json::json!({ "query": "{ viewer { email } }" });
    let answer = app
        .post("/graphql")
        .bearer_auth(token)
        .json(&query)
        .send()
        .await
        .unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    answer["data"]["viewer"]["email"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_browser_signs_in_at_a_provider() {
    let provider = Provider::start();
    provider.person(serde_json::json!({ "sub": "7", "email": "Ada@example.test", "email_verified": true }));
    let app = app_with(&[("acme", &provider)], &[("SSO_ACME_LABEL", "Acme & Co")]).await;
    let browser = browser(&app);

    let page = browser
        .get("/sign-in?return_to=http://localhost:3000/inbox")
        .await;
    let policy = header(&page, "content-security-policy").to_owned();
    // Browsers hold the form's answer to it, and where a provider sends them straight back to.
    for origin in ["'self'", provider.url.as_str(), FRONT_END] {
        let allowed = policy
            .split("form-action ")
            .nth(1)
            .unwrap()
            .split(';')
            .next()
            .unwrap();
        assert!(allowed.split(' ').any(|allowed| allowed == origin), "{policy}");
    }
    let html = page.text().await.unwrap();
    assert!(
        html.contains(r#"action="/sign-in/with/acme""#) && html.contains("Continue with Acme &#38; Co"),
        "{html}"
    );

    let wish = [("return_to", "http://localhost:3000/inbox")];
    let sent = browser.post("/sign-in/with/acme", &wish).await;
    let cookie = header(&sent, "set-cookie");
    for attribute in [
        "__Host-browser=",
        "HttpOnly",
        "Secure",
        "SameSite=Lax",
        "Path=/",
        "Max-Age=3600",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert_eq!(header(&sent, "cache-control"), "no-store");
    let there = Url::parse(header(&sent, "location")).unwrap();
    assert_eq!(
        there[..url::Position::AfterPath],
        format!("{}/authorize", provider.url)
    );
    let query: std::collections::HashMap<_, _> = there.query_pairs().into_owned().collect();
    // 256 bits each.
    assert_eq!(
        (
            query["state"].len(),
            query["nonce"].len(),
            query["code_challenge"].len()
        ),
        (43, 43, 43)
    );
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["scope"], "openid email");
    assert_eq!(
        query["redirect_uri"],
        "http://localhost:8080/sign-in/with/acme/callback"
    );
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 0);

    let back = browser.get(&provider.consent(there.as_str())).await;
    assert_eq!(
        (back.status(), header(&back, "location")),
        (StatusCode::SEE_OTHER, "http://localhost:3000/inbox")
    );
    assert_eq!(header(&back, "referrer-policy"), "no-referrer");
    assert_eq!(who(&app, &browser).await, "Ada@example.test");
    let sessions =
        "SELECT count(*) FROM session WHERE method = 'sso' AND provider = 'acme' AND second_factor IS NULL";
    assert_eq!(app.count(sessions).await, 1);
    let events = "SELECT count(*) FROM audit_event WHERE kind = 'sign_in.succeeded' AND method = 'acme'";
    assert_eq!(app.count(events).await, 1);
    let basic = &provider.last("/token").headers["authorization"];
    assert!(basic.starts_with("Basic "), "{basic}");

    // Known from now on by the subject.
    let again = self::browser(&app);
    assert!(arrived(&walk(&again, &provider, "acme").await));
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 1);
    // The provider's tokens are kept nowhere.
    let kept = "SELECT count(*) FROM external_identity i, session s, audit_event e WHERE \
        concat(i::text, s::text, e::text) LIKE '%an-access-token%'";
    assert_eq!(app.count(kept).await, 0);
    assert_eq!(app.count("SELECT count(*) FROM ceremony").await, 0);
}

#[actix_web::test]
async fn other_sites_can_not_begin_one_and_unknown_providers_are_not_there() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    let browser = browser(&app);
    for (site, origin) in [
        ("cross-site", "https://evil.example"),
        ("same-site", "http://x.localhost:8080"),
    ] {
        let form = browser.form("/sign-in/with/acme", &[]).header("Origin", origin);
        let answer = form.header("Sec-Fetch-Site", site).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(
        browser.get("/sign-in/with/acme").await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        browser.post("/sign-in/with/other", &[]).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        browser
            .get("/sign-in/with/other/callback?state=a&code=b")
            .await
            .status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(app.count("SELECT count(*) FROM ceremony").await, 0);
    assert_eq!(provider.fetches("/jwks"), 0);
}

#[actix_web::test]
async fn nobody_is_sent_elsewhere_after_it() {
    let provider = Provider::start();
    provider.person(serde_json::json!({ "sub": "7", "email": "ada@example.test", "email_verified": true }));
    let app = app_with(&[("acme", &provider)], &[]).await;
    for to in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/%2fevil.example",
        "/x\r\nSet-Cookie: a=b",
    ] {
        let browser = browser(&app);
        let sent = browser.post("/sign-in/with/acme", &[("return_to", to)]).await;
        let back = browser.get(&provider.consent(header(&sent, "location"))).await;
        assert!(arrived(&back), "{to:?}");
    }
}

#[actix_web::test]
async fn a_client_that_does_it_too_often_has_to_wait() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    let browser = browser(&app);
    let mut last = browser.get("/sign-in/with/acme/callback").await;
    for _ in 0..60 {
        assert_eq!(last.status(), StatusCode::GONE);
        last = browser.get("/sign-in/with/acme/callback").await;
        if last.status() == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(header(&last, "retry-after").parse::<u64>().unwrap() > 0);
    let begun = browser.post("/sign-in/with/acme", &[]).await;
    assert_eq!(begun.status(), StatusCode::TOO_MANY_REQUESTS);
}
