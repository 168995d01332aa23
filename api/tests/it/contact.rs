//! Contacts, tags and notes over GraphQL.

use serde_json::{Value, json};

use crate::support::TestApp;

const CREATE: &str = "mutation ($input: CreateContactInput!) { createContact(input: $input) { \
    contact { id displayName version emails { label address } phones { number e164 } dates { kind date { year month day } } \
      affiliations { title from { year month } to { year } company { name } } tags { name } } \
    userErrors { code field message } } }";

#[actix_web::test]
async fn a_contact_is_created_changed_tagged_noted_and_deleted() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let tag = ada
        .gql(
            "mutation { createTag(input: { name: \"Friends\" }) { tag { id name } userErrors { code } } }",
            json!({}),
        )
        .await;
    let input = json!({ "input": {
        "givenName": "Grace", "familyName": "Hopper",
        "emails": [{ "label": "work", "address": "grace@example.test" }],
        "phones": [{ "number": "+1 202 555 0123" }],
        "dates": [{ "kind": "BIRTHDAY", "date": { "month": 12, "day": 9 } }],
        "affiliations": [{ "companyName": "Navy", "title": "Rear admiral", "from": { "year": 1943, "month": 12 } }],
        "tagIds": [tag["createTag"]["tag"]["id"]],
    }});
    let created = ada.gql(CREATE, input).await["createContact"].clone();
    insta::assert_json_snapshot!(created, { ".contact.id" => "[id]" });
    let id = created["contact"]["id"].clone();

    let update = "mutation ($input: UpdateContactInput!) { updateContact(input: $input) { \
        contact { displayName version nickname emails { address } } userErrors { code field } } }";
    let changed = ada
        .gql(
            update,
            json!({ "input": { "id": id, "nickname": "Amazing Grace", "emails": [], "expectedVersion": 1 } }),
        )
        .await;
    assert_eq!(
        changed["updateContact"]["contact"],
        json!({ "displayName": "Grace Hopper", "version": 2, "nickname": "Amazing Grace", "emails": [] })
    );
    let late = ada
        .gql(
            update,
            json!({ "input": { "id": id, "nickname": null, "expectedVersion": 1 } }),
        )
        .await;
    assert_eq!(
        late["updateContact"]["userErrors"],
        json!([{ "code": "CONFLICT", "field": ["expectedVersion"] }])
    );

    let note = "mutation ($input: CreateNoteInput!) { createNote(input: $input) { \
        note { id body contact { displayName } } userErrors { code } } }";
    let noted = ada
        .gql(
            note,
            json!({ "input": { "contactId": id, "body": "Found the *bug*" } }),
        )
        .await;
    assert_eq!(noted["createNote"]["note"]["body"], "Found the *bug*");
    assert_eq!(
        noted["createNote"]["note"]["contact"]["displayName"],
        "Grace Hopper"
    );

    let read = "query ($id: ID!) { contact(id: $id) { notes(first: 1) { totalCount nodes { body } pageInfo { hasNextPage } } \
        tags { name } lastInteractionAt } node(id: $id) { __typename id } }";
    let data = ada.gql(read, json!({ "id": id })).await;
    assert_eq!(data["contact"]["notes"]["totalCount"], 1);
    assert_eq!(data["contact"]["tags"], json!([{ "name": "Friends" }]));
    assert_eq!(data["node"], json!({ "__typename": "Contact", "id": id }));

    let delete = "mutation ($input: DeleteContactInput!) { deleteContact(input: $input) { deletedContactId userErrors { code field } } }";
    let gone = ada.gql(delete, json!({ "input": { "id": id } })).await;
    assert_eq!(
        gone["deleteContact"],
        json!({ "deletedContactId": id, "userErrors": [] })
    );
    let again = ada.gql(delete, json!({ "input": { "id": id } })).await;
    assert_eq!(
        again["deleteContact"]["userErrors"],
        json!([{ "code": "NOT_FOUND", "field": ["id"] }])
    );
    assert_eq!(
        ada.gql(read, json!({ "id": id })).await,
        json!({ "contact": null, "node": null })
    );
}

#[actix_web::test]
async fn what_is_wrong_is_told_as_data() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let input = json!({ "input": {
        "givenName": "x".repeat(300),
        "emails": [{ "address": "nobody" }],
        "dates": [{ "kind": "BIRTHDAY", "date": { "month": 2, "day": 30 } }],
    }});
    insta::assert_json_snapshot!(ada.gql(CREATE, input).await);
    let count = ada.gql("{ contacts { totalCount } }", json!({})).await;
    assert_eq!(count["contacts"]["totalCount"], 0);
}

#[actix_web::test]
async fn a_page_of_fifty_costs_the_statements_of_a_page_of_one() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let mut csv =
        String::from("First Name,Labels,E-mail 1 - Value,Phone 1 - Value,Organization Name,Notes\n");
    for n in 0..60 {
        csv.push_str(&format!(
            "P{n},Tag {},p{n}@example.test,+1202555{n:04},Company {},note {n}\n",
            n % 7,
            n % 5
        ));
    }
    ada.import("contacts.csv", csv).await;
    let query = "query ($first: Int!) { contacts(first: $first) { totalCount nodes { displayName emails { address } \
        phones { e164 } tags { name } affiliations { company { name } } notes(first: 3) { totalCount nodes { body contact { id } } } } } }";
    let mut costs = Vec::new();
    // The first of all also fetches the owner's data key.
    ada.gql(query, json!({ "first": 1 })).await;
    for first in [1, 10, 50] {
        let before = app.db.statements();
        let data = ada.gql(query, json!({ "first": first })).await;
        assert_eq!(data["contacts"]["nodes"].as_array().unwrap().len(), first);
        assert_eq!(data["contacts"]["nodes"][0]["notes"]["totalCount"], 1);
        costs.push(app.db.statements() - before);
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
    assert!(costs[0] <= 10, "{costs:?}");
}

#[actix_web::test]
async fn pages_meet_both_ways() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let csv: String = (0..25).map(|n| format!("N{:02}\n", n)).collect();
    ada.import(
        "contacts.csv",
        format!("First Name,Labels\n{}", csv.replace('\n', ",\n")),
    )
    .await;
    let query = "query ($first: Int, $last: Int, $after: String, $before: String) { \
        contacts(first: $first, last: $last, after: $after, before: $before, orderBy: { field: NAME, direction: DESC }) { \
          nodes { displayName } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let names = |page: &Value| -> Vec<String> {
        page["contacts"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n["displayName"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = ada.gql(query, json!({ "first": 10 })).await;
    let second = ada
        .gql(
            query,
            json!({ "first": 10, "after": first["contacts"]["pageInfo"]["endCursor"] }),
        )
        .await;
    let third = ada
        .gql(
            query,
            json!({ "first": 10, "after": second["contacts"]["pageInfo"]["endCursor"] }),
        )
        .await;
    assert_eq!(names(&third).len(), 5);
    assert_eq!(third["contacts"]["pageInfo"]["hasNextPage"], false);
    let back = ada
        .gql(
            query,
            json!({ "last": 10, "before": third["contacts"]["pageInfo"]["startCursor"] }),
        )
        .await;
    assert_eq!(names(&back), names(&second));
    let all: Vec<String> = [&first, &second, &third].into_iter().flat_map(names).collect();
    assert_eq!(all, (0..25).rev().map(|n| format!("N{n:02}")).collect::<Vec<_>>());
}

#[actix_web::test]
async fn the_sample_operations_run() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let document = include_str!("../../../samples/operations.graphql");
    let variables = json!({ "first": 5, "text": "ada", "name": "Friends", "input": { "givenName": "Ada" } });
    let names: Vec<&str> = document
        .lines()
        .filter_map(|line| {
            line.strip_prefix("query ")
                .or_else(|| line.strip_prefix("mutation "))
        })
        .map(|rest| rest.split(['(', ' ']).next().unwrap())
        .collect();
    assert!(names.len() >= 6);
    for name in names {
        let request = app.post("/graphql").bearer_auth(&ada.token);
        let body = json!({ "query": document, "operationName": name, "variables": variables });
        let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
        assert!(answer.get("errors").is_none(), "{name}: {answer:#}");
        let errors = answer["data"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(|v| v.get("userErrors"));
        errors.for_each(|errors| assert_eq!(errors, &json!([]), "{name}"));
    }
}

#[actix_web::test]
async fn an_answer_is_bounded_in_bytes_too() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let contact = ada.gql(CREATE, json!({ "input": { "givenName": "Ada" } })).await;
    let id = contact["createContact"]["contact"]["id"].clone();
    let note = "mutation ($input: CreateNoteInput!) { createNote(input: $input) { note { id } userErrors { code } } }";
    let long = "\u{1F600}".repeat(100_000);
    let noted = ada
        .gql(note, json!({ "input": { "contactId": id, "body": long } }))
        .await;
    let ids = vec![noted["createNote"]["note"]["id"].clone(); 100];
    let fields: String = (0..10)
        .map(|n| format!("n{n}: nodes(ids: $ids) {{ ... on Note {{ body }} }} "))
        .collect();
    let answer = ada
        .answer(
            &format!("query ($ids: [ID!]!) {{ {fields} }}"),
            json!({ "ids": ids }),
        )
        .await;
    assert_eq!(
        answer["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX",
        "{answer}"
    );
    let one = ada
        .gql(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Note { body } } }",
            json!({ "ids": ids[..1] }),
        )
        .await;
    assert_eq!(one["nodes"][0]["body"].as_str().unwrap().len(), 400_000);
}
