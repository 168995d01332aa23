//! The pages of a person's own account, as a browser without scripts uses them.

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use uuid::Uuid;

use crate::browser::{Browser, Server, header};

const PAGES: [&str; 5] = [
    "/settings",
    "/settings/sessions",
    "/settings/api-keys",
    "/settings/activity",
    "/settings/account",
];
const FORMS: [&str; 7] = [
    "/settings/sessions/end",
    "/settings/sessions/end-others",
    "/settings/sessions/end-all",
    "/settings/api-keys/create",
    "/settings/api-keys/revoke",
    "/settings/account/delete",
    "/settings/account/keep",
];

async fn html(browser: &Browser, path: &str) -> String {
    let page = browser.get(path).await;
    assert_eq!(page.status(), StatusCode::OK, "{path}");
    page.text().await.unwrap()
}

async fn signed_in(server: &Server, address: &str) -> Browser {
    let browser = server.browser();
    browser.sign_in(server, address).await;
    browser
}

/// Posts a form; where its answer leads.
async fn posted(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> String {
    let answer = browser.post(path, fields).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
    header(&answer, "location").to_owned()
}

/// The ids in the forms of the page of sessions.
async fn sessions(browser: &Browser) -> Vec<String> {
    let page = html(browser, "/settings/sessions").await;
    let pieces = page.split(r#"name="id" value=""#).skip(1);
    pieces
        .map(|piece| piece.split('"').next().unwrap().to_owned())
        .collect()
}

#[actix_web::test]
async fn strangers_sign_in_first_and_come_back() {
    let server = Server::start(&[]).await;
    let stranger = server.browser();
    for path in PAGES {
        let page = stranger.get(path).await;
        assert_eq!(page.status(), StatusCode::SEE_OTHER);
        assert_eq!(header(&page, "location"), format!("/sign-in?return_to={path}"));
        assert_eq!(header(&page, "cache-control"), "no-store");
    }
    let form = html(&stranger, "/sign-in?return_to=/settings/sessions").await;
    let to = format!("{}/settings/sessions", crate::browser::OWN);
    assert!(form.contains(&format!(r#"value="{to}""#)));
    stranger
        .post("/sign-in", &[("email", "ada@example.org"), ("return_to", &to)])
        .await;
    let arrived = stranger.press(&server.mailed("ada@example.org").await).await;
    assert_eq!(header(&arrived, "location"), to);
    html(&stranger, "/settings/sessions").await;
}

#[actix_web::test]
async fn pages_say_what_may_load_where_one_is_and_nothing_in_a_script() {
    let server = Server::start(&[]).await;
    let browser = signed_in(&server, "ada@example.org").await;
    for path in PAGES {
        let page = browser.get(path).await;
        assert_eq!(header(&page, "cache-control"), "no-store");
        assert!(
            header(&page, "content-security-policy").starts_with("default-src 'none'; style-src 'self';")
        );
        let head = browser.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK);
        let page = page.text().await.unwrap();
        assert_eq!(page.matches("<h1>").count(), 1);
        assert!(
            page.contains(&format!(r#"<a href="{path}" aria-current="page">"#)),
            "{page}"
        );
        assert_eq!(page.matches("aria-current").count(), 1);
        assert!(!page.contains("<script") && !page.contains("style="));
    }
    assert!(
        html(&browser, "/settings")
            .await
            .contains("<dd>ada@example.org</dd>")
    );
}

#[actix_web::test]
async fn other_sites_can_change_nothing() {
    let server = Server::start(&[]).await;
    let browser = signed_in(&server, "ada@example.org").await;
    let other = signed_in(&server, "ada@example.org").await;
    let id = sessions(&other).await.remove(0);
    let fields = [("id", id.as_str()), ("sure", "yes")];
    for path in FORMS {
        for (site, origin) in [
            ("cross-site", "https://evil.example"),
            ("same-site", "http://localhost:3000"),
            ("cross-site", "null"),
        ] {
            let post = browser
                .form(path, &fields)
                .header("Origin", origin)
                .header("Sec-Fetch-Site", site);
            assert_eq!(
                post.send().await.unwrap().status(),
                StatusCode::FORBIDDEN,
                "{path} {site} {origin}"
            );
        }
        assert_eq!(browser.get(path).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(sessions(&browser).await.len(), 2);
    assert!(!html(&browser, "/settings").await.contains("going to be deleted"));
}

#[actix_web::test]
async fn a_session_is_ended_from_another_at_once() {
    let server = Server::start(&[]).await;
    let (one, two) = (
        signed_in(&server, "ada@example.org").await,
        signed_in(&server, "ada@example.org").await,
    );
    let token = two.access_token().await;
    let ids = sessions(&one).await;
    assert_eq!(ids.len(), 2, "the current one first");
    assert_eq!(two.me(&token).await.0, StatusCode::OK);
    assert_eq!(
        posted(&one, "/settings/sessions/end", &[("id", &ids[1])]).await,
        "/settings/sessions"
    );
    assert_eq!(two.me(&token).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        two.call("/session/token").await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        header(&two.get("/settings").await, "location"),
        "/sign-in?return_to=/settings"
    );
    // Again, and one that nobody has: the same answer.
    for id in [ids[1].as_str(), &Uuid::now_v7().to_string()] {
        assert_eq!(
            posted(&one, "/settings/sessions/end", &[("id", id)]).await,
            "/settings/sessions"
        );
    }
    assert_eq!(sessions(&one).await, ids[..1]);
    // One's own: signed out.
    assert_eq!(
        posted(&one, "/settings/sessions/end", &[("id", &ids[0])]).await,
        "/sign-in/out"
    );
}

#[actix_web::test]
async fn anothers_session_stays() {
    let server = Server::start(&[]).await;
    let (ada, bob) = (
        signed_in(&server, "ada@example.org").await,
        signed_in(&server, "bob@example.org").await,
    );
    let theirs = sessions(&bob).await.remove(0);
    posted(&ada, "/settings/sessions/end", &[("id", &theirs)]).await;
    posted(&ada, "/settings/sessions/end-others", &[]).await;
    posted(&ada, "/settings/sessions/end-all", &[]).await;
    assert_eq!(sessions(&bob).await, [theirs]);
    assert!(!html(&bob, "/settings/activity").await.contains("ended"));
}

#[actix_web::test]
async fn all_others_end_and_all() {
    let server = Server::start(&[]).await;
    let mut browsers = Vec::new();
    for _ in 0..3 {
        browsers.push(signed_in(&server, "ada@example.org").await);
    }
    let mut tokens = Vec::new();
    for browser in &browsers {
        tokens.push(browser.access_token().await);
    }
    assert_eq!(
        posted(&browsers[0], "/settings/sessions/end-others", &[]).await,
        "/settings/sessions"
    );
    for (browser, token) in browsers.iter().zip(&tokens).skip(1) {
        assert_eq!(browser.me(token).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(
            browser.call("/session/token").await.status(),
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(browsers[0].me(&tokens[0]).await.0, StatusCode::OK);
    assert_eq!(
        posted(&browsers[0], "/settings/sessions/end-all", &[]).await,
        "/sign-in/out"
    );
    assert_eq!(browsers[0].me(&tokens[0]).await.0, StatusCode::UNAUTHORIZED);
    let again = signed_in(&server, "ada@example.org").await;
    let activity = html(&again, "/settings/activity").await;
    assert_eq!(
        activity.matches("Your sessions were ended").count(),
        2,
        "{activity}"
    );
    assert!(activity.contains("all others") && activity.contains("everywhere"));
}

#[actix_web::test]
async fn the_activity_is_paged_by_a_cursor_and_escapes_what_clients_say() {
    let server = Server::start(&[]).await;
    let browser = signed_in(&server, "ada@example.org").await;
    for _ in 0..30 {
        let login = server.browser();
        login.ask("ada@example.org").await;
        let link = server.mailed("ada@example.org").await;
        let link = server.url.join(&link).unwrap();
        let fields: Vec<(String, String)> = link.query_pairs().into_owned().collect();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let press = login
            .form("/sign-in/link", &fields)
            .header("Origin", crate::browser::OWN);
        let press = press
            .header("User-Agent", "<script>alert(1)</script>")
            .send()
            .await
            .unwrap();
        assert_eq!(press.status(), StatusCode::SEE_OTHER);
        login.post("/session/end", &[]).await;
        server.clock.advance(TimeDelta::minutes(5));
    }
    let first = html(&browser, "/settings/activity").await;
    assert!(
        !first.contains("<script>") && first.contains("&#60;script&#62;alert(1)"),
        "{first}"
    );
    assert_eq!(first.matches("<time").count(), 50);
    let (_, older) = first.split_once("/settings/activity?after=").unwrap();
    let older = format!("/settings/activity?after={}", older.split('"').next().unwrap());
    let second = html(&browser, &older).await;
    // 30 times in and out, the first sign-in, and that the account was made.
    assert_eq!(second.matches("<time").count(), 12);
    assert!(second.contains("Your account was made") && !second.contains("?after="));
    for odd in ["x", "%00", &"A".repeat(2000)] {
        let page = browser.get(&format!("/settings/activity?after={odd}")).await;
        assert_eq!(header(&page, "location"), "/settings/activity");
    }
}

#[actix_web::test]
async fn deleting_asks_for_a_recent_sign_in_and_can_be_taken_back() {
    let server = Server::start(&[]).await;
    let browser = signed_in(&server, "ada@example.org").await;
    let other = signed_in(&server, "ada@example.org").await;
    let unsure = browser.post("/settings/account/delete", &[]).await;
    assert_eq!(unsure.status(), StatusCode::UNPROCESSABLE_ENTITY);

    server.clock.advance(TimeDelta::minutes(11));
    let sure = [("sure", "yes")];
    let again = posted(&browser, "/settings/account/delete", &sure).await;
    assert_eq!(again, "/sign-in?again=true&return_to=/settings/account");
    assert!(!html(&browser, "/settings").await.contains("going to be deleted"));
    let form = html(&browser, &again).await;
    assert!(form.contains("show again who you are"));
    let to = format!("{}/settings/account", crate::browser::OWN);
    let before = browser.cookie("__Host-session").unwrap();
    browser
        .post("/sign-in", &[("email", "ada@example.org"), ("return_to", &to)])
        .await;
    let arrived = browser.press(&server.mailed("ada@example.org").await).await;
    assert_eq!(header(&arrived, "location"), to);
    assert_ne!(browser.cookie("__Host-session").unwrap(), before);
    let planted = server.browser();
    planted.plant("__Host-session", &before);
    assert_eq!(
        planted.get("/settings").await.status(),
        StatusCode::SEE_OTHER,
        "the old session is over"
    );

    assert_eq!(
        posted(&browser, "/settings/account/delete", &sure).await,
        "/settings/account"
    );
    for path in ["/settings", "/settings/account"] {
        let page = html(&browser, path).await;
        assert!(page.contains("Your account is going to be deleted") && page.contains("Keep my account"));
        assert!(!page.contains("Delete my account"));
    }
    assert_eq!(
        other.get("/settings").await.status(),
        StatusCode::SEE_OTHER,
        "the others have ended"
    );
    // The way back needs no fresh sign-in, and works from a new one.
    let later = signed_in(&server, "ada@example.org").await;
    server.clock.advance(TimeDelta::days(6));
    assert_eq!(
        posted(&later, "/settings/account/keep", &[]).await,
        "/settings/account"
    );
    assert!(
        html(&later, "/settings/account")
            .await
            .contains("Delete my account")
    );
    let activity = html(&later, "/settings/activity").await;
    assert!(
        activity.contains("Your account is going to be deleted") && activity.contains("Your account stays")
    );
}
