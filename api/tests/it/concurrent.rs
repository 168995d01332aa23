//! The same asked many times at once: one wins, and the others are told so.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::TestApp;

/// The codes of the user errors of many answers, sorted; an empty one where it was done.
fn codes(answers: &[Value], mutation: &str) -> Vec<String> {
    let mut codes: Vec<_> = answers
        .iter()
        .map(|answer| {
            let errors = answer[mutation]["userErrors"].as_array().unwrap();
            let codes: Vec<_> = errors
                .iter()
                .map(|error| error["code"].as_str().unwrap())
                .collect();
            codes.join(" ")
        })
        .collect();
    codes.sort();
    codes
}

#[actix_web::test]
async fn of_twenty_equal_tags_at_once_one_is_made() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let create = "mutation { createTag(input: { name: \"Friends\" }) { tag { id } userErrors { code } } }";
    let answers = join_all((0..20).map(|_| ada.gql(create, json!({})))).await;
    let mut expected = vec!["TAKEN"; 20];
    expected[0] = "";
    assert_eq!(codes(&answers, "createTag"), expected);
    let tags = ada.gql("{ tags { totalCount nodes { name } } }", json!({})).await;
    assert_eq!(
        tags["tags"],
        json!({ "totalCount": 1, "nodes": [{ "name": "Friends" }] })
    );
}

#[actix_web::test]
async fn of_ten_changes_to_one_version_at_once_one_is_made() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let create = "mutation { createContact(input: { givenName: \"Ada\" }) { contact { id version } userErrors { code } } }";
    let created = ada.gql(create, json!({})).await["createContact"]["contact"].clone();
    assert_eq!(created["version"], 1);
    let update = "mutation ($input: UpdateContactInput!) { updateContact(input: $input) { \
        contact { nickname version } userErrors { code field } } }";
    let change = |n: usize| {
        let input = json!({ "id": created["id"], "nickname": format!("N{n}"), "expectedVersion": 1 });
        ada.gql(update, json!({ "input": input }))
    };
    let answers = join_all((0..10).map(change)).await;
    let mut expected = vec!["CONFLICT"; 10];
    expected[0] = "";
    assert_eq!(codes(&answers, "updateContact"), expected);
    let won = answers
        .iter()
        .find(|answer| !answer["updateContact"]["contact"].is_null())
        .unwrap();
    let query = "query ($id: ID!) { contact(id: $id) { nickname version } }";
    let now = ada.gql(query, json!({ "id": created["id"] })).await;
    assert_eq!(now["contact"], won["updateContact"]["contact"]);
    assert_eq!(now["contact"]["version"], 2);
}
