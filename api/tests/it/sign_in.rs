//! Signing in as a browser does it: pages, forms, cookies.

use chrono::TimeDelta;
use domain::identity::link;
use reqwest::{Method, Response, StatusCode};

use super::browser::{FRONT_END, Server, header, json};

#[actix_web::test]
async fn a_browser_signs_in_calls_and_signs_out() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    let form = browser
        .get("/sign-in?return_to=http://localhost:3000/inbox%3Fa=b")
        .await;
    assert_eq!(form.status(), StatusCode::OK);
    let policy = header(&form, "content-security-policy").to_owned();
    assert!(
        policy.starts_with(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self';"
        ),
        "{policy}"
    );
    assert_eq!(header(&form, "referrer-policy"), "same-origin");
    let html = form.text().await.unwrap();
    assert!(html.contains(r#"value="http://localhost:3000/inbox?a=b""#));
    assert_eq!(
        html.matches("<script").count(),
        1,
        "none but the one for passkeys"
    );
    assert!(html.contains(r#"<script src="/assets/passkey.js" defer></script>"#));

    let wish = [
        ("email", "ada@example.org"),
        ("return_to", "http://localhost:3000/inbox?a=b"),
    ];
    let sent = browser.post("/sign-in", &wish).await;
    assert_eq!(
        (sent.status(), header(&sent, "location")),
        (StatusCode::SEE_OTHER, "/sign-in/sent")
    );
    assert_eq!(browser.get("/sign-in/sent").await.status(), StatusCode::OK);

    let link = server.mailed("ada@example.org").await;
    let page = browser.get(&link).await;
    assert_eq!(header(&page, "referrer-policy"), "no-referrer");
    assert_eq!(header(&page, "cache-control"), "no-store");
    // Browsers hold the answer's redirect to form-action as well.
    assert!(header(&page, "content-security-policy").contains("form-action 'self' http://localhost:3000;"));
    let signed_in = browser.press(&link).await;
    assert_eq!(header(&signed_in, "location"), "http://localhost:3000/inbox?a=b");
    let cookies: Vec<_> = signed_in.headers().get_all("set-cookie").iter().collect();
    let session = cookies
        .iter()
        .map(|cookie| cookie.to_str().unwrap())
        .find(|c| c.starts_with("__Host-session="));
    for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=25"] {
        assert!(session.unwrap().contains(attribute), "{attribute}");
    }
    assert!(!session.unwrap().contains("Domain"));
    assert_eq!(browser.cookie("__Host-browser"), None);

    let before = browser.cookie("__Host-session").unwrap();
    let answer = browser.call("/session/token").await;
    assert_eq!(header(&answer, "cache-control"), "no-store");
    assert_eq!(header(&answer, "access-control-allow-origin"), FRONT_END);
    assert_eq!(header(&answer, "access-control-allow-credentials"), "true");
    let answer = json(answer).await;
    assert_eq!(
        (&answer["expiresIn"], &answer["tokenType"]),
        (&600.into(), &"Bearer".into())
    );
    assert_ne!(browser.cookie("__Host-session").unwrap(), before);
    let token = answer["accessToken"].as_str().unwrap();
    assert_eq!(
        browser.me(token).await,
        (StatusCode::OK, "ada@example.org".to_owned())
    );

    assert_eq!(
        browser.call("/session/end").await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(browser.cookie("__Host-session"), None);
    assert_eq!(
        browser.me(token).await,
        (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED".to_owned())
    );
    assert_eq!(
        browser.call("/session/token").await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[actix_web::test]
async fn looking_at_a_link_spends_nothing() {
    let server = Server::start(&[]).await;
    let (browser, scanner) = (server.browser(), server.browser());
    browser.ask("ada@example.org").await;
    let link = server.mailed("ada@example.org").await;
    for method in [Method::GET, Method::HEAD, Method::GET] {
        for looker in [&scanner, &browser] {
            let page = looker.request(method.clone(), &link).send().await.unwrap();
            assert_eq!(page.status(), StatusCode::OK);
            assert_eq!(page.headers().get("set-cookie"), None);
        }
    }
    assert_eq!(
        scanner
            .request(Method::OPTIONS, &link)
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
    // One that presses buttons too is another browser, and still spends nothing.
    let elsewhere = scanner.press(&link).await;
    assert_eq!(elsewhere.status(), StatusCode::FORBIDDEN);
    assert!(
        elsewhere
            .text()
            .await
            .unwrap()
            .contains("browser in which you asked")
    );
    assert_eq!(browser.press(&link).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(browser.press(&link).await.status(), StatusCode::GONE);
    assert_eq!(
        browser.get("/sign-in/link?id=x&token=y").await.status(),
        StatusCode::GONE
    );
    assert_eq!(browser.get("/sign-in/link").await.status(), StatusCode::GONE);
}

#[actix_web::test]
async fn an_old_link_is_gone() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.ask("ada@example.org").await;
    let first = server.mailed("ada@example.org").await;
    browser.ask("ada@example.org").await;
    let second = server.mailed("ada@example.org").await;
    assert_eq!(browser.press(&first).await.status(), StatusCode::GONE);
    server.clock.advance(TimeDelta::minutes(11));
    assert_eq!(browser.press(&second).await.status(), StatusCode::GONE);
    assert_eq!(browser.cookie("__Host-session"), None);
}

/// All that tells answers apart, without what is random in each.
async fn told(answer: Response) -> (StatusCode, Vec<String>, Vec<u8>) {
    let mut headers: Vec<String> = answer
        .headers()
        .iter()
        .filter(|(name, _)| *name != "date" && *name != "x-request-id")
        .map(|(name, value)| match name.as_str() {
            "set-cookie" => {
                let value = value.to_str().unwrap();
                format!("{name}: {} {:?}", value.len(), value.split_once(';').unwrap().1)
            }
            _ => format!("{name}: {value:?}"),
        })
        .collect();
    headers.sort();
    (answer.status(), headers, answer.bytes().await.unwrap().to_vec())
}

#[actix_web::test]
async fn nothing_tells_whether_an_account_exists() {
    let server = Server::start(&[]).await;
    server.browser().sign_in(&server, "known@example.org").await;
    let known = told(server.browser().ask("known@example.org").await).await;
    let unknown = told(server.browser().ask("unknown@example.org").await).await;
    assert_eq!(known, unknown);
    // Nor how often somebody asked.
    let browser = server.browser();
    for _ in 0..6 {
        browser.ask("unknown@example.org").await;
    }
    assert_eq!(
        told(server.browser().ask("unknown@example.org").await).await,
        unknown
    );
    let impossible = browser.ask("<b>nobody").await;
    assert_eq!(impossible.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let html = impossible.text().await.unwrap();
    assert!(html.contains("This is not an e-mail address.") && !html.contains("<b>"));
}

#[actix_web::test]
async fn a_planted_cookie_is_dead_after_signing_in() {
    let server = Server::start(&[]).await;
    let (attacker, victim) = (server.browser(), server.browser());
    attacker.sign_in(&server, "mallory@example.org").await;
    let planted = attacker.cookie("__Host-session").unwrap();
    victim.plant("__Host-session", &planted);
    victim.sign_in(&server, "ada@example.org").await;
    assert_ne!(victim.cookie("__Host-session").unwrap(), planted);
    let token = victim.access_token().await;
    assert_eq!(victim.me(&token).await.1, "ada@example.org");
    assert_eq!(
        attacker.call("/session/token").await.status(),
        StatusCode::UNAUTHORIZED
    );
    // Nor does a link of the attacker's sign the victim in as the attacker.
    attacker.ask("mallory@example.org").await;
    let link = server.mailed("mallory@example.org").await;
    assert_eq!(victim.press(&link).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(victim.me(&victim.access_token().await).await.1, "ada@example.org");
}

#[actix_web::test]
async fn other_sites_can_post_nothing() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.sign_in(&server, "ada@example.org").await;
    browser.ask("ada@example.org").await;
    let link = browser.url.join(&server.mailed("ada@example.org").await).unwrap();
    let link: Vec<(String, String)> = link.query_pairs().into_owned().collect();
    let link: Vec<_> = link
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let asked = [("email", "bob@example.org")];
    for (site, origin) in [
        (Some("cross-site"), Some("https://evil.example")),
        (Some("same-site"), Some("http://other.localhost:8080")),
        (Some("cross-site"), Some("null")),
        (None, Some("https://evil.example")),
        (None, None),
    ] {
        for (path, fields) in [
            ("/sign-in", &asked[..]),
            ("/sign-in/link", &link[..]),
            ("/session/token", &[]),
            ("/session/end", &[]),
        ] {
            let mut post = browser.form(path, fields);
            if let Some(site) = site {
                post = post.header("Sec-Fetch-Site", site);
            }
            if let Some(origin) = origin {
                post = post.header("Origin", origin);
            }
            let answer = post.send().await.unwrap();
            assert_eq!(
                answer.status(),
                StatusCode::FORBIDDEN,
                "{path} {site:?} {origin:?}"
            );
        }
    }
    assert_eq!(
        link::newest_for(&server.db, "bob@example.org").await.unwrap(),
        None
    );
    browser.access_token().await;
    assert_eq!(
        browser.get("/session/token").await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[actix_web::test]
async fn two_tabs_get_the_same_and_a_thief_ends_it_for_both() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.sign_in(&server, "ada@example.org").await;
    let first = browser.cookie("__Host-session").unwrap();
    let tab = server.browser();
    tab.plant("__Host-session", &first);
    browser.access_token().await;
    tab.access_token().await;
    assert_eq!(browser.cookie("__Host-session"), tab.cookie("__Host-session"));
    let token = browser.access_token().await;
    assert_eq!(browser.me(&token).await.0, StatusCode::OK);
    let thief = server.browser();
    thief.plant("__Host-session", &first);
    assert_eq!(
        thief.call("/session/token").await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(browser.me(&token).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        browser.call("/session/token").await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[actix_web::test]
async fn a_tampered_cookie_is_nobody() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.sign_in(&server, "ada@example.org").await;
    let sound = browser.cookie("__Host-session").unwrap();
    let middle = sound.len() / 2;
    let flipped = if sound.as_bytes()[middle] == b'A' {
        'B'
    } else {
        'A'
    };
    let changed = format!("{}{flipped}{}", &sound[..middle], &sound[middle + 1..]);
    for value in [changed.as_str(), "x", "test.", &sound[5..], &"a".repeat(3000)] {
        let other = server.browser();
        other.plant("__Host-session", value);
        assert_eq!(
            other.call("/session/token").await.status(),
            StatusCode::UNAUTHORIZED,
            "{value}"
        );
    }
    browser.access_token().await;
}

#[actix_web::test]
async fn a_token_is_taken_from_its_header_alone() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.sign_in(&server, "ada@example.org").await;
    let token = browser.access_token().await;
    assert_eq!(browser.me(&token).await.0, StatusCode::OK);
    assert_eq!(browser.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    let query = format!("/me?access_token={token}");
    assert_eq!(browser.get(&query).await.status(), StatusCode::UNAUTHORIZED);
    browser.plant("Authorization", &token);
    assert_eq!(browser.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    let refresh = browser.cookie("__Host-session").unwrap();
    assert_eq!(browser.me(&refresh).await.0, StatusCode::UNAUTHORIZED);
    let keys = json(browser.get("/.well-known/jwks.json").await).await;
    let key = keys["keys"][0].as_object().unwrap();
    assert_eq!(
        (&key["kty"], &key["crv"], key.contains_key("d")),
        (&"OKP".into(), &"Ed25519".into(), false)
    );
}

#[actix_web::test]
async fn nobody_is_sent_elsewhere() {
    let server = Server::start(&[]).await;
    for to in [
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        "%2f%2fevil.example",
        "/%2fevil.example",
        "/x\r\nSet-Cookie: a=b",
        "https://evil.example",
        "http://localhost:3000@evil.example",
        "javascript:alert(1)",
    ] {
        let browser = server.browser();
        let address = format!("{}@example.org", uuid::Uuid::now_v7());
        browser
            .post("/sign-in", &[("email", &address), ("return_to", to)])
            .await;
        let signed_in = browser.press(&server.mailed(&address).await).await;
        assert_eq!(header(&signed_in, "location"), "/sign-in/done", "{to:?}");
        assert!(
            !signed_in
                .headers()
                .get_all("set-cookie")
                .iter()
                .any(|cookie| cookie.as_bytes().starts_with(b"a="))
        );
    }
}

#[actix_web::test]
async fn without_redis_people_still_sign_in_and_are_still_limited() {
    let server = Server::start(&[("REDIS_URL", "redis://127.0.0.1:1")]).await;
    let browser = server.browser();
    browser.sign_in(&server, "ada@example.org").await;
    browser.access_token().await;
    let mut refused = 0;
    for _ in 0..70 {
        let link = "/sign-in/link?id=00000000-0000-7000-8000-000000000000&token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let answer = browser.press(link).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(header(&answer, "retry-after").parse::<u64>().unwrap() > 0);
            refused += 1;
        } else {
            assert_eq!(answer.status(), StatusCode::GONE);
        }
    }
    assert!(refused > 0);
}

#[actix_web::test]
async fn malformed_forms_are_refused_and_pages_look_alike_to_everyone() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    assert_eq!(
        browser.post("/sign-in", &[]).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        browser.post("/sign-in/link", &[("id", "x")]).await.status(),
        StatusCode::BAD_REQUEST
    );
    let huge = "a".repeat(20_000);
    assert_eq!(browser.ask(&huge).await.status(), StatusCode::BAD_REQUEST);
    for path in [
        "/sign-in",
        "/sign-in/sent",
        "/sign-in/done",
        "/sign-in/out",
        "/assets/pages.css",
    ] {
        let page = browser.get(path).await;
        assert_eq!(
            (page.status(), header(&page, "x-content-type-options")),
            (StatusCode::OK, "nosniff")
        );
        assert_eq!(page.headers().get("set-cookie"), None);
    }
    let out = browser
        .form("/session/end", &[])
        .header("Origin", "null")
        .header("Sec-Fetch-Site", "same-origin")
        .header("Accept", "text/html,application/xhtml+xml")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (out.status(), header(&out, "location")),
        (StatusCode::SEE_OTHER, "/sign-in/out")
    );
}
