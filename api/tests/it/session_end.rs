//! A good token of an ended session opens nothing, whatever it is shown for, and is refused in the way of
//! a missing one.

use reqwest::RequestBuilder;
use reqwest::multipart::Part;
use serde_json::{Value, json};

use crate::graphql_http::{Api, form, import, refused, to_file};
use crate::support::TestApp;

async fn ended() -> (TestApp, Api) {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let ended = sqlx::query("UPDATE session SET ended_at = now()")
        .execute(&mut app.admin().await)
        .await
        .unwrap();
    assert_eq!(ended.rows_affected(), 1);
    (app, api)
}

async fn refused_as_a_stranger(api: &Api, request: RequestBuilder) {
    let response = request.try_clone();
    if let Some(response) = response {
        let response = response.send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
    let body = refused(request, 401, "UNAUTHENTICATED").await;
    let stranger = api
        .client
        .post(&api.url)
        .json(&json!({ "query": "{ __typename }" }));
    let told: Value = stranger.send().await.unwrap().json().await.unwrap();
    assert_eq!(body, told);
}

#[actix_web::test]
async fn an_ended_session_reads_nothing() {
    let (_app, api) = ended().await;
    // Not a part of it either: the other fields' data does not come.
    for query in [
        "{ viewer { email } }",
        "{ __typename rateLimit { remaining } contacts { totalCount } viewer { email } }",
    ] {
        let query = json!({ "query": query });
        refused_as_a_stranger(&api, api.post(query.clone())).await;
        // Those who can't read the newer media type, too.
        let legacy = api.request(reqwest::Method::POST).json(&query);
        refused_as_a_stranger(&api, legacy).await;
    }
}

#[actix_web::test]
async fn an_ended_session_writes_nothing() {
    let (app, api) = ended().await;
    let create = "mutation { createTag(input: { name: \"Friends\" }) { tag { id } userErrors { code } } }";
    refused_as_a_stranger(&api, api.post(json!({ "query": create }))).await;
    let file = Part::bytes(b"First Name,Labels\nAda,\n".to_vec()).file_name("contacts.csv");
    refused_as_a_stranger(&api, api.upload(form(import(), to_file()).part("0", file))).await;
    assert_eq!(app.count("SELECT count(*) FROM tag").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM upload").await, 0);
}

#[actix_web::test]
async fn the_users_other_sessions_go_on() {
    let app = TestApp::start().await;
    let first = app.as_user("ada").await;
    let second = app.as_user("ada").await;
    let ended = sqlx::query(
        "UPDATE session SET ended_at = now() WHERE id = (SELECT min(id::text)::uuid FROM session)",
    )
    .execute(&mut app.admin().await)
    .await
    .unwrap();
    assert_eq!(ended.rows_affected(), 1);
    let answer = first.answer("{ viewer { email } }", json!({})).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    let data = second.gql("{ viewer { email } }", json!({})).await;
    assert_eq!(data["viewer"]["email"], "ada@example.test");
}
