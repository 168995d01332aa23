//! What of a person's passkeys is there over GraphQL.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{TestApp, User};

const LIST: &str =
    "{ viewer { passkeyRequired recoveryCodesLeft passkeys { id name createdAt lastUsedAt } } }";
const REMOVE: &str = "mutation ($id: ID!) { removePasskey(input: { id: $id }) { removedPasskeyId userErrors { code field } } }";
const SET: &str = "mutation ($required: Boolean!) { setPasskeyRequired(input: { required: $required }) \
    { requirement { required recoveryCodes } userErrors { code message } } }";
const CREATE: &str = "mutation { createRecoveryCodes { recoveryCodes userErrors { code } } }";

async fn listed(user: &User<'_>) -> Value {
    user.gql(LIST, json!({})).await["viewer"].clone()
}

async fn set(user: &User<'_>, required: bool) -> Value {
    let data = user.gql(SET, json!({ "required": required })).await;
    data["setPasskeyRequired"].clone()
}

#[actix_web::test]
async fn passkeys_are_listed_renamed_and_removed() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    app.give_passkey("ada", "Laptop").await;
    let passkeys = listed(&ada).await["passkeys"].clone();
    assert_eq!(passkeys[0]["name"], "Laptop");
    assert_eq!(passkeys[0]["lastUsedAt"], Value::Null);
    let id = &passkeys[0]["id"];

    let rename = "mutation ($id: ID!, $name: String!) { renamePasskey(input: { id: $id, name: $name }) \
        { passkey { id name } userErrors { code field } } }";
    let renamed = ada.gql(rename, json!({ "id": id, "name": "Phone" })).await;
    assert_eq!(
        renamed["renamePasskey"]["passkey"],
        json!({ "id": id, "name": "Phone" })
    );
    let wrong = ada.gql(rename, json!({ "id": id, "name": "" })).await;
    let expected = json!([{ "code": "REQUIRED", "field": ["name"] }]);
    assert_eq!(wrong["renamePasskey"]["userErrors"], expected);
    let node = ada
        .gql(
            "query ($id: ID!) { node(id: $id) { id ... on Passkey { name } } }",
            json!({ "id": id }),
        )
        .await;
    assert_eq!(node["node"]["name"], "Phone");

    let removed = ada.gql(REMOVE, json!({ "id": id })).await;
    assert_eq!(removed["removePasskey"]["removedPasskeyId"], *id);
    let again = ada.gql(REMOVE, json!({ "id": id })).await;
    let expected = json!([{ "code": "NOT_FOUND", "field": ["id"] }]);
    assert_eq!(again["removePasskey"]["userErrors"], expected);
    assert_eq!(listed(&ada).await["passkeys"], json!([]));
}

#[actix_web::test]
async fn requiring_one_makes_codes_and_holds_the_last() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    assert_eq!(set(&ada, true).await["userErrors"][0]["code"], "REQUIRED");
    app.give_passkey("ada", "Laptop").await;
    let codes = set(&ada, true).await["requirement"]["recoveryCodes"].clone();
    assert_eq!(codes.as_array().unwrap().len(), 10);
    let again = set(&ada, true).await;
    assert_eq!(
        again["requirement"],
        json!({ "required": true, "recoveryCodes": null })
    );
    let viewer = listed(&ada).await;
    assert_eq!(viewer["passkeyRequired"], true);
    assert_eq!(viewer["recoveryCodesLeft"], 10);

    let last = ada
        .gql(REMOVE, json!({ "id": viewer["passkeys"][0]["id"] }))
        .await;
    assert_eq!(last["removePasskey"]["userErrors"][0]["code"], "PASSKEY_REQUIRED");
    let new = ada.gql(CREATE, json!({})).await["createRecoveryCodes"]["recoveryCodes"].clone();
    assert!(new.as_array().unwrap().len() == 10 && new != codes);

    let released = set(&ada, false).await;
    assert_eq!(
        released["requirement"],
        json!({ "required": false, "recoveryCodes": null })
    );
    let none = ada.gql(CREATE, json!({})).await;
    assert_eq!(none["createRecoveryCodes"]["userErrors"][0]["code"], "REQUIRED");
}

#[actix_web::test]
async fn a_session_of_one_factor_is_told_and_an_old_one_steps_up() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    app.give_passkey("ada", "Laptop").await;
    sqlx::query("UPDATE session SET method = 'email_link'")
        .execute(&mut app.admin().await)
        .await
        .unwrap();
    let weak = set(&ada, true).await;
    assert_eq!(weak["userErrors"][0]["code"], "STRONG_SESSION_REQUIRED");
    assert_eq!(
        weak["userErrors"][0]["message"],
        "Sign in with your passkey first."
    );

    let id = listed(&ada).await["passkeys"][0]["id"].clone();
    app.db.clock().advance(TimeDelta::minutes(10));
    for (query, variables) in [
        (SET, json!({ "required": true })),
        (CREATE, json!({})),
        (REMOVE, json!({ "id": id })),
    ] {
        let answer = ada.answer(query, variables).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "STEP_UP_REQUIRED",
            "{answer}"
        );
    }
    assert_eq!(app.count("SELECT count(*) FROM passkey").await, 1);
}
