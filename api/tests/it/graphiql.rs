//! GraphiQL: in development, for who is signed in, with nothing but pinned files.

use domain::identity::link;
use reqwest::StatusCode;
use url::Url;

use crate::browser::{Browser, header};
use crate::support::TestApp;

async fn signed_in(app: &TestApp) -> Browser {
    let browser = Browser::at(Url::parse(&app.url).unwrap());
    browser.ask("ada@example.test").await;
    let id = link::newest_for(&app.db, "ada@example.test")
        .await
        .unwrap()
        .unwrap();
    let mail = link::mail_for(&app.db, id).await.unwrap().unwrap();
    let link = Url::parse(&mail.url).unwrap()[url::Position::BeforePath..].to_owned();
    assert_eq!(browser.press(&link).await.status(), StatusCode::SEE_OTHER);
    browser
}

#[actix_web::test]
async fn it_leads_to_the_sign_in_and_back() {
    let app = TestApp::start().await;
    let answer = app.get("/graphiql").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(header(&answer, "location"), "/sign-in?return_to=/graphiql");
}

#[actix_web::test]
async fn it_loads_what_is_pinned_and_nothing_else() {
    let app = TestApp::start().await;
    let answer = signed_in(&app).await.get("/graphiql").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&answer, "cache-control"), "no-store");
    let policy = header(&answer, "content-security-policy").to_owned();
    let page = answer.text().await.unwrap();
    let scripts = policy
        .split(';')
        .find(|part| part.trim().starts_with("script-src"))
        .unwrap();
    assert!(
        !scripts.contains("unsafe") && !scripts.contains("data:"),
        "{scripts}"
    );
    for part in [
        "default-src 'none'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    let mut elsewhere = 0;
    for tag in page
        .split('<')
        .filter(|tag| tag.starts_with("script") || tag.starts_with("link"))
    {
        let place = tag
            .split('"')
            .find(|text| text.starts_with("https:") || text.starts_with('/'));
        let place = place.unwrap_or_else(|| panic!("inline: {tag}"));
        if place.starts_with('/') {
            let asset = app.get(place).send().await.unwrap();
            assert_eq!(asset.status(), StatusCode::OK, "{place}");
            assert!(header(&asset, "content-type").ends_with("; charset=utf-8"));
        } else {
            elsewhere += 1;
            assert!(
                tag.contains("integrity=\"sha384-") && tag.contains("crossorigin=\"anonymous\""),
                "{tag}"
            );
            assert!(policy.contains(place), "{place}");
        }
    }
    assert_eq!(elsewhere, 4);
}

#[actix_web::test]
async fn it_is_not_there_outside_development() {
    for environment in ["staging", "production"] {
        let app = TestApp::with(&[
            ("APP_ENV", environment),
            ("PUBLIC_URL", "https://crm.example.test"),
            ("SMTP_URL", "smtps://mail.example.test"),
            ("MAIL_FROM", "crm@example.test"),
            ("TRUSTED_PROXIES", "127.0.0.1"),
        ])
        .await;
        for path in ["/graphiql", "/assets/graphiql.js", "/assets/graphiql.css"] {
            let answer = app.get(path).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
