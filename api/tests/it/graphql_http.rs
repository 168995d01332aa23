//! `/graphql` over HTTP: what a client may send, what it gets back, and what is refused before it costs anything.

use std::fmt::Write;

use reqwest::{
    Body, Client, Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE},
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::support::TestApp;

const MODERN: &str = "application/graphql-response+json";
/// An upload as the schema has it.
const IMPORT: &str = "mutation($file: Upload!) { importContacts(file: $file) { __typename } }";

/// Where the server is, and who asks.
pub struct Api {
    pub url: String,
    pub token: String,
    pub client: Client,
}

impl Api {
    /// That application, asked by somebody.
    pub async fn of(app: &TestApp) -> Self {
        let token = app.as_user("ada").await.token;
        Self {
            url: format!("{}/graphql", app.url),
            token,
            client: app.client.clone(),
        }
    }

    pub fn request(&self, method: Method) -> RequestBuilder {
        self.client.request(method, &self.url).bearer_auth(&self.token)
    }

    pub fn post(&self, body: Value) -> RequestBuilder {
        self.request(Method::POST).header(ACCEPT, MODERN).json(&body)
    }

    pub fn raw(&self, body: impl Into<Body>) -> RequestBuilder {
        self.request(Method::POST)
            .header(ACCEPT, MODERN)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    }

    pub async fn ask(&self, query: impl Into<String>) -> (StatusCode, Value) {
        answer(self.post(json!({ "query": query.into() }))).await
    }

    pub fn upload(&self, form: Form) -> RequestBuilder {
        let request = self.request(Method::POST).header(ACCEPT, MODERN);
        request.header("GraphQL-Require-Preflight", "1").multipart(form)
    }

    pub async fn assert_alive(&self) {
        let (status, body) = self.ask("{ __typename }").await;
        assert_eq!(status, 200, "{body}");
    }
}

pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

pub fn code(body: &Value) -> &str {
    body["errors"][0]["extensions"]["code"]
        .as_str()
        .unwrap_or_default()
}

/// The request is refused with this status and code, and nothing is executed.
pub async fn refused(request: RequestBuilder, status: u16, expected: &str) -> Value {
    let (actual, body) = answer(request).await;
    assert_eq!((actual.as_u16(), code(&body)), (status, expected), "{body}");
    assert!(body.get("data").is_none(), "{body}");
    body
}

pub fn form(operations: Value, map: Value) -> Form {
    Form::new()
        .text("operations", operations.to_string())
        .text("map", map.to_string())
}

pub fn import() -> Value {
    json!({ "query": IMPORT, "variables": { "file": null } })
}

pub fn to_file() -> Value {
    json!({ "0": ["variables.file"] })
}

fn header(response: &Response, name: reqwest::header::HeaderName) -> &str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[actix_web::test]
async fn a_stranger_is_told_to_bring_a_token() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    for method in [Method::GET, Method::POST] {
        let request = api
            .client
            .request(method, format!("{}?query={{__typename}}", api.url));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(header(&response, WWW_AUTHENTICATE), "Bearer");
        assert_eq!(code(&response.json().await.unwrap()), "UNAUTHENTICATED");
    }
    let stranger = Api {
        token: "nonsense".to_owned(),
        ..Api::of(&app).await
    };
    refused(
        stranger.post(json!({ "query": "{ __typename }" })),
        401,
        "UNAUTHENTICATED",
    )
    .await;
    // A stranger's upload is not read.
    refused(stranger.upload(form(import(), to_file())), 401, "UNAUTHENTICATED").await;
}

#[actix_web::test]
async fn answers_are_typed_and_not_kept() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    for (accept, expected) in [
        (MODERN, "application/graphql-response+json; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
        (
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/json; charset=utf-8",
        ),
    ] {
        let request = api
            .request(Method::POST)
            .header(ACCEPT, accept)
            .json(&json!({ "query": "{__typename}" }));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, CONTENT_TYPE), expected);
        assert_eq!(header(&response, CACHE_CONTROL), "no-store");
    }
    let html = api
        .request(Method::POST)
        .header(ACCEPT, "text/html")
        .json(&json!({ "query": "{__typename}" }));
    refused(html, 406, "NOT_ACCEPTABLE").await;
}

#[actix_web::test]
async fn get_reads_and_never_writes() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let get = |query: &str| {
        api.request(Method::GET)
            .query_pairs(&api.url, &[("query", query)])
    };
    let (status, body) = answer(get("{ __typename }")).await;
    assert_eq!(
        (status.as_u16(), &body["data"]["__typename"]),
        (200, &json!("Query"))
    );
    for accept in [MODERN, "application/json"] {
        let response = get("mutation { __typename }")
            .header(ACCEPT, accept)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(header(&response, ALLOW), "POST");
        assert_eq!(code(&response.json().await.unwrap()), "METHOD_NOT_ALLOWED");
    }
    let put = api
        .request(Method::PUT)
        .json(&json!({ "query": "{ __typename }" }))
        .send()
        .await
        .unwrap();
    assert_eq!((put.status().as_u16(), header(&put, ALLOW)), (405, "GET, POST"));
    let twice = api
        .request(Method::GET)
        .query_pairs(&api.url, &[("query", "{a}"), ("query", "{b}")]);
    refused(twice, 400, "BAD_REQUEST").await;
    let variables = [("query", "{ __typename }"), ("variables", "[1]")];
    refused(
        api.request(Method::GET).query_pairs(&api.url, &variables),
        400,
        "BAD_REQUEST",
    )
    .await;
}

/// `RequestBuilder::query` needs a feature that nothing else here does.
trait QueryPairs {
    fn query_pairs(self, url: &str, pairs: &[(&str, &str)]) -> Self;
}

impl QueryPairs for RequestBuilder {
    fn query_pairs(self, url: &str, pairs: &[(&str, &str)]) -> Self {
        let (client, request) = self.build_split();
        let mut request = request.unwrap();
        *request.url_mut() = reqwest::Url::parse_with_params(url, pairs).unwrap();
        Self::from_parts(client, request)
    }
}

#[actix_web::test]
async fn only_json_is_read() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let query = r#"{"query": "{ __typename }"}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
    ] {
        let request = api
            .request(Method::POST)
            .header(CONTENT_TYPE, content_type)
            .body(query);
        refused(request, 415, "UNSUPPORTED_MEDIA_TYPE").await;
    }
    refused(
        api.request(Method::POST).body(query),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )
    .await;
    refused(
        api.raw(query).header(CONTENT_ENCODING, "gzip"),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )
    .await;
}

#[actix_web::test]
async fn bad_bodies_are_named_and_not_repeated() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let body = refused(
        api.raw(r#"{"query": "{ a }", "secret": hunter2}"#),
        400,
        "BAD_REQUEST",
    )
    .await;
    let message = body["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("line 1, column") && !message.contains("hunter2"),
        "{message}"
    );
    for body in [
        "",
        "null",
        "1",
        "\"{ __typename }\"",
        "{}",
        "[[[",
        r#"{"query": 1}"#,
    ] {
        refused(api.raw(body), 400, "BAD_REQUEST").await;
    }
    refused(
        api.raw(&b"{\"query\": \"{ a(b: \\\"\xff\\\") }\"}"[..]),
        400,
        "BAD_REQUEST",
    )
    .await;
    refused(
        api.raw(r#"[{"query": "{ __typename }"}]"#),
        400,
        "BATCHING_NOT_SUPPORTED",
    )
    .await;
    for (name, value) in [
        ("operationName", json!(1)),
        ("variables", json!([])),
        ("variables", json!("{}")),
        ("extensions", json!(1)),
    ] {
        refused(
            api.post(json!({ "query": "{ __typename }", name: value })),
            400,
            "BAD_REQUEST",
        )
        .await;
    }
}

#[actix_web::test]
async fn big_bodies_are_refused() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let big = json!({ "query": "{ __typename }", "variables": { "x": "x".repeat(1024 * 1024) } }).to_string();
    refused(api.raw(big.clone()), 413, "PAYLOAD_TOO_LARGE").await;
    // Without a length to look at, it is counted.
    let pieces: Vec<_> = big
        .into_bytes()
        .chunks(16 * 1024)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    let stream = Body::wrap_stream(futures::stream::iter(pieces));
    refused(api.raw(stream), 413, "PAYLOAD_TOO_LARGE").await;
    api.assert_alive().await;
}

#[actix_web::test]
async fn each_wrong_document_has_its_code() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    for (query, expected) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ a(b: \"x) }", "GRAPHQL_PARSE_FAILED"),
        ("{ surelyNoSuchField }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ ...Missing }", "GRAPHQL_VALIDATION_FAILED"),
        (
            "{ ...A } fragment A on Query { ...A }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "query A { __typename } query B { __typename }",
            "OPERATION_RESOLUTION_FAILURE",
        ),
        ("subscription { __typename }", "OPERATION_RESOLUTION_FAILURE"),
    ] {
        let body = refused(api.post(json!({ "query": query })), 400, expected).await;
        assert!(!body.to_string().contains("Did you mean"), "{body}");
        let legacy = api.request(Method::POST).json(&json!({ "query": query }));
        refused(legacy, 200, expected).await;
    }
    let unknown = json!({ "query": "query A { __typename }", "operationName": "B" });
    refused(api.post(unknown), 400, "OPERATION_RESOLUTION_FAILURE").await;
    let both =
        json!({ "query": "query A { a: __typename } query B { b: __typename }", "operationName": "B" });
    let (status, body) = answer(api.post(both)).await;
    assert_eq!((status.as_u16(), &body["data"]), (200, &json!({ "b": "Query" })));
}

#[actix_web::test]
async fn variables_are_checked_before_anything_runs() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let query = "query($yes: Boolean!) { ... @include(if: $yes) { a: __typename } ... @skip(if: $yes) { b: __typename } }";
    for variables in [
        json!({}),
        json!({ "yes": null }),
        json!({ "yes": "true" }),
        json!({ "yes": [true] }),
    ] {
        let body = refused(
            api.post(json!({ "query": query, "variables": variables })),
            400,
            "BAD_USER_INPUT",
        )
        .await;
        assert_eq!(body["errors"][0]["extensions"]["variable"], "yes");
    }
    // The same document again, now from memory, is still checked; and runs with each request's own values.
    for (yes, key) in [(true, "a"), (false, "b"), (true, "a")] {
        let (status, body) = answer(api.post(json!({ "query": query, "variables": { "yes": yes } }))).await;
        assert_eq!((status.as_u16(), &body["data"]), (200, &json!({ key: "Query" })));
        let wrong = json!({ "query": query, "variables": { "yes": 1 } });
        refused(api.post(wrong), 400, "BAD_USER_INPUT").await;
    }
}

#[actix_web::test]
async fn defaults_of_variables_count_for_directives_too() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let (_, body) = api
        .ask("query($yes: Boolean = true) { ... @include(if: $yes) { a: __typename } }")
        .await;
    assert_eq!(body["data"], json!({ "a": "Query" }));
}

#[actix_web::test]
async fn costly_documents_are_refused() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let mut fragments = "{ ...F0 } fragment F24 on Query { __typename }".to_owned();
    for n in 0..24 {
        write!(
            fragments,
            " fragment F{n} on Query {{ ...F{m} ...F{m} }}",
            m = n + 1
        )
        .unwrap();
    }
    let deep = "{ a ".repeat(15_000);
    for (query, limit) in [
        (fragments.clone(), "fields"),
        (fragments.replace("{ ...F0 }", "{ __typename }"), "fields"),
        (deep, "open brackets"),
        (format!("{{ a(x: {}", "[".repeat(60_000)), "open brackets"),
        (format!("{{ a(x: {}", "{a:".repeat(20_000)), "open brackets"),
        (format!("{{ {} }}", "a: __typename ".repeat(60)), "aliases"),
        (
            format!("{{ __typename {} }}", "@skip(if: true) ".repeat(60)),
            "directives in one place",
        ),
        (format!("{{ {} }}", "__typename ".repeat(6_000)), "bytes"),
        (format!("{{ {} }}", "a ".repeat(6_000)), "tokens"),
    ] {
        let body = refused(api.post(json!({ "query": query })), 400, "QUERY_TOO_COMPLEX").await;
        assert_eq!(body["errors"][0]["extensions"]["limit"], limit);
        assert!(body["errors"][0]["extensions"]["maximum"].is_u64());
    }
    let open = "[".repeat(100_000);
    let body = format!(r#"{{"query": "{{ __typename }}", "variables": {{"x": {open}"#);
    refused(api.raw(body), 400, "BAD_REQUEST").await;
    let nested = format!(
        r#"{{"query": "{{ __typename }}", "variables": {{"x": {}{}}}}}"#,
        "[".repeat(60),
        "]".repeat(60)
    );
    refused(api.raw(nested), 400, "QUERY_TOO_COMPLEX").await;
    api.assert_alive().await;
}

#[actix_web::test]
async fn an_upload_is_checked_before_its_file() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let file = || Part::bytes(b"a,b\n1,2\n".to_vec()).file_name("contacts.csv");
    let without_header = api
        .request(Method::POST)
        .multipart(form(import(), to_file()).part("0", file()));
    refused(without_header, 403, "PREFLIGHT_REQUIRED").await;

    let query = json!({ "query": "{ __typename }", "variables": { "file": null } });
    for (what, form) in [
        (
            "map first",
            Form::new()
                .text("map", "{}")
                .text("operations", "{}")
                .part("0", file()),
        ),
        (
            "no map",
            Form::new()
                .text("operations", import().to_string())
                .part("0", file()),
        ),
        ("nothing", Form::new().text("x", "y")),
        ("an empty map", form(import(), json!({})).part("0", file())),
        (
            "two files",
            form(import(), json!({ "0": ["variables.a"], "1": ["variables.b"] })).part("0", file()),
        ),
        (
            "a path to nothing",
            form(import(), json!({ "0": ["variables.other"] })).part("0", file()),
        ),
        ("a path to a value", {
            let filled = json!({ "query": IMPORT, "variables": { "file": "x" } });
            form(filled, to_file()).part("0", file())
        }),
        ("the file missing", form(import(), to_file())),
        (
            "a part that nobody asked for",
            form(import(), to_file()).part("0", file()).text("x", "y"),
        ),
        ("another name", form(import(), to_file()).part("1", file())),
        (
            "the file twice",
            form(import(), to_file()).part("0", file()).part("0", file()),
        ),
        ("a query", form(query, to_file()).part("0", file())),
        (
            "malformed operations",
            Form::new()
                .text("operations", "{")
                .text("map", to_file().to_string()),
        ),
    ] {
        let (status, body) = answer(api.upload(form)).await;
        assert_eq!(
            (status.as_u16(), code(&body)),
            (400, "BAD_REQUEST"),
            "{what}: {body}"
        );
    }
    let batch = Form::new()
        .text("operations", json!([import()]).to_string())
        .text("map", to_file().to_string());
    refused(api.upload(batch), 400, "BATCHING_NOT_SUPPORTED").await;
    let long = form(
        json!({ "query": format!("{IMPORT} # {}", "x".repeat(70_000)) }),
        to_file(),
    );
    refused(api.upload(long.part("0", file())), 413, "PAYLOAD_TOO_LARGE").await;
    let unknown = json!({ "query": "mutation($input: X) { x }", "variables": { "file": null } });
    refused(
        api.upload(form(unknown, to_file()).part("0", file())),
        400,
        "GRAPHQL_VALIDATION_FAILED",
    )
    .await;
}

#[actix_web::test]
async fn nobody_can_name_a_file_that_is_not_sent() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    for value in [
        json!("0"),
        json!(0),
        json!([0]),
        json!(null),
        json!("#__graphql_file__:0"),
    ] {
        let request = json!({ "query": IMPORT, "variables": { "file": value } });
        refused(api.post(request), 400, "BAD_USER_INPUT").await;
    }
    let literal = "mutation { importContacts(file: \"0\") { __typename } }";
    refused(
        api.post(json!({ "query": literal })),
        400,
        "GRAPHQL_VALIDATION_FAILED",
    )
    .await;
}

#[actix_web::test]
async fn a_file_that_is_too_large_is_refused() {
    let app = TestApp::start().await;
    let api = Api::of(&app).await;
    let megabytes = |n: usize| {
        let pieces = (0..n).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1024 * 1024]));
        Part::stream(Body::wrap_stream(futures::stream::iter(pieces))).file_name("big.csv")
    };
    // The client may be cut off while it still sends; what matters is that it is not told that all is well.
    match api
        .upload(form(import(), to_file()).part("0", megabytes(102)))
        .send()
        .await
    {
        Ok(response) => {
            assert_eq!(response.status(), 413);
            assert_eq!(code(&response.json().await.unwrap()), "PAYLOAD_TOO_LARGE");
        }
        Err(error) => assert!(error.is_request() || error.is_body(), "{error:?}"),
    }
    api.assert_alive().await;
}
