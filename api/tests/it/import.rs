//! A contact file goes in through the API, the worker imports it, and only its owner reads it back.

use serde_json::{Value, json};

use crate::support::TestApp;

const SAMPLE: &[u8] = include_bytes!("../../../samples/google-contacts.csv");

#[actix_web::test]
async fn the_sample_goes_in_once_and_only_its_owner_reads_it() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.as_user("ada").await, app.as_user("bob").await);
    let first = ada.import("google-contacts.csv", SAMPLE).await;
    assert_eq!(
        (&first["state"], &first["progress"]),
        (&json!("COMPLETED"), &json!(1.0))
    );
    let counts = &first["counts"];
    assert_eq!(counts["total"], 200, "{counts}");
    assert_eq!(counts["rejected"], 0, "{counts}");

    let count = "{ contacts { totalCount } }";
    let total = ada.gql(count, json!({})).await;
    assert_eq!(total["contacts"]["totalCount"], counts["created"]);
    assert_eq!(bob.gql(count, json!({})).await["contacts"]["totalCount"], 0);

    let second = ada.import("google-contacts.csv", SAMPLE).await;
    assert_eq!(
        second["counts"],
        json!({ "total": 200, "created": 0, "updated": 0, "skipped": 200, "rejected": 0 })
    );
    assert_eq!(ada.gql(count, json!({})).await, total);

    let query = "query ($id: ID!) { import(id: $id) { rows(first: 2) { totalCount nodes { row line outcome code contact { id } } } } }";
    let rows = ada.gql(query, json!({ "id": second["id"] })).await;
    assert_eq!(rows["import"]["rows"]["totalCount"], 200);
    assert_eq!(rows["import"]["rows"]["nodes"][0]["code"], "ALREADY_IMPORTED");
    assert!(rows["import"]["rows"]["nodes"][0]["contact"]["id"].is_string());
    assert_eq!(
        bob.gql(query, json!({ "id": second["id"] })).await,
        json!({ "import": null })
    );
}

#[actix_web::test]
async fn bad_rows_are_told_and_the_others_go_in() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let csv = format!(
        "First Name,E-mail 1 - Value,Labels\nAda,ada@example.test,\n,,\nBob,bob@example.test,,,,surplus\nCy,{},\nDi,di@example.test,\n",
        "x".repeat(300_000)
    );
    let import = ada.import("contacts.csv", csv).await;
    assert_eq!(import["state"], "COMPLETED");
    let query = "query ($id: ID!) { import(id: $id) { counts { total created updated skipped rejected } \
        rows(outcome: REJECTED) { totalCount nodes { row line code message column } } } }";
    insta::assert_json_snapshot!(ada.gql(query, json!({ "id": import["id"] })).await);
}

#[actix_web::test]
async fn what_is_no_contact_file_fails_clearly_and_leaves_nothing() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let noise: Vec<u8> = (0..200_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for (content, code) in [
        (noise, "NOT_TEXT"),
        (Vec::new(), "EMPTY_FILE"),
        (b"First Name,Labels,E-mail 1 - Value\n".to_vec(), "NO_ROWS"),
        (b"one,two,three\n1,2,3\n".to_vec(), "NOT_GOOGLE"),
        (vec![b'x'; 10 * 1024 * 1024], "NO_HEADER"),
    ] {
        let import = ada.import("file.csv", content).await;
        assert_eq!(
            (&import["state"], &import["errorCode"]),
            (&json!("FAILED"), &json!(code))
        );
    }
    let left = ada
        .gql("{ contacts { totalCount } imports { totalCount } }", json!({}))
        .await;
    assert_eq!(
        left,
        json!({ "contacts": { "totalCount": 0 }, "imports": { "totalCount": 5 } })
    );
    assert_eq!(uploads(&app).await, 0);
}

async fn uploads(app: &TestApp) -> i64 {
    use sqlx::Connection;
    let mut admin = sqlx::PgConnection::connect(app.database.admin_url().as_str())
        .await
        .unwrap();
    sqlx::query_scalar("SELECT count(*) FROM upload")
        .fetch_one(&mut admin)
        .await
        .unwrap()
}

#[actix_web::test]
async fn ten_megabytes_in_one_cell_reject_that_row_alone() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let csv = format!(
        "First Name,Labels,Notes\nAda,,\nBig,,{}\nCy,,\n",
        "x".repeat(10 * 1024 * 1024)
    );
    let import = ada.import("contacts.csv", csv).await;
    assert_eq!(
        import["counts"],
        json!({ "total": 3, "created": 2, "updated": 0, "skipped": 0, "rejected": 1 })
    );
}

#[actix_web::test]
async fn an_endless_upload_is_cut_and_forgotten() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let piece = bytes::Bytes::from(vec![b'x'; 1024 * 1024]);
    let endless = futures::stream::iter((0..1024).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    // Either the answer arrives, or the connection ends before all was sent.
    let request = ada.upload_raw(reqwest::Body::wrap_stream(endless)).await;
    if let Ok(response) = request {
        assert_eq!(response.status(), 413);
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["code"], "PAYLOAD_TOO_LARGE");
    }
    for _ in 0..100 {
        if uploads(&app).await == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(uploads(&app).await, 0);
    assert_eq!(
        ada.gql("{ imports { totalCount } }", json!({})).await["imports"]["totalCount"],
        0
    );
}

#[actix_web::test]
async fn a_row_is_not_written_many_times_longer_than_it_is() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let columns: Vec<String> = (0..400).map(|n| format!("{n}{}", "x".repeat(190))).collect();
    let csv = format!(
        "First Name,Labels,{}\nAda,,{}\nBob\n",
        columns.join(","),
        vec!["y"; 400].join(",")
    );
    let import = ada.import("contacts.csv", csv).await;
    assert_eq!(
        import["counts"],
        json!({ "total": 2, "created": 1, "updated": 0, "skipped": 0, "rejected": 1 })
    );
}

#[actix_web::test]
async fn what_a_full_list_has_no_room_for_is_noted() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let rows: String = (0..150)
        .map(|n| format!("Ada,ada@example.test,+1202555{n:04}\n"))
        .collect();
    ada.import(
        "contacts.csv",
        format!("First Name,E-mail 1 - Value,Phone 1 - Value\n{rows}"),
    )
    .await;
    let data = ada
        .gql(
            "{ contacts { nodes { phones { number } notes(first: 100) { totalCount nodes { body } } } } }",
            json!({}),
        )
        .await;
    let contact = &data["contacts"]["nodes"][0];
    assert_eq!(data["contacts"]["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(contact["phones"].as_array().unwrap().len(), 100);
    assert_eq!(contact["notes"]["totalCount"], 50);
    assert!(
        contact["notes"]["nodes"]
            .to_string()
            .contains("Phone: +12025550149")
    );
}

#[actix_web::test]
async fn only_so_many_files_wait_at_once() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    for n in 0..7 {
        let answer: Value = ada.upload("contacts.csv", SAMPLE).await.json().await.unwrap();
        match n {
            0..5 => assert!(
                answer["data"]["importContacts"]["import"]["id"].is_string(),
                "{answer}"
            ),
            _ => assert_eq!(answer["errors"][0]["extensions"]["code"], "TOO_MANY", "{answer}"),
        }
    }
    app.run_jobs().await;
    assert_eq!(ada.import("contacts.csv", SAMPLE).await["state"], "COMPLETED");
}
