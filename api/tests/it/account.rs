//! A person's account over GraphQL: where they are signed in, what was done, the end of it and the way back.

use serde_json::{Value, json};

use crate::support::TestApp;

const SESSIONS: &str =
    "{ viewer { sessions { id method isCurrent createdAt lastUsedAt endsAt ipAddress } } }";

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"]
        .as_str()
        .unwrap_or_default()
}

fn ids(data: &Value, current: bool) -> Vec<String> {
    let sessions = data["viewer"]["sessions"].as_array().unwrap().iter();
    let wanted = sessions.filter(|session| session["isCurrent"] == current);
    wanted
        .map(|session| session["id"].as_str().unwrap().to_owned())
        .collect()
}

#[actix_web::test]
async fn sessions_are_listed_and_ended() {
    let app = TestApp::start().await;
    let (one, two, three) = (
        app.as_user("ada").await,
        app.as_user("ada").await,
        app.as_user("ada").await,
    );
    let bob = app.as_user("bob").await;
    let all = one.gql(SESSIONS, json!({})).await;
    assert_eq!((ids(&all, true).len(), ids(&all, false).len()), (1, 2));
    assert_eq!(all["viewer"]["sessions"][0]["method"], "DEVELOPMENT");
    let own = ids(&two.gql(SESSIONS, json!({})).await, true).remove(0);
    assert!(ids(&all, false).contains(&own));

    let end =
        "mutation ($id: ID!) { endSession(input: { id: $id }) { endedSessionId userErrors { code field } } }";
    let ended = one.gql(end, json!({ "id": own })).await;
    assert_eq!(ended["endSession"]["endedSessionId"], json!(own));
    assert_eq!(code(&two.answer(SESSIONS, json!({})).await), "UNAUTHENTICATED");
    let again = one.gql(end, json!({ "id": own })).await;
    assert_eq!(
        again["endSession"],
        json!({ "endedSessionId": null, "userErrors": [{ "code": "NOT_FOUND", "field": ["id"] }] })
    );
    let node = "query ($id: ID!) { node(id: $id) { __typename ... on Session { isCurrent } } }";
    assert_eq!(one.gql(node, json!({ "id": own })).await["node"], Value::Null);
    let current = ids(&all, true).remove(0);
    assert_eq!(
        one.gql(node, json!({ "id": current })).await["node"],
        json!({ "__typename": "Session", "isCurrent": true })
    );

    let others = one
        .gql(
            "mutation { endOtherSessions { endedCount userErrors { code } } }",
            json!({}),
        )
        .await;
    assert_eq!(
        others["endOtherSessions"],
        json!({ "endedCount": 1, "userErrors": [] })
    );
    assert_eq!(code(&three.answer(SESSIONS, json!({})).await), "UNAUTHENTICATED");
    let everywhere = one
        .gql("mutation { endAllSessions { endedCount } }", json!({}))
        .await;
    assert_eq!(everywhere["endAllSessions"]["endedCount"], 1);
    assert_eq!(code(&one.answer(SESSIONS, json!({})).await), "UNAUTHENTICATED");
    bob.gql(SESSIONS, json!({})).await;
}

#[actix_web::test]
async fn the_trail_is_read_from_its_end_by_cursors() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    for _ in 0..3 {
        app.as_user("ada").await;
        ada.gql("mutation { endOtherSessions { endedCount } }", json!({}))
            .await;
    }
    let page = "query ($first: Int, $after: String, $last: Int, $before: String) { viewer { auditEvents(first: $first, after: $after, last: $last, before: $before) {
        totalCount nodes { id at kind summary detail sessionId ipAddress }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";
    let ask = async |variables: Value| ada.gql(page, variables).await["viewer"]["auditEvents"].clone();
    let all = ask(json!({})).await;
    let kinds: Vec<&str> = all["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "session.all_ended",
            "session.all_ended",
            "session.all_ended",
            "account.created"
        ]
    );
    assert_eq!(
        (&all["totalCount"], &all["nodes"][0]["summary"]),
        (&json!(4), &json!("Your sessions were ended"))
    );
    assert!(all["nodes"][0]["sessionId"].is_string() && all["nodes"][0]["ipAddress"] == "127.0.0.1");

    let first = ask(json!({ "first": 3 })).await;
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let rest = ask(json!({ "first": 3, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(rest["nodes"], json!([all["nodes"][3]]));
    let back = ask(json!({ "last": 2, "before": rest["pageInfo"]["startCursor"] })).await;
    assert_eq!(back["nodes"], json!([all["nodes"][1], all["nodes"][2]]));
    let strange = json!({ "after": "x" });
    assert_eq!(code(&ada.answer(page, strange).await), "BAD_USER_INPUT");
    let bob = app.as_user("bob").await;
    let theirs = bob
        .gql("{ viewer { auditEvents { nodes { kind } } } }", json!({}))
        .await;
    assert_eq!(
        theirs["viewer"]["auditEvents"]["nodes"],
        json!([{ "kind": "account.created" }])
    );
}

#[actix_web::test]
async fn the_account_ends_only_for_who_has_just_signed_in() {
    let app = TestApp::start().await;
    let (ada, other) = (app.as_user("ada").await, app.as_user("ada").await);
    let request = "mutation { requestAccountDeletion { deleteAfter userErrors { code } } }";
    app.db.clock().advance(chrono::TimeDelta::minutes(10));
    let refused = ada.answer(request, json!({})).await;
    assert_eq!(code(&refused), "STEP_UP_REQUIRED");
    assert_eq!(
        ada.gql("{ viewer { deleteAfter } }", json!({})).await["viewer"]["deleteAfter"],
        Value::Null
    );
    other.gql(SESSIONS, json!({})).await;

    let fresh = app.as_user("ada").await;
    let asked = fresh.gql(request, json!({})).await["requestAccountDeletion"].clone();
    assert!(asked["deleteAfter"].is_string() && asked["userErrors"] == json!([]));
    let shown = fresh.gql("{ viewer { deleteAfter } }", json!({})).await;
    assert_eq!(shown["viewer"]["deleteAfter"], asked["deleteAfter"]);
    for ended in [&ada, &other] {
        assert_eq!(code(&ended.answer(SESSIONS, json!({})).await), "UNAUTHENTICATED");
    }
    let again = fresh.gql(request, json!({})).await;
    assert_eq!(
        again["requestAccountDeletion"], asked,
        "asked again, the day stays"
    );
    let kept = "mutation { cancelAccountDeletion { user { email deleteAfter auditEvents(first: 2) { nodes { kind } } } } }";
    let kept = fresh.gql(kept, json!({})).await;
    let user = json!({ "email": "ada@example.test", "deleteAfter": null, "auditEvents": { "nodes": [
        { "kind": "account.deletion_cancelled" }, { "kind": "account.deletion_requested" } ] } });
    assert_eq!(kept["cancelAccountDeletion"]["user"], user);
    fresh
        .gql("mutation { cancelAccountDeletion { user { id } } }", json!({}))
        .await;
    assert_eq!(
        app.count("SELECT count(*) FROM audit_event WHERE kind = 'account.deletion_cancelled'")
            .await,
        1
    );
}
