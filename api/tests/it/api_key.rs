//! API keys as integrations use them, and as somebody who has none tries to.

use chrono::{DateTime, TimeDelta};
use domain::clock::Clock;
use domain::limit::{Bucket, Limits};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::browser::{Browser, Server, header};
use crate::support::TestApp;

const ASK: &str = r#"{"query":"{ tags { totalCount } }"}"#;

fn ask(app: &TestApp, path: &str) -> RequestBuilder {
    app.post(path)
        .header("Content-Type", "application/json")
        .body(ASK)
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

async fn with_key(app: &TestApp, key: &str) -> StatusCode {
    status(ask(app, "/graphql").bearer_auth(key)).await
}

#[actix_web::test]
async fn a_key_is_taken_from_the_header_and_from_nowhere_else() {
    let app = TestApp::start().await;
    let key = app.as_user("ada").await.key(&["tags:read"]).await.token;
    assert_eq!(with_key(&app, &key).await, StatusCode::OK);
    for path in [
        format!("/graphql?access_token={key}"),
        format!("/graphql?api_key={key}&key={key}"),
        format!("/graphql?authorization=Bearer%20{key}"),
    ] {
        assert_eq!(status(ask(&app, &path)).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    let by_get = format!("/graphql?query=%7Btags%7BtotalCount%7D%7D&access_token={key}");
    assert_eq!(status(app.get(&by_get)).await, StatusCode::UNAUTHORIZED);
    for (name, value) in [
        ("Cookie", format!("__Host-session={key}; access_token={key}")),
        ("X-Api-Key", key.clone()),
        ("Authorization", key.clone()),
        ("Authorization", format!("Token {key}")),
        ("Authorization", format!("Bearer {key} {key}")),
    ] {
        let request = ask(&app, "/graphql").header(name, &value);
        assert_eq!(status(request).await, StatusCode::UNAUTHORIZED, "{name}");
    }
    let body = json!({ "query": "{ tags { totalCount } }", "extensions": { "apiKey": key } });
    assert_eq!(
        status(app.post("/graphql").json(&body)).await,
        StatusCode::UNAUTHORIZED
    );
}

#[actix_web::test]
async fn a_key_that_ended_is_refused_at_once_like_a_stranger() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let key = ada.key(&["tags:read", "tags:write"]).await;
    key.gql("{ tags { totalCount } }", json!({})).await;
    let keys = ada
        .gql("{ viewer { apiKeys { id lastUsedAt revokedAt } } }", json!({}))
        .await;
    let listed = &keys["viewer"]["apiKeys"][0];
    assert!(listed["lastUsedAt"].is_string() && listed["revokedAt"].is_null());
    let revoke = "mutation ($id: ID!) { revokeApiKey(input: { id: $id }) { apiKey { revokedAt } userErrors { code } } }";
    let revoked = ada.gql(revoke, json!({ "id": listed["id"] })).await;
    assert!(revoked["revokeApiKey"]["apiKey"]["revokedAt"].is_string());
    let stranger: Value = ask(&app, "/graphql").send().await.unwrap().json().await.unwrap();
    for query in [
        "{ tags { totalCount } }",
        "mutation { createTag(input: { name: \"Late\" }) { tag { id } } }",
    ] {
        assert_eq!(key.answer(query, json!({})).await, stranger, "{query}");
    }
    assert_eq!(app.count("SELECT count(*) FROM tag").await, 0);

    let short = ada.key(&["tags:read"]).await;
    short.gql("{ tags { totalCount } }", json!({})).await;
    app.db.clock().advance(TimeDelta::days(365));
    assert_eq!(with_key(&app, &short.token).await, StatusCode::UNAUTHORIZED);
}

/// CRC-32 as in gzip, bit by bit, in six digits of base 62: what ends a key.
fn checksum(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut rest = !crc;
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = [0; 6].map(|_: u8| {
        let digit = digits[(rest % 62) as usize];
        rest /= 62;
        char::from(digit)
    });
    text.reverse();
    text.iter().collect()
}

#[actix_web::test]
async fn a_key_of_another_environment_is_refused_though_the_database_knows_it() {
    let app = TestApp::start().await;
    let key = app.as_user("ada").await.key(&["tags:read"]).await.token;
    let (body, end) = key.split_at(key.len() - 6);
    assert!(body.starts_with("crm_dev_"));
    assert_eq!(checksum(body), end, "a scanner can tell a key by itself");
    for prefix in ["crm_live_", "crm_stag_", "crm_dev_"] {
        let body = format!("{prefix}{}", "a1B2".repeat(8).split_at(30).0);
        let key = format!("{body}{}", checksum(&body));
        sqlx::query("UPDATE api_key SET key_hash = sha256($1)")
            .bind(key.as_bytes())
            .execute(&mut app.admin().await)
            .await
            .unwrap();
        let good = prefix == "crm_dev_";
        let wanted = if good {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        assert_eq!(with_key(&app, &key).await, wanted, "{prefix}");
        let wrong = format!("{body}{}", "0".repeat(6));
        assert_eq!(with_key(&app, &wrong).await, StatusCode::UNAUTHORIZED);
    }
}

#[actix_web::test]
async fn who_tries_many_keys_is_told_to_wait_and_good_ones_go_on() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let key = ada.key(&["tags:read"]).await.token;
    let wrong = async |number: usize| {
        let body = format!("crm_dev_{number:030}");
        let key = match number % 3 {
            0 => format!("{body}{}", checksum(&body)),
            1 => format!("{body}000000"),
            _ => format!("eyJhbGciOiJFZERTQSJ9.{number}.AAAA"),
        };
        // What a client says of itself makes it no other client.
        let request = ask(&app, "/graphql").bearer_auth(key);
        let request = request.header("X-Forwarded-For", format!("198.51.100.{}", number % 250));
        request.send().await.unwrap()
    };
    for number in 0..10 {
        assert_eq!(wrong(number).await.status(), StatusCode::UNAUTHORIZED);
    }
    // Some flow back while the test runs, hence no exact number.
    let mut told = None;
    for number in 10..5000 {
        let answer = wrong(number).await;
        if answer.status() != StatusCode::UNAUTHORIZED {
            told = Some(answer);
            break;
        }
    }
    let told = told.unwrap();
    assert_eq!(told.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = header(&told, "retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait));
    let told: Value = told.json().await.unwrap();
    assert_eq!(told["errors"][0]["extensions"]["code"], "RATE_LIMITED");
    for good in [&key, &ada.token] {
        assert_eq!(with_key(&app, good).await, StatusCode::OK);
    }
}

#[actix_web::test]
async fn a_key_that_runs_wild_is_slowed_and_its_user_and_their_other_keys_are_not() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let (wild, other) = (ada.key(&["tags:read"]).await, ada.key(&["tags:read"]).await);
    let left = "{ rateLimit { limit remaining } }";
    let limit = async |user: &crate::support::User<'_>| user.gql(left, json!({})).await["rateLimit"].clone();
    let (of_user, of_key) = (limit(&ada).await, limit(&wild).await);
    assert!(of_key["limit"].as_u64() < of_user["limit"].as_u64());
    let id: Uuid = sqlx::query_scalar("SELECT id FROM api_key ORDER BY created_at, id LIMIT 1")
        .fetch_one(&mut app.admin().await)
        .await
        .unwrap();
    let capacity = u32::try_from(of_key["limit"].as_u64().unwrap()).unwrap();
    // A clock that stands an hour ahead: until then nothing flows back.
    let ahead = Clock::system();
    ahead.advance(TimeDelta::hours(1));
    let limits = Limits::connect(&app.config, ahead).unwrap();
    let bucket = Bucket::GraphqlCostPerKey;
    limits.take(bucket, &id.to_string(), capacity).await.unwrap();
    let refused = ask(&app, "/graphql")
        .bearer_auth(&wild.token)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(header(&refused, "retry-after").parse::<u64>().unwrap() >= 1);
    for good in [&other.token, &ada.token] {
        assert_eq!(with_key(&app, good).await, StatusCode::OK);
    }
    // What the key was refused its user has not paid for.
    assert!(limit(&ada).await["remaining"].as_u64().unwrap() > 49_000);
}

#[actix_web::test]
async fn what_is_wrong_with_a_new_key_is_data_and_an_old_session_signs_in_again() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let create = "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) \
        { secret apiKey { name hint scopes createdAt expiresAt lastUsedAt } userErrors { code field } } }";
    let wrong = json!({ "input": { "name": "", "scopes": ["contacts:read", "all"] } });
    let told = ada.gql(create, wrong).await["createApiKey"].clone();
    assert_eq!(
        told,
        json!({ "secret": null, "apiKey": null, "userErrors": [
            { "code": "REQUIRED", "field": ["name"] }, { "code": "INVALID", "field": ["scopes", "1"] },
        ] })
    );
    let good =
        json!({ "input": { "name": " Zapier ", "scopes": ["tags:read", "contacts:read", "tags:read"] } });
    let made = ada.gql(create, good.clone()).await["createApiKey"].clone();
    let key = &made["apiKey"];
    assert_eq!(key["name"], "Zapier");
    assert_eq!(key["scopes"], json!(["contacts:read", "tags:read"]));
    assert!(
        made["secret"]
            .as_str()
            .unwrap()
            .starts_with(key["hint"].as_str().unwrap())
    );
    let at = |field: &str| DateTime::parse_from_rfc3339(key[field].as_str().unwrap()).unwrap();
    assert_eq!(at("expiresAt") - at("createdAt"), TimeDelta::days(365));

    app.db.clock().advance(TimeDelta::minutes(10));
    let late = ada.answer(create, good).await;
    assert_eq!(late["errors"][0]["extensions"]["code"], "STEP_UP_REQUIRED");
    assert_eq!(app.count("SELECT count(*) FROM api_key").await, 1);
}

#[actix_web::test]
async fn who_is_not_let_in_by_scope_is_told_which_and_nothing_is_done() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let key = ada.key(&["contacts:read"]).await;
    let answer = key
        .answer("{ contacts { nodes { id } } tags { nodes { id } } }", json!({}))
        .await;
    let error = &answer["errors"][0];
    assert_eq!(
        error["extensions"],
        json!({ "code": "FORBIDDEN", "scope": "tags:read" })
    );
    assert_eq!(error["path"], json!(["tags"]));
    assert_eq!(error["message"], "this API key has not the scope tags:read");
    // Nor may a filter say who carries a tag, or works where.
    for (filter, scope) in [("tagId", "tags:read"), ("companyId", "companies:read")] {
        let query = format!("query ($id: ID!) {{ contacts(filter: {{ {filter}: $id }}) {{ totalCount }} }}");
        let id = json!({ "id": "AAAA" });
        let answer = key.answer(&query, id.clone()).await;
        assert_eq!(answer["errors"][0]["extensions"]["scope"], scope);
        ada.key(&["contacts:read", scope]).await.gql(&query, id).await;
    }
    // A file that may not be imported is not even taken.
    let file = key.upload("contacts.csv", "First Name\nAda\n").await;
    let answer: Value = file.json().await.unwrap();
    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(app.count("SELECT count(*) FROM upload").await, 0);
    let imports = ada.key(&["imports:read", "imports:write"]).await;
    let import = imports.import("contacts.csv", "First Name,Labels\nAda,\n").await;
    assert_eq!(import["counts"]["created"], 1);
}

#[actix_web::test]
async fn a_key_is_no_session() {
    let app = TestApp::start().await;
    let key = app
        .as_user("ada")
        .await
        .key(&["profile:read", "profile:write"])
        .await
        .token;
    for path in ["/session/token", "/session/end"] {
        let call = app
            .post(path)
            .bearer_auth(&key)
            .header("Origin", "http://localhost:8080");
        let call = call.header("Sec-Fetch-Site", "same-origin");
        let cookies = call.send().await.unwrap();
        assert!(
            cookies
                .headers()
                .get("set-cookie")
                .is_none_or(|cookie| { cookie.to_str().unwrap().contains("Max-Age=0") })
        );
        let plain = app.post(path).bearer_auth(&key);
        assert_eq!(status(plain).await, StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["/settings", "/settings/api-keys", "/settings/sessions"] {
        let page = app.get(path).bearer_auth(&key).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::SEE_OTHER, "{path}");
        assert!(header(&page, "location").starts_with("/sign-in"));
    }
    assert_eq!(
        app.count("SELECT count(*) FROM session WHERE ended_at IS NOT NULL")
            .await,
        0
    );
}

const PAGE: &str = "/settings/api-keys";
const FORM: [(&str, &str); 4] = [
    ("name", "Zapier <b>"),
    ("scope", "contacts:read"),
    ("scope", "tags:read"),
    ("days", "90"),
];

/// What stands between the tags of the key.
fn secret(page: &str) -> &str {
    let start = page.find("crm_dev_").unwrap();
    page[start..].split('<').next().unwrap()
}

async fn opens(server: &Server, key: &str) -> bool {
    let request = Browser::at(server.url.clone()).request(Method::GET, "/me");
    request.bearer_auth(key).send().await.unwrap().status() == StatusCode::OK
}

#[actix_web::test]
async fn the_page_makes_a_key_shows_it_once_and_revokes_it() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.sign_in(&server, "ada@example.org").await;
    let made = browser.post("/settings/api-keys/create", &FORM).await;
    assert_eq!(made.status(), StatusCode::OK);
    assert_eq!(header(&made, "cache-control"), "no-store");
    let page = made.text().await.unwrap();
    let key = secret(&page).to_owned();
    assert_eq!(key.len(), 44);
    assert!(page.contains("only time") && page.contains("Zapier &#60;b&#62;"));
    assert!(opens(&server, &key).await);

    let list = browser.get(PAGE).await.text().await.unwrap();
    assert!(!list.contains(&key) && list.contains(&key[..12]));
    assert!(list.contains("contacts:read, tags:read"));
    let id = list
        .split(r#"name="id" value=""#)
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    for _ in 0..2 {
        let revoked = browser.post("/settings/api-keys/revoke", &[("id", id)]).await;
        assert_eq!(header(&revoked, "location"), PAGE);
    }
    assert!(!opens(&server, &key).await);
    let list = browser.get(PAGE).await.text().await.unwrap();
    assert!(list.contains("Revoked ") && !list.contains("Revoke "));
}

#[actix_web::test]
async fn the_page_tells_what_is_wrong_keeps_what_was_typed_and_asks_to_sign_in_again() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.sign_in(&server, "ada@example.org").await;
    let wrong = [("name", "Sheets"), ("days", "90"), ("admin", "true")];
    let told = browser.post("/settings/api-keys/create", &wrong).await;
    assert_eq!(told.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = told.text().await.unwrap();
    assert!(page.contains("Choose at least one scope.") && page.contains(r#"value="Sheets""#));
    assert!(page.contains(r#"<option value="90" selected>"#) && page.contains("<title>Error: "));
    let unknown = [
        ("name", "x"),
        ("scope", "contacts:read"),
        ("scope", "keys:manage"),
    ];
    let told = browser.post("/settings/api-keys/create", &unknown).await;
    assert_eq!(told.status(), StatusCode::UNPROCESSABLE_ENTITY);

    server.clock.advance(TimeDelta::minutes(10));
    let page = browser.get(PAGE).await.text().await.unwrap();
    let again = "/sign-in?again=true&amp;return_to=/settings/api-keys";
    assert!(page.contains(again) && !page.contains("settings/api-keys/create"));
    let late = browser.post("/settings/api-keys/create", &FORM).await;
    assert_eq!(header(&late, "location"), again.replace("&amp;", "&"));
    let page = browser.get(PAGE).await.text().await.unwrap();
    assert!(page.contains("You have none yet."));
}
