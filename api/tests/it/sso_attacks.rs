//! Single sign-on under attack: callbacks that are replayed, planted or mixed up, and ID tokens that lie.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::browser::{OWN, header};
use crate::provider::{Provider, Signed};
use crate::sso::{app_with, arrived, begin, browser, walk};
use crate::support::TestApp;

fn ada() -> Value {
    json!({ "sub": "7", "email": "ada@example.test", "email_verified": true })
}

#[actix_web::test]
async fn a_callback_counts_once_and_in_the_browser_that_began() {
    let provider = Provider::start();
    provider.person(ada());
    let app = app_with(&[("acme", &provider)], &[]).await;
    let (victim, attacker) = (browser(&app), browser(&app));
    let back = provider.consent(&begin(&attacker, "acme").await);
    // Login CSRF: the attacker's answer, opened by the victim, who has or has not begun one too.
    assert_eq!(victim.get(&back).await.status(), StatusCode::GONE);
    begin(&victim, "acme").await;
    assert_eq!(victim.get(&back).await.status(), StatusCode::GONE);
    assert_eq!(victim.cookie("__Host-session"), None);
    // It was not spent by that.
    assert!(arrived(&attacker.get(&back).await));
    for again in [&attacker, &victim] {
        assert_eq!(again.get(&back).await.status(), StatusCode::GONE);
    }
    assert_eq!(app.count("SELECT count(*) FROM session").await, 1);
    // Nor does the cookie alone count, nor a state that is too old, twice there, or none.
    let there = begin(&victim, "acme").await;
    let late = provider.consent(&there);
    app.db.clock().advance(chrono::TimeDelta::minutes(11));
    let twice = format!("{late}&state=x");
    for path in [
        late.as_str(),
        &twice,
        "/sign-in/with/acme/callback?code=a",
        "/sign-in/with/acme/callback?state=&code=a",
    ] {
        let answer = victim.get(path).await;
        assert_eq!(answer.status(), StatusCode::GONE, "{path}");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
    }
}

#[actix_web::test]
async fn what_was_begun_at_one_provider_is_not_finished_at_another() {
    let (a, b) = (Provider::start(), Provider::start());
    a.person(ada());
    b.person(ada());
    let app = app_with(&[("a", &a), ("b", &b)], &[]).await;
    let browser = browser(&app);
    let back = a.consent(&begin(&browser, "a").await);
    let elsewhere = back.replace("/sign-in/with/a/", "/sign-in/with/b/");
    assert_eq!(browser.get(&elsewhere).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(b.fetches("/token"), 0, "b sees nothing of a's code");
    assert_eq!(browser.get(&back).await.status(), StatusCode::GONE);

    // Whose answer it is, where it is said (RFC 9207).
    for (iss, expected) in [
        (&b.url, false),
        (&format!("{}/", a.url), false),
        (&String::new(), false),
        (&a.url, true),
    ] {
        let back = a.consent(&begin(&browser, "a").await);
        let answer = browser.get(&format!("{back}&iss={iss}")).await;
        assert_eq!(arrived(&answer), expected, "{iss}");
    }
}

#[actix_web::test]
async fn a_provider_that_says_it_names_itself_has_to() {
    let provider = Provider::start();
    provider.person(ada());
    provider.state().configuration = json!({ "authorization_response_iss_parameter_supported": true });
    let app = app_with(&[("acme", &provider)], &[]).await;
    let browser = browser(&app);
    assert_eq!(
        walk(&browser, &provider, "acme").await.status(),
        StatusCode::FORBIDDEN
    );
    let back = provider.consent(&begin(&browser, "acme").await);
    assert!(arrived(
        &browser.get(&format!("{back}&iss={}", provider.url)).await
    ));
}

#[actix_web::test]
async fn a_code_is_worth_nothing_without_what_only_we_know() {
    let provider = Provider::start();
    provider.person(ada());
    let app = app_with(&[("acme", &provider)], &[]).await;
    let (attacker, victim) = (browser(&app), browser(&app));
    // A code that was made for the victim is put into the attacker's own callback.
    let stolen = provider.consent(&begin(&victim, "acme").await);
    let code = |path: &str| {
        path.split("code=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap()
            .to_owned()
    };
    let own = provider.consent(&begin(&attacker, "acme").await);
    let injected = own.replace(&code(&own), &code(&stolen));
    assert_eq!(attacker.get(&injected).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 0);
}

struct Lie(&'static str, Signed, Value, Value);

fn lies(url: &str) -> Vec<Lie> {
    use Signed::{ByAnother, Not, Well, WithThePublicKey};
    let now = domain::clock::Clock::system().now().timestamp();
    let evil = format!("{url}/evil");
    let key = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
    let none = json!({});
    vec![
        Lie("no signature", Not, json!({ "alg": "none" }), none.clone()),
        Lie("none, shouted", Not, json!({ "alg": "NONE" }), none.clone()),
        Lie("an empty signature", Not, none.clone(), none.clone()),
        Lie(
            "the public key as a secret",
            WithThePublicKey,
            json!({ "alg": "HS256" }),
            none.clone(),
        ),
        Lie(
            "the same without kid",
            WithThePublicKey,
            json!({ "alg": "HS256", "kid": null }),
            none.clone(),
        ),
        Lie("another key", ByAnother, none.clone(), none.clone()),
        Lie(
            "another key without kid",
            ByAnother,
            json!({ "kid": null }),
            none.clone(),
        ),
        Lie("another algorithm", Well, json!({ "alg": "RS512" }), none.clone()),
        Lie(
            "a path as kid",
            Well,
            json!({ "kid": "../../etc/passwd" }),
            none.clone(),
        ),
        Lie("SQL as kid", Well, json!({ "kid": "' OR 1=1 --" }), none.clone()),
        Lie("its own key", ByAnother, json!({ "jwk": key }), none.clone()),
        Lie(
            "its own key, well signed",
            Well,
            json!({ "jwk": key }),
            none.clone(),
        ),
        Lie("a URL of keys", Well, json!({ "jku": evil }), none.clone()),
        Lie(
            "a URL of a certificate",
            Well,
            json!({ "x5u": evil }),
            none.clone(),
        ),
        Lie(
            "something critical",
            Well,
            json!({ "crit": ["b64"], "b64": false }),
            none.clone(),
        ),
        Lie("an access token", Well, json!({ "typ": "at+jwt" }), none.clone()),
        Lie(
            "another audience",
            Well,
            none.clone(),
            json!({ "aud": "somebody" }),
        ),
        Lie("no audience", Well, none.clone(), json!({ "aud": null })),
        Lie(
            "one more audience",
            Well,
            none.clone(),
            json!({ "aud": ["personal-crm", "somebody"] }),
        ),
        Lie("another party", Well, none.clone(), json!({ "azp": "somebody" })),
        Lie(
            "another issuer",
            Well,
            none.clone(),
            json!({ "iss": "https://evil.example" }),
        ),
        Lie(
            "the issuer with a slash",
            Well,
            none.clone(),
            json!({ "iss": format!("{url}/") }),
        ),
        Lie("over", Well, none.clone(), json!({ "exp": now - 1 })),
        Lie("not yet", Well, none.clone(), json!({ "nbf": now + 300 })),
        Lie(
            "made tomorrow",
            Well,
            none.clone(),
            json!({ "iat": now + 86_400 }),
        ),
        Lie(
            "made yesterday",
            Well,
            none.clone(),
            json!({ "iat": now - 86_400 }),
        ),
        Lie("another nonce", Well, none.clone(), json!({ "nonce": "another" })),
        Lie("no nonce", Well, none.clone(), json!({ "nonce": null })),
        Lie(
            "another access token",
            Well,
            none.clone(),
            json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }),
        ),
        Lie("nobody", Well, none.clone(), json!({ "sub": null })),
        Lie("an empty subject", Well, none.clone(), json!({ "sub": "" })),
        Lie(
            "a long subject",
            Well,
            none.clone(),
            json!({ "sub": "a".repeat(256) }),
        ),
        Lie(
            "a subject of lines",
            Well,
            none.clone(),
            json!({ "sub": "a\r\nb" }),
        ),
        Lie("a number for a subject", Well, none, json!({ "sub": 7 })),
    ]
}

/// A client of another address each time, so that the limits do not count.
async fn walk_from(app: &TestApp, provider: &Provider, name: &str, n: usize) -> reqwest::Response {
    let browser = browser(app);
    let from = format!("198.51.100.{}", n % 250);
    let form = browser
        .form(&format!("/sign-in/with/{name}"), &[])
        .header("Origin", OWN);
    let sent = form.header("X-Forwarded-For", &from).send().await.unwrap();
    let back = provider.consent(header(&sent, "location"));
    let callback = browser.request(reqwest::Method::GET, &back);
    callback.header("X-Forwarded-For", &from).send().await.unwrap()
}

#[actix_web::test]
async fn an_id_token_that_lies_opens_nothing() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    for (n, Lie(name, signed, header, claims)) in lies(&provider.url).into_iter().enumerate() {
        {
            let mut state = provider.state();
            let mut person = ada();
            person
                .as_object_mut()
                .unwrap()
                .extend(claims.as_object().unwrap().clone());
            (state.signed, state.header, state.claims) = (signed, header, person);
        }
        let answer = walk_from(&app, &provider, "acme", n).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}");
        assert!(answer.headers().get("set-cookie").is_none(), "{name}");
        let html = answer.text().await.unwrap();
        assert!(html.contains("This did not work"), "{name}: {html}");
    }
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 0);
    assert_eq!(provider.fetches("/evil"), 0, "no URL of a token is fetched");
    // The truth is believed.
    {
        let mut state = provider.state();
        (state.signed, state.header, state.claims) = (Signed::Well, json!({}), ada());
    }
    assert!(arrived(&walk_from(&app, &provider, "acme", 100).await));
}

#[actix_web::test]
async fn new_keys_are_believed_at_once_and_asked_for_rarely() {
    let provider = Provider::start();
    provider.person(ada());
    let app = app_with(&[("acme", &provider)], &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    assert!(arrived(&walk_from(&app, &provider, "acme", 0).await));
    provider.rotate();
    assert!(arrived(&walk_from(&app, &provider, "acme", 1).await));
    assert_eq!(provider.fetches("/jwks"), 2);
    for n in 0..100 {
        provider.state().header = json!({ "kid": format!("unknown-{n}") });
        let answer = walk_from(&app, &provider, "acme", n).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(provider.fetches("/jwks"), 2, "twice a minute at most");
    app.db.clock().advance(chrono::TimeDelta::seconds(61));
    provider.state().header = json!({});
    provider.rotate();
    assert!(arrived(&walk_from(&app, &provider, "acme", 3).await));
    assert_eq!(provider.fetches("/jwks"), 3);
}
