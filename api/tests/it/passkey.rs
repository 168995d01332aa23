//! Passkeys and the second factor as a browser meets them: pages, calls of their script, cookies.

use domain::testing::Authenticator;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, FRONT_END, OWN, Server, header, json as body};

const ADA: &str = "ada@example.org";
const PAGE: &str = "/settings/passkeys";

/// A call as the script of our pages makes it.
fn call(browser: &Browser, path: &str, body: &Value) -> RequestBuilder {
    let call = browser.request(Method::POST, path).header("Origin", OWN);
    call.header("Sec-Fetch-Site", "same-origin").json(body)
}

async fn called(browser: &Browser, path: &str, body: &Value) -> Value {
    let answer = call(browser, path, body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    assert_eq!(header(&answer, "cache-control"), "no-store");
    self::body(answer).await
}

/// The code of an answer that says no.
async fn refused(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let answer = body(answer).await;
    let error = &answer["errors"][0];
    assert!(error["message"].is_string(), "{answer}");
    (status, error["extensions"]["code"].as_str().unwrap().to_owned())
}

async fn add(browser: &Browser, device: &mut Authenticator, name: &str) {
    let asked = called(browser, "/settings/passkeys/begin", &json!({})).await;
    let made = device.create(&asked["publicKey"]);
    let answer = json!({ "ceremony": asked["ceremony"], "credential": made, "name": name });
    let added = called(browser, "/settings/passkeys/finish", &answer).await;
    assert_eq!(added["redirectTo"], "/settings/passkeys?done=added");
}

/// Presents a passkey to `finish`; the whole answer.
async fn present(browser: &Browser, device: &mut Authenticator, return_to: &str, finish: &str) -> Response {
    let wish = json!({ "returnTo": return_to });
    let asked = called(browser, "/sign-in/passkey/begin", &wish).await;
    let signed = device.get(&asked["publicKey"]);
    let answer = json!({ "ceremony": asked["ceremony"], "credential": signed });
    call(browser, finish, &answer).send().await.unwrap()
}

async fn html(browser: &Browser, path: &str) -> String {
    let page = browser.get(path).await;
    assert_eq!(page.status(), StatusCode::OK, "{path}");
    page.text().await.unwrap()
}

/// Ada with a passkey, in a session that began with it.
async fn ada(server: &Server) -> (Browser, Authenticator) {
    let browser = server.browser();
    browser.sign_in(server, ADA).await;
    let mut device = Authenticator::at(OWN);
    add(&browser, &mut device, "My laptop").await;
    let signed_in = present(&browser, &mut device, "", "/sign-in/passkey/finish").await;
    assert_eq!(signed_in.status(), StatusCode::OK);
    (browser, device)
}

/// Requires a passkey; the codes on the page that shows them.
async fn require(browser: &Browser) -> Vec<String> {
    let shown = browser.post("/settings/passkeys/require", &[]).await;
    assert_eq!(shown.status(), StatusCode::OK);
    assert_eq!(header(&shown, "cache-control"), "no-store");
    codes(&shown.text().await.unwrap())
}

fn codes(html: &str) -> Vec<String> {
    let list = html.split("<ul class=\"secret codes\"").nth(1).unwrap();
    let list = list.split("</ul>").next().unwrap();
    let items = list.split("<li>").skip(1);
    items
        .map(|item| item.split("</li>").next().unwrap().to_owned())
        .collect()
}

fn id(html: &str) -> String {
    let rest = html.split(r#"name="id" value=""#).nth(1).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[actix_web::test]
async fn a_passkey_is_added_and_signs_in() {
    let server = Server::start(&[]).await;
    let (browser, mut device) = ada(&server).await;
    let page = html(&browser, PAGE).await;
    assert!(page.contains("My laptop") && page.contains("last used"), "{page}");
    assert!(
        html(&browser, &format!("{PAGE}?done=added"))
            .await
            .contains("end your other sessions")
    );

    // In a browser that knows nothing, and back to where it came from.
    let other = server.browser();
    let page = html(&other, "/sign-in").await;
    assert!(page.contains("Sign in with a passkey"));
    let to = "http://localhost:3000/inbox";
    let planted = "planted";
    other.plant("__Host-session", planted);
    let signed_in = present(&other, &mut device, to, "/sign-in/passkey/finish").await;
    assert_eq!(header(&signed_in, "cache-control"), "no-store");
    assert_eq!(body(signed_in).await["redirectTo"], to);
    assert_ne!(other.cookie("__Host-session").unwrap(), planted);
    assert_eq!(other.cookie("__Host-browser"), None);
    let token = other.access_token().await;
    assert_eq!(other.me(&token).await, (StatusCode::OK, ADA.to_owned()));
    // But nowhere else.
    let signed_in = present(
        &other,
        &mut device,
        "https://evil.example/",
        "/sign-in/passkey/finish",
    )
    .await;
    assert_eq!(body(signed_in).await["redirectTo"], "/sign-in/done");
}

#[actix_web::test]
async fn an_unnamed_passkey_is_called_after_its_browser() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.sign_in(&server, ADA).await;
    let mut device = Authenticator::at(OWN);
    let asked = called(&browser, "/settings/passkeys/begin", &json!({})).await;
    let made = device.create(&asked["publicKey"]);
    let answer = json!({ "ceremony": asked["ceremony"], "credential": made });
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let finish = call(&browser, "/settings/passkeys/finish", &answer).header("User-Agent", agent);
    assert_eq!(finish.send().await.unwrap().status(), StatusCode::OK);
    assert!(html(&browser, PAGE).await.contains("Firefox on Linux"));
}

#[actix_web::test]
async fn only_our_own_pages_call_and_only_with_json() {
    let server = Server::start(&[]).await;
    let (browser, _) = ada(&server).await;
    let calls = [
        "/sign-in/passkey/begin",
        "/sign-in/passkey/finish",
        "/sign-in/second-factor/passkey",
        "/settings/passkeys/begin",
        "/settings/passkeys/finish",
    ];
    let answer = json!({ "ceremony": "", "credential": {} });
    for path in calls {
        for (site, origin) in [
            ("cross-site", "https://evil.example"),
            ("same-site", FRONT_END),
            ("cross-site", "null"),
            ("same-origin", "https://evil.example"),
        ] {
            let foreign = browser.request(Method::POST, path).json(&answer);
            let foreign = foreign.header("Sec-Fetch-Site", site).header("Origin", origin);
            let refused = refused(foreign.send().await.unwrap()).await;
            assert_eq!(refused, (403, "FORBIDDEN".to_owned()), "{path} {site} {origin}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded"] {
            let form = browser.request(Method::POST, path).header("Origin", OWN);
            let form = form.header("Content-Type", kind).body(answer.to_string());
            assert_eq!(form.send().await.unwrap().status().as_u16(), 415, "{path} {kind}");
        }
        let long = json!({ "ceremony": "", "credential": "a".repeat(70_000) });
        let long = call(&browser, path, &long).send().await.unwrap();
        assert_eq!(long.status().as_u16(), 413, "{path}");
        assert_eq!(browser.get(path).await.status().as_u16(), 405, "{path}");
    }
    for path in ["rename", "remove", "require", "release", "recovery-codes"] {
        let form = browser.form(&format!("{PAGE}/{path}"), &[("id", "x"), ("name", "x")]);
        let form = form.header("Origin", "https://evil.example");
        let answer = form.send().await.unwrap().status().as_u16();
        assert!([400, 403].contains(&answer), "{path}: {answer}");
    }
    let form = browser.form("/sign-in/second-factor", &[("code", "x")]);
    let form = form
        .header("Origin", "https://evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(form.status(), StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn a_challenge_is_for_the_browser_that_asked() {
    let server = Server::start(&[]).await;
    let (browser, mut device) = ada(&server).await;
    let (asking, other) = (server.browser(), server.browser());
    let asked = called(&asking, "/sign-in/passkey/begin", &json!({})).await;
    let cookie = asking.cookie("__Host-browser").unwrap();
    let signed = device.get(&asked["publicKey"]);
    let answer = json!({ "ceremony": asked["ceremony"], "credential": signed });
    for _ in 0..2 {
        let finish = call(&other, "/sign-in/passkey/finish", &answer)
            .send()
            .await
            .unwrap();
        assert_eq!(refused(finish).await, (422, "LINK_INVALID".to_owned()));
        assert_eq!(other.cookie("__Host-session"), None);
        // Another browser's own secret does not help either.
        called(&other, "/sign-in/passkey/begin", &json!({})).await;
        assert_ne!(other.cookie("__Host-browser").unwrap(), cookie);
    }
    called(&asking, "/sign-in/passkey/finish", &answer).await;
    let again = call(&asking, "/sign-in/passkey/finish", &answer)
        .send()
        .await
        .unwrap();
    assert_eq!(refused(again).await, (422, "LINK_INVALID".to_owned()));
    drop(browser);
}

#[actix_web::test]
async fn adding_wants_a_recent_sign_in() {
    let server = Server::start(&[]).await;
    let stranger = server.browser();
    let begin = call(&stranger, "/settings/passkeys/begin", &json!({}));
    let refusal = refused(begin.send().await.unwrap()).await;
    assert_eq!(refusal, (401, "UNAUTHENTICATED".to_owned()));
    let page = stranger.get(PAGE).await;
    assert_eq!(header(&page, "location"), format!("/sign-in?return_to={PAGE}"));

    let (browser, mut device) = ada(&server).await;
    let id = id(&html(&browser, PAGE).await);
    server.clock.advance(chrono::TimeDelta::minutes(10));
    let begin = call(&browser, "/settings/passkeys/begin", &json!({}));
    let refusal = refused(begin.send().await.unwrap()).await;
    assert_eq!(refusal, (403, "STEP_UP_REQUIRED".to_owned()));
    for form in ["rename", "remove", "require", "release", "recovery-codes"] {
        let path = format!("{PAGE}/{form}");
        let answer = browser.post(&path, &[("id", &id), ("name", "late")]).await;
        let to = format!("/sign-in?again=true&return_to={PAGE}");
        assert_eq!(header(&answer, "location"), to, "{form}");
    }
    // Signing in again is what it wants.
    let again = present(&browser, &mut device, PAGE, "/sign-in/passkey/finish").await;
    assert_eq!(body(again).await["redirectTo"], format!("{OWN}{PAGE}"));
    add(&browser, &mut device, "Another").await;
}

#[actix_web::test]
async fn a_passkey_is_renamed_and_removed() {
    let server = Server::start(&[]).await;
    let (browser, mut device) = ada(&server).await;
    let id = id(&html(&browser, PAGE).await);
    let form = format!("{PAGE}/rename");
    let renamed = browser
        .post(&form, &[("id", &id), ("name", "<b>phone</b>")])
        .await;
    assert_eq!(header(&renamed, "location"), PAGE);
    let page = html(&browser, PAGE).await;
    assert!(
        page.contains("&#60;b&#62;phone") && !page.contains("<b>phone"),
        "{page}"
    );
    let wrong = browser.post(&form, &[("id", &id), ("name", "a\nb")]).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong
            .text()
            .await
            .unwrap()
            .contains("A name is one line of text.")
    );

    let removed = browser.post(&format!("{PAGE}/remove"), &[("id", &id)]).await;
    assert_eq!(header(&removed, "location"), format!("{PAGE}?done=removed"));
    assert!(html(&browser, PAGE).await.contains("You have none yet."));
    let gone = present(&server.browser(), &mut device, "", "/sign-in/passkey/finish").await;
    assert_eq!(refused(gone).await, (422, "PASSKEY_REFUSED".to_owned()));
}

#[actix_web::test]
async fn who_requires_a_passkey_has_no_session_before_it() {
    let server = Server::start(&[]).await;
    let weak = server.browser();
    weak.sign_in(&server, ADA).await;
    let (browser, mut device) = ada(&server).await;
    let weak_token = weak.access_token().await;
    assert_eq!(require(&browser).await.len(), 10);
    // What began by a link alone is over.
    assert_eq!(weak.me(&weak_token).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        weak.call("/session/token").await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert!(html(&browser, PAGE).await.contains("10 codes are left."));

    let other = server.browser();
    let to = "http://localhost:3000/inbox";
    other.post("/sign-in", &[("email", ADA), ("return_to", to)]).await;
    let waiting = other.press(&server.mailed(ADA).await).await;
    assert_eq!(header(&waiting, "location"), "/sign-in/second-factor");
    assert_eq!(other.cookie("__Host-session"), None);
    assert!(other.cookie("__Host-second-factor").is_some());
    assert_eq!(
        other.call("/session/token").await.status(),
        StatusCode::UNAUTHORIZED
    );
    for path in ["/settings", PAGE] {
        assert_eq!(other.get(path).await.status(), StatusCode::SEE_OTHER, "{path}");
    }
    let page = other.get("/sign-in/second-factor").await;
    let policy = header(&page, "content-security-policy").to_owned();
    assert!(
        policy.contains("script-src 'self'; connect-src 'self'; form-action 'self' http://localhost:3000;"),
        "{policy}"
    );
    assert!(page.text().await.unwrap().contains("Use a passkey"));

    let done = present(&other, &mut device, "", "/sign-in/second-factor/passkey").await;
    assert_eq!(body(done).await["redirectTo"], to);
    assert_eq!(other.cookie("__Host-second-factor"), None);
    other.access_token().await;
}

#[actix_web::test]
async fn a_recovery_code_works_without_a_script() {
    let server = Server::start(&[]).await;
    let (browser, _) = ada(&server).await;
    let codes = require(&browser).await;
    server.clock.advance(chrono::TimeDelta::minutes(16));
    let other = server.browser();
    other
        .post("/sign-in", &[("email", ADA), ("return_to", FRONT_END)])
        .await;
    other.press(&server.mailed(ADA).await).await;
    let path = "/sign-in/second-factor";
    let wrong = other.post(path, &[("code", "0000-0000")]).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = wrong.text().await.unwrap();
    assert!(
        page.contains("This code is wrong, or was used already."),
        "{page}"
    );
    assert!(page.contains(r#"aria-invalid="true""#) && !page.contains("0000"));

    let done = other.post(path, &[("code", &codes[0].to_lowercase())]).await;
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
    assert_eq!(header(&done, "location"), format!("{FRONT_END}/"));
    assert!(html(&other, PAGE).await.contains("9 codes are left."));
    let again = other.post(path, &[("code", &codes[1])]).await;
    assert_eq!(again.status(), StatusCode::GONE);
    // New codes are shown once, and nothing shows the ones before.
    let renewed = other.post(&format!("{PAGE}/recovery-codes"), &[]).await;
    let renewed = self::codes(&renewed.text().await.unwrap());
    assert!(renewed.len() == 10 && renewed.iter().all(|code| !codes.contains(code)));
    assert!(renewed.iter().all(|code| code.len() == 29));
    let page = html(&other, PAGE).await;
    assert!(page.contains("10 codes are left.") && !renewed.iter().any(|code| page.contains(code)));
}

#[actix_web::test]
async fn who_came_by_a_link_alone_is_told_to_use_the_passkey() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.sign_in(&server, ADA).await;
    let path = format!("{PAGE}/require");
    let none = browser.post(&path, &[]).await;
    assert_eq!(none.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(none.text().await.unwrap().contains("Add a passkey first."));
    let mut device = Authenticator::at(OWN);
    add(&browser, &mut device, "").await;
    let weak = browser.post(&path, &[]).await;
    assert_eq!(weak.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = weak.text().await.unwrap();
    assert!(
        page.contains("Sign in with your passkey first.")
            && page.contains("/sign-in?again=true&amp;return_to=/settings/passkeys"),
        "{page}"
    );
    // Required, the last one stays; released, all is as before.
    present(&browser, &mut device, "", "/sign-in/passkey/finish").await;
    require(&browser).await;
    let id = id(&html(&browser, PAGE).await);
    let last = browser.post(&format!("{PAGE}/remove"), &[("id", &id)]).await;
    assert_eq!(last.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let released = browser.post(&format!("{PAGE}/release"), &[]).await;
    assert_eq!(header(&released, "location"), format!("{PAGE}?done=released"));
    let other = server.browser();
    other.sign_in(&server, ADA).await;
    other.access_token().await;
}

#[actix_web::test]
async fn there_are_no_passkeys_where_there_is_no_domain() {
    let server = Server::start(&[("PUBLIC_URL", "http://127.0.0.1:8080")]).await;
    let page = html(&server.browser(), "/sign-in").await;
    assert!(!page.contains("passkey") && !page.contains("<script"));
}

#[actix_web::test]
async fn the_script_is_ours_alone_and_plain() {
    let server = Server::start(&[]).await;
    let script = server.browser().get("/assets/passkey.js").await;
    assert_eq!(header(&script, "content-type"), "text/javascript; charset=utf-8");
    assert_eq!(header(&script, "x-content-type-options"), "nosniff");
    let text = script.text().await.unwrap();
    for part in ["http:", "https:", "eval", "innerHTML", "import"] {
        assert!(!text.contains(part), "{part}");
    }
}
