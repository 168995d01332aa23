//! A client that stops in the middle of its file holds nothing, and leaves nothing when it goes.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::graphql_http::{import, to_file};
use crate::support::{TestApp, eventually};

/// The head of an upload that announces more than it sends, and the beginning of its file.
fn half_an_upload(token: &str) -> String {
    let part = |name: &str, more: &str, body: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{body}")
    };
    let operations = part("operations", "", &import().to_string());
    let map = part("map", "", &to_file().to_string());
    let file = part(
        "0",
        "; filename=\"contacts.csv\"",
        &"First Name,Labels\r\n".repeat(40_000),
    );
    format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nGraphQL-Require-Preflight: 1\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 10000000\r\n\r\n{operations}\r\n{map}\r\n{file}"
    )
}

#[actix_web::test]
async fn half_an_upload_holds_no_transaction_and_goes_with_its_client() {
    let app = TestApp::start().await;
    let ada = app.as_user("ada").await;
    let address = app.url.strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(half_an_upload(&ada.token).as_bytes())
        .await
        .unwrap();
    // Two whole pieces have been sent; what came of the third waits for its rest.
    eventually("the pieces of the file", async || {
        (app.count("SELECT count(*) FROM upload_chunk").await == 2).then_some(())
    })
    .await;
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'api' AND state <> 'idle'";
    eventually("nothing open", async || {
        (app.count(open).await == 0).then_some(())
    })
    .await;
    assert_eq!(app.count("SELECT count(*) FROM upload").await, 1);
    // Its owner's other requests do not wait for it.
    let create = "mutation { createTag(input: { name: \"Friends\" }) { tag { id } } }";
    ada.gql(create, json!({})).await;

    drop(client);
    eventually("nothing left", async || {
        (app.count("SELECT count(*) FROM upload").await == 0).then_some(())
    })
    .await;
    assert_eq!(app.count("SELECT count(*) FROM upload_chunk").await, 0);
    let imports = ada.gql("{ imports { totalCount } }", json!({})).await;
    assert_eq!(imports["imports"]["totalCount"], 0);
}
