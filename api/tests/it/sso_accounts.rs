//! Whose account an identity opens: known by issuer and subject, and never by an address alone.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, header};
use crate::provider::Provider;
use crate::sso::{app_with, arrived, begin, browser, by_mail, walk, who};
use crate::support::TestApp;

fn person(sub: &str, email: &str, verified: Option<bool>) -> Value {
    json!({ "sub": sub, "email": email, "email_verified": verified })
}

async fn run(app: &TestApp, sql: &'static str) {
    sqlx::query(sql).execute(&mut app.admin().await).await.unwrap();
}

#[actix_web::test]
async fn a_proved_address_links_to_the_account_that_proved_it_too() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    by_mail(&app, &browser(&app), "ada@example.test").await;
    provider.person(person("7", "ADA@Example.test", Some(true)));
    let browser = browser(&app);
    assert!(arrived(&walk(&browser, &provider, "acme").await));
    assert_eq!(who(&app, &browser).await, "ada@example.test");
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 1);
    let linked = "SELECT count(*) FROM audit_event WHERE kind = 'identity.linked' AND method = 'acme'";
    assert_eq!(app.count(linked).await, 1);
    let notices = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'send-account-notice'";
    assert!(app.count(notices).await > 0, "its user is mailed");
}

#[actix_web::test]
async fn an_unproved_address_opens_makes_and_tells_nothing() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    by_mail(&app, &browser(&app), "ada@example.test").await;
    let mut pages = Vec::new();
    for claims in [
        person("1", "ada@example.test", Some(false)),
        person("2", "ada@example.test", None),
        person("3", "nobody@example.test", Some(false)),
        json!({ "sub": "4" }),
        json!({ "sub": "5", "email_verified": true }),
    ] {
        provider.person(claims);
        let answer = walk(&browser(&app), &provider, "acme").await;
        assert!(!arrived(&answer));
        pages.push((answer.status(), answer.text().await.unwrap()));
    }
    assert_eq!(pages[0].0, StatusCode::FORBIDDEN);
    assert!(pages[0].1.contains("sign in another way first"), "{}", pages[0].1);
    assert!(pages.iter().all(|page| *page == pages[0]), "the same for all");
    assert_eq!(app.count("SELECT count(*) FROM external_identity").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM session").await, 1);
    // Whose address it was said to be can see that somebody came with it.
    let told = "SELECT count(*) FROM audit_event WHERE kind = 'sign_in.refused' AND method = 'acme'";
    assert_eq!(app.count(told).await, 2);
}

#[actix_web::test]
async fn an_address_that_the_account_has_not_proved_does_not_link() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    by_mail(&app, &browser(&app), "ada@example.test").await;
    run(&app, "UPDATE user_email SET verified_at = NULL").await;
    provider.person(person("7", "ada@example.test", Some(true)));
    assert!(!arrived(&walk(&browser(&app), &provider, "acme").await));
    assert_eq!(app.count("SELECT count(*) FROM external_identity").await, 0);
    assert_eq!(
        app.count("SELECT count(*) FROM user_email WHERE verified_at IS NULL")
            .await,
        1
    );
}

#[actix_web::test]
async fn an_identity_stays_with_its_account_whatever_its_address_becomes() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    by_mail(&app, &browser(&app), "eve@example.test").await;
    provider.person(person("7", "ada@example.test", Some(true)));
    assert!(arrived(&walk(&browser(&app), &provider, "acme").await));
    // The provider's account now bears somebody else's address, proved or not, or none.
    for claims in [
        person("7", "eve@example.test", Some(true)),
        person("7", "eve@example.test", Some(false)),
        json!({ "sub": "7" }),
    ] {
        provider.person(claims);
        let browser = browser(&app);
        assert!(arrived(&walk(&browser, &provider, "acme").await));
        assert_eq!(who(&app, &browser).await, "ada@example.test");
    }
    // It is shown as the provider says it now.
    provider.person(person("7", "new@example.test", Some(true)));
    assert!(arrived(&walk(&browser(&app), &provider, "acme").await));
    let shown = "SELECT count(*) FROM external_identity WHERE email = 'new@example.test' AND subject = '7'";
    assert_eq!(app.count(shown).await, 1);
    // Whoever gets the address there afterwards is somebody else.
    provider.person(person("8", "ada@example.test", Some(false)));
    assert!(!arrived(&walk(&browser(&app), &provider, "acme").await));
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 2);
}

#[actix_web::test]
async fn the_same_subject_elsewhere_is_somebody_else() {
    let (a, b) = (Provider::start(), Provider::start());
    a.person(person("7", "ada@example.test", Some(true)));
    b.person(person("7", "bob@example.test", Some(true)));
    let app = app_with(&[("a", &a), ("b", &b)], &[]).await;
    let (first, second) = (browser(&app), browser(&app));
    assert!(arrived(&walk(&first, &a, "a").await));
    assert!(arrived(&walk(&second, &b, "b").await));
    assert_eq!(who(&app, &first).await, "ada@example.test");
    assert_eq!(who(&app, &second).await, "bob@example.test");
}

#[actix_web::test]
async fn many_callbacks_of_one_person_at_once_make_one_account() {
    let provider = Provider::start();
    provider.person(person("7", "ada@example.test", Some(true)));
    let app = app_with(&[("acme", &provider)], &[]).await;
    let all = (0..8).map(|_| async {
        let browser = browser(&app);
        walk(&browser, &provider, "acme").await
    });
    for answer in futures::future::join_all(all).await {
        assert!(arrived(&answer));
    }
    for rows in [
        "SELECT count(*) FROM app_user",
        "SELECT count(*) FROM owner",
        "SELECT count(*) FROM user_email",
        "SELECT count(*) FROM external_identity",
    ] {
        assert_eq!(app.count(rows).await, 1, "{rows}");
    }
    assert_eq!(app.count("SELECT count(*) FROM session").await, 8);
}

#[actix_web::test]
async fn who_requires_a_passkey_presents_it_after_the_provider_and_gets_no_new_way_without() {
    let provider = Provider::start();
    provider.person(person("7", "ada@example.test", Some(true)));
    let app = app_with(&[("acme", &provider)], &[]).await;
    assert!(arrived(&walk(&browser(&app), &provider, "acme").await));
    run(&app, "UPDATE app_user SET passkey_required = true").await;
    let browser = browser(&app);
    let answer = walk(&browser, &provider, "acme").await;
    assert_eq!(header(&answer, "location"), "/sign-in/second-factor");
    assert_eq!(browser.cookie("__Host-session"), None);
    assert!(browser.cookie("__Host-second-factor").is_some());
    // One more identity of the same proved address is not added by the first factor alone.
    provider.person(person("8", "ada@example.test", Some(true)));
    let answer = walk(&self::browser(&app), &provider, "acme").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(app.count("SELECT count(*) FROM external_identity").await, 1);
}

/// Adds a provider in the settings: the answer of our callback.
async fn link(browser: &Browser, provider: &Provider, name: &str) -> Response {
    let sent = browser.post(&format!("/settings/sign-in/with/{name}"), &[]).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    browser.get(&provider.consent(header(&sent, "location"))).await
}

#[actix_web::test]
async fn who_is_signed_in_adds_a_provider_whatever_its_address() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    let browser = browser(&app);
    by_mail(&app, &browser, "ada@example.test").await;
    provider.person(person("7", "somebody.else@example.test", Some(false)));
    for _ in 0..2 {
        let linked = link(&browser, &provider, "acme").await;
        assert_eq!(
            header(&linked, "location"),
            "/settings/sign-in?changed=provider-added"
        );
    }
    let html = browser
        .get("/settings/sign-in?changed=provider-added")
        .await
        .text()
        .await
        .unwrap();
    assert!(
        html.contains("somebody.else@example.test") && html.contains(r#"href="/settings/sessions""#),
        "{html}"
    );
    assert_eq!(app.count("SELECT count(*) FROM external_identity").await, 1);
    assert_eq!(
        app.count("SELECT count(*) FROM user_email").await,
        1,
        "its address proves nothing"
    );
    let events = "SELECT count(*) FROM audit_event WHERE kind = 'identity.linked' AND session_id IS NOT NULL";
    assert_eq!(app.count(events).await, 1);
    let other = self::browser(&app);
    assert!(arrived(&walk(&other, &provider, "acme").await));
    assert_eq!(who(&app, &other).await, "ada@example.test");
}

#[actix_web::test]
async fn a_provider_is_added_only_by_who_has_shown_lately_who_they_are() {
    let provider = Provider::start();
    provider.person(person("7", "ada@example.test", Some(true)));
    let app = app_with(&[("acme", &provider)], &[]).await;
    let browser = browser(&app);
    let nobody = browser.post("/settings/sign-in/with/acme", &[]).await;
    assert_eq!(
        header(&nobody, "location"),
        "/sign-in?return_to=/settings/sign-in"
    );
    by_mail(&app, &browser, "ada@example.test").await;
    app.db.clock().advance(chrono::TimeDelta::minutes(11));
    let late = browser.post("/settings/sign-in/with/acme", &[]).await;
    assert_eq!(
        header(&late, "location"),
        "/sign-in?again=true&return_to=/settings/sign-in"
    );
    assert_eq!(app.count("SELECT count(*) FROM ceremony").await, 0);
    let foreign = browser
        .form("/settings/sign-in/with/acme", &[])
        .header("Origin", "https://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    by_mail(&app, &browser, "ada@example.test").await;
    let linked = link(&browser, &provider, "acme").await;
    assert_eq!(
        header(&linked, "location"),
        "/settings/sign-in?changed=provider-added"
    );
}

#[actix_web::test]
async fn what_one_session_asked_for_no_other_gets() {
    let provider = Provider::start();
    provider.person(person("7", "mallory@example.test", Some(true)));
    let app = app_with(&[("acme", &provider)], &[]).await;
    let (ada, mallory) = (browser(&app), browser(&app));
    by_mail(&app, &ada, "ada@example.test").await;
    by_mail(&app, &mallory, "mallory@example.test").await;
    // Mallory's identity would open ada's account, could she be made to finish what mallory began.
    let sent = mallory.post("/settings/sign-in/with/acme", &[]).await;
    let back = provider.consent(header(&sent, "location"));
    assert_eq!(ada.get(&back).await.status(), StatusCode::GONE);
    // Nor by mallory's own browser, signed in as somebody else meanwhile or signed out.
    by_mail(&app, &mallory, "eve@example.test").await;
    mallory.plant(
        "__Host-browser",
        sent.headers()["set-cookie"].to_str().unwrap()[15..]
            .split(';')
            .next()
            .unwrap(),
    );
    let answer = mallory.get(&back).await;
    assert_eq!(
        header(&answer, "location"),
        "/sign-in?return_to=/settings/sign-in"
    );
    let sent = ada.post("/settings/sign-in/with/acme", &[]).await;
    ada.call("/session/end").await;
    let answer = ada.get(&provider.consent(header(&sent, "location"))).await;
    assert_eq!(
        header(&answer, "location"),
        "/sign-in?return_to=/settings/sign-in"
    );
    assert_eq!(app.count("SELECT count(*) FROM external_identity").await, 0);
}

#[actix_web::test]
async fn an_identity_opens_one_account() {
    let provider = Provider::start();
    provider.person(person("7", "ada@example.test", Some(true)));
    let app = app_with(&[("acme", &provider)], &[]).await;
    assert!(arrived(&walk(&browser(&app), &provider, "acme").await));
    let bob = browser(&app);
    by_mail(&app, &bob, "bob@example.test").await;
    let answer = link(&bob, &provider, "acme").await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert!(answer.text().await.unwrap().contains("opens another account"));
    let denied = begin(&bob, "acme").await;
    assert!(denied.starts_with(&provider.url));
    assert_eq!(app.count("SELECT count(*) FROM external_identity").await, 1);
    assert_eq!(who(&app, &bob).await, "bob@example.test");
}

#[actix_web::test]
async fn an_account_has_a_bounded_number_of_identities() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    let browser = browser(&app);
    by_mail(&app, &browser, "ada@example.test").await;
    run(
        &app,
        "INSERT INTO external_identity (owner_id, id, user_id, provider, issuer, subject, created_at) \
         SELECT owner_id, gen_random_uuid(), id, 'acme', 'https://acme.example', n::text, now() \
         FROM app_user, generate_series(1, 20) n",
    )
    .await;
    provider.person(person("7", "ada@example.test", Some(true)));
    assert_eq!(
        link(&browser, &provider, "acme").await.status(),
        StatusCode::CONFLICT
    );
    assert!(!arrived(&walk(&self::browser(&app), &provider, "acme").await));
    assert_eq!(app.count("SELECT count(*) FROM external_identity").await, 20);
}
