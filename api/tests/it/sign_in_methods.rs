//! The ways into an account: listed, added and removed by their user, on the pages and over GraphQL.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::browser::{Browser, header};
use crate::provider::Provider;
use crate::sso::{app_with, arrived, browser, by_mail, mailed, walk, who};
use crate::support::TestApp;

const HERE: &str = "/settings/sign-in";

async fn ask(browser: &Browser, address: &str) -> reqwest::Response {
    browser
        .post("/settings/sign-in/emails", &[("email", address)])
        .await
}

/// Presses the button on the page of a link that adds an address.
async fn press(browser: &Browser, link: &str) -> reqwest::Response {
    let link = browser.url.join(link).unwrap();
    let fields: Vec<(String, String)> = link.query_pairs().into_owned().collect();
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    browser.post("/settings/sign-in/email", &fields).await
}

async fn id(app: &TestApp, table: &str, what: &str) -> String {
    let sql = match table {
        "email" => "SELECT id::text FROM user_email WHERE address = $1",
        _ => "SELECT id::text FROM external_identity WHERE subject = $1",
    };
    sqlx::query_scalar(sql)
        .bind(what)
        .fetch_one(&mut app.admin().await)
        .await
        .unwrap()
}

async fn ask_graphql(app: &TestApp, browser: &Browser, query: &str, variables: Value) -> Value {
    let token = browser.access_token().await;
    let request = app.post("/graphql").bearer_auth(token);
    let body = json!({ "query": query, "variables": variables });
    request.json(&body).send().await.unwrap().json().await.unwrap()
}

#[actix_web::test]
async fn an_address_is_added_by_a_link_that_is_opened_by_who_asked() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    let (ada, other) = (browser(&app), browser(&app));
    by_mail(&app, &ada, "ada@example.test").await;
    by_mail(&app, &other, "bob@example.test").await;
    let asked = ask(&ada, "Ada@work.example").await;
    assert_eq!(
        header(&asked, "location"),
        "/settings/sign-in?changed=email-asked"
    );
    let link = mailed(&app, "ada@work.example").await;
    assert!(link.starts_with("/settings/sign-in/email?id="), "{link}");
    let page = ada.get(&link).await;
    assert_eq!(
        (page.status(), header(&page, "referrer-policy")),
        (StatusCode::OK, "no-referrer")
    );
    // It is no link to sign in with, whoever has it.
    for browser in [&ada, &other] {
        assert_eq!(browser.press(&link).await.status(), StatusCode::GONE);
    }
    assert_eq!(
        press(&other, &link).await.status(),
        StatusCode::GONE,
        "another user's"
    );
    let nobody = browser(&app);
    assert_eq!(press(&nobody, &link).await.status(), StatusCode::UNAUTHORIZED);
    // The same user elsewhere.
    let elsewhere = browser(&app);
    by_mail(&app, &elsewhere, "ada@example.test").await;
    assert_eq!(press(&elsewhere, &link).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(app.count("SELECT count(*) FROM user_email").await, 2);

    let added = press(&ada, &link).await;
    assert_eq!(
        header(&added, "location"),
        "/settings/sign-in?changed=email-added"
    );
    assert_eq!(press(&ada, &link).await.status(), StatusCode::GONE, "once");
    let event = "SELECT count(*) FROM audit_event WHERE kind = 'email.added' AND detail = 'Ada@work.example'";
    assert_eq!(app.count(event).await, 1);
    assert_eq!(
        app.count("SELECT count(*) FROM user_email WHERE verified_at IS NOT NULL")
            .await,
        3
    );
    let new = browser(&app);
    by_mail(&app, &new, "ada@work.example").await;
    assert_eq!(who(&app, &new).await, "ada@example.test");
    let html = ada
        .get("/settings/sign-in?changed=email-added")
        .await
        .text()
        .await
        .unwrap();
    assert!(
        html.contains("Ada@work.example") && html.contains(r#"href="/settings/sessions""#),
        "{html}"
    );
}

#[actix_web::test]
async fn whose_an_address_is_is_said_only_to_who_has_its_mailbox() {
    let app = app_with(&[], &[]).await;
    let (ada, bob) = (browser(&app), browser(&app));
    by_mail(&app, &ada, "ada@example.test").await;
    by_mail(&app, &bob, "bob@example.test").await;
    let mut told = Vec::new();
    for address in ["bob@example.test", "nobody@example.test"] {
        let answer = ask(&ada, address).await;
        told.push((
            answer.status(),
            header(&answer, "location").to_owned(),
            answer.text().await.unwrap(),
        ));
    }
    assert_eq!(told[0], told[1]);
    let answer = press(&ada, &mailed(&app, "bob@example.test").await).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert!(answer.text().await.unwrap().contains("opens another account"));
    assert_eq!(who(&app, &bob).await, "bob@example.test");
    // One's own, and what is none.
    for (address, problem) in [
        ("ADA@example.test", "yours already"),
        ("<b>ada", "not an e-mail address"),
    ] {
        let answer = ask(&ada, address).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let html = answer.text().await.unwrap();
        assert!(html.contains(problem) && !html.contains("<b>"), "{html}");
    }
    // Wanting an address does not end what its owner asked for.
    let victim = browser(&app);
    victim.ask("bob@example.test").await;
    let link = mailed(&app, "bob@example.test").await;
    ask(&ada, "bob@example.test").await;
    assert_eq!(victim.press(&link).await.status(), StatusCode::SEE_OTHER);
}

#[actix_web::test]
async fn the_last_way_in_stays() {
    let provider = Provider::start();
    provider.person(json!({ "sub": "7", "email": "ada@example.test", "email_verified": true }));
    let app = app_with(&[("acme", &provider)], &[]).await;
    let ada = browser(&app);
    assert!(arrived(&walk(&ada, &provider, "acme").await));
    let (email, identity) = (
        id(&app, "email", "ada@example.test").await,
        id(&app, "identity", "7").await,
    );
    let removed = ada
        .post("/settings/sign-in/emails/remove", &[("id", &email)])
        .await;
    assert_eq!(
        header(&removed, "location"),
        "/settings/sign-in?changed=email-removed"
    );
    let stays = ada
        .post("/settings/sign-in/identities/remove", &[("id", &identity)])
        .await;
    assert_eq!(stays.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(stays.text().await.unwrap().contains("only way into your account"));
    assert_eq!(app.count("SELECT count(*) FROM external_identity").await, 1);
    // A passkey is a way of its own.
    sqlx::query(
        "INSERT INTO passkey (owner_id, id, user_id, credential_id, credential, name, created_at) \
         SELECT owner_id, gen_random_uuid(), id, 'x', '{}', 'Key', now() FROM app_user",
    )
    .execute(&mut app.admin().await)
    .await
    .unwrap();
    let removed = ada
        .post("/settings/sign-in/identities/remove", &[("id", &identity)])
        .await;
    assert_eq!(
        header(&removed, "location"),
        "/settings/sign-in?changed=provider-removed"
    );
    let html = ada.get(HERE).await.text().await.unwrap();
    assert!(html.contains("One.") && html.contains("None yet."), "{html}");
    for kind in ["email.removed", "identity.unlinked"] {
        let sql = match kind {
            "email.removed" => {
                "SELECT count(*) FROM audit_event WHERE kind = 'email.removed' AND detail = 'ada@example.test'"
            }
            _ => "SELECT count(*) FROM audit_event WHERE kind = 'identity.unlinked' AND method = 'acme'",
        };
        assert_eq!(app.count(sql).await, 1, "{kind}");
    }
}

#[actix_web::test]
async fn an_identity_whose_provider_is_gone_is_no_way_in() {
    let app = app_with(&[], &[]).await;
    let ada = browser(&app);
    by_mail(&app, &ada, "ada@example.test").await;
    sqlx::query(
        "INSERT INTO external_identity (owner_id, id, user_id, provider, issuer, subject, created_at) \
         SELECT owner_id, gen_random_uuid(), id, 'gone', 'https://gone.example', '7', now() FROM app_user",
    )
    .execute(&mut app.admin().await)
    .await
    .unwrap();
    let email = id(&app, "email", "ada@example.test").await;
    let stays = ada
        .post("/settings/sign-in/emails/remove", &[("id", &email)])
        .await;
    assert_eq!(stays.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(ada.get(HERE).await.text().await.unwrap().contains("gone"));
}

#[actix_web::test]
async fn of_two_who_remove_the_last_two_at_once_one_fails() {
    let provider = Provider::start();
    let app = app_with(&[("acme", &provider)], &[]).await;
    for n in 0..5 {
        let address = format!("ada{n}@example.test");
        provider.person(json!({ "sub": n.to_string(), "email": address, "email_verified": true }));
        let ada = browser(&app);
        assert!(arrived(&walk(&ada, &provider, "acme").await));
        let (email, identity) = (
            id(&app, "email", &address).await,
            id(&app, "identity", &n.to_string()).await,
        );
        let (email, identity) = ([("id", email.as_str())], [("id", identity.as_str())]);
        let both = futures::future::join(
            ada.post("/settings/sign-in/emails/remove", &email),
            ada.post("/settings/sign-in/identities/remove", &identity),
        );
        let (first, second) = both.await;
        let mut statuses = [first.status(), second.status()];
        statuses.sort();
        assert_eq!(
            statuses,
            [StatusCode::SEE_OTHER, StatusCode::UNPROCESSABLE_ENTITY]
        );
    }
    let without = "SELECT count(*) FROM app_user u WHERE NOT EXISTS (SELECT FROM user_email e WHERE e.user_id = u.id) \
        AND NOT EXISTS (SELECT FROM external_identity i WHERE i.user_id = u.id)";
    assert_eq!(app.count(without).await, 0);
}

#[actix_web::test]
async fn removing_an_address_ends_its_open_links() {
    let app = app_with(&[], &[]).await;
    let (ada, other) = (browser(&app), browser(&app));
    by_mail(&app, &ada, "ada@example.test").await;
    ask(&ada, "work@example.test").await;
    press(&ada, &mailed(&app, "work@example.test").await).await;
    other.ask("work@example.test").await;
    let link = mailed(&app, "work@example.test").await;
    let work = id(&app, "email", "work@example.test").await;
    ada.post("/settings/sign-in/emails/remove", &[("id", &work)])
        .await;
    assert_eq!(other.press(&link).await.status(), StatusCode::GONE);
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 1);
    // Its mailbox hears of it as well.
    let notice =
        "SELECT count(*) FROM audit_event WHERE kind = 'email.removed' AND detail = 'work@example.test'";
    assert_eq!(app.count(notice).await, 1);
}

#[actix_web::test]
async fn changes_want_a_recent_sign_in_and_own_things() {
    let app = app_with(&[], &[]).await;
    let (ada, bob) = (browser(&app), browser(&app));
    by_mail(&app, &ada, "ada@example.test").await;
    by_mail(&app, &bob, "bob@example.test").await;
    ask(&ada, "work@example.test").await;
    press(&ada, &mailed(&app, "work@example.test").await).await;
    let (work, foreign) = (
        id(&app, "email", "work@example.test").await,
        id(&app, "email", "bob@example.test").await,
    );
    // Another's is not there.
    let answer = ada
        .post("/settings/sign-in/emails/remove", &[("id", &foreign)])
        .await;
    assert_eq!(header(&answer, "location"), HERE);
    app.db.clock().advance(chrono::TimeDelta::minutes(11));
    let again = "/sign-in?again=true&return_to=/settings/sign-in";
    let late = ada
        .post("/settings/sign-in/emails/remove", &[("id", &work)])
        .await;
    assert_eq!(header(&late, "location"), again);
    assert_eq!(header(&ask(&ada, "third@example.test").await, "location"), again);
    assert_eq!(ada.get(HERE).await.status(), StatusCode::OK, "looking is allowed");
    let nobody = browser(&app).get(HERE).await;
    assert_eq!(
        header(&nobody, "location"),
        "/sign-in?return_to=/settings/sign-in"
    );
    for path in ["emails", "emails/remove", "identities/remove", "email"] {
        let form = ada.form(
            &format!("{HERE}/{path}"),
            &[("id", &work), ("email", "x@example.test"), ("token", "x")],
        );
        let answer = form
            .header("Origin", "https://evil.example")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(app.count("SELECT count(*) FROM user_email").await, 3);
}

const LIST: &str =
    "{ viewer { signInMethods { emails { id address verifiedAt } identities { id provider email } } } }";
const REMOVE_EMAIL: &str =
    "mutation ($id: ID!) { removeEmail(input: { id: $id }) { removedEmailId userErrors { code field } } }";
const REMOVE_IDENTITY: &str = "mutation ($id: ID!) { removeIdentity(input: { id: $id }) { removedIdentityId userErrors { code field } } }";

#[actix_web::test]
async fn the_same_over_graphql() {
    let provider = Provider::start();
    provider.person(json!({ "sub": "7", "email": "ada@example.test", "email_verified": true }));
    let app = app_with(&[("acme", &provider)], &[]).await;
    let ada = browser(&app);
    assert!(arrived(&walk(&ada, &provider, "acme").await));
    let methods = ask_graphql(&app, &ada, LIST, json!({})).await;
    let methods = &methods["data"]["viewer"]["signInMethods"];
    assert_eq!(methods["emails"][0]["address"], "ada@example.test");
    assert_eq!(methods["identities"][0]["provider"], "acme");
    let (email, identity) = (
        methods["emails"][0]["id"].clone(),
        methods["identities"][0]["id"].clone(),
    );
    for id in [&email, &identity] {
        let node = ask_graphql(
            &app,
            &ada,
            "query ($id: ID!) { node(id: $id) { id } }",
            json!({ "id": id }),
        )
        .await;
        assert_eq!(node["data"]["node"]["id"], *id);
    }
    // An id of the wrong kind is none.
    let wrong = ask_graphql(&app, &ada, REMOVE_EMAIL, json!({ "id": identity })).await;
    assert_eq!(
        wrong["data"]["removeEmail"]["userErrors"],
        json!([{ "code": "NOT_FOUND", "field": ["id"] }])
    );
    let removed = ask_graphql(&app, &ada, REMOVE_IDENTITY, json!({ "id": identity })).await;
    assert_eq!(
        removed["data"]["removeIdentity"],
        json!({ "removedIdentityId": identity, "userErrors": [] })
    );
    let stays = ask_graphql(&app, &ada, REMOVE_EMAIL, json!({ "id": email })).await;
    assert_eq!(
        stays["data"]["removeEmail"],
        json!({ "removedEmailId": null, "userErrors": [{ "code": "LAST_SIGN_IN_METHOD", "field": ["id"] }] })
    );
    app.db.clock().advance(chrono::TimeDelta::minutes(11));
    let late = ask_graphql(&app, &ada, REMOVE_EMAIL, json!({ "id": email })).await;
    assert_eq!(
        late["errors"][0]["extensions"]["code"], "STEP_UP_REQUIRED",
        "{late}"
    );
}
