//! What the code around it promises.

use super::*;

fn headers(name: HeaderName, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().unwrap());
    headers
}

fn accept(value: &str) -> Option<Format> {
    answer_format(&headers(header::ACCEPT, value))
}

#[test]
fn the_answer_is_what_the_client_prefers() {
    assert_eq!(answer_format(&HeaderMap::new()), Some(Format::Json));
    assert_eq!(accept("*/*"), Some(Format::Json));
    assert_eq!(accept("application/*"), Some(Format::Json));
    assert_eq!(accept("application/json"), Some(Format::Json));
    assert_eq!(
        accept("Application/GraphQL-Response+JSON"),
        Some(Format::GraphqlResponse)
    );
    assert_eq!(
        accept("application/graphql-response+json, application/json"),
        Some(Format::GraphqlResponse)
    );
    assert_eq!(
        accept("application/graphql-response+json;q=0.5, application/json;q=0.9"),
        Some(Format::Json)
    );
    assert_eq!(
        accept("text/html,application/xhtml+xml,*/*;q=0.8"),
        Some(Format::Json)
    );
}

#[test]
fn what_is_not_accepted_is_not_sent() {
    assert_eq!(accept("text/html"), None);
    assert_eq!(accept("application/json;q=0"), None);
    assert_eq!(accept("application/json;q=0, */*"), None);
    assert_eq!(accept("application/json; charset=iso-8859-1"), None);
    assert_eq!(accept("application/json;q=x"), None);
}

#[test]
fn only_json_and_uploads_are_read() {
    let body = |value| body_type(&headers(header::CONTENT_TYPE, value));
    assert_eq!(body("application/json"), Some(BodyType::Json));
    assert_eq!(body("application/json; charset=UTF-8"), Some(BodyType::Json));
    assert_eq!(body("application/json; charset=utf-16"), None);
    assert_eq!(body("text/plain"), None);
    assert_eq!(body("application/x-www-form-urlencoded"), None);
    assert_eq!(body("multipart/form-data"), None);
    let boundary = "b".to_owned();
    assert_eq!(
        body("multipart/form-data; boundary=b"),
        Some(BodyType::Multipart { boundary })
    );
    assert_eq!(body_type(&HeaderMap::new()), None);
    let mut packed = headers(header::CONTENT_TYPE, "application/json");
    packed.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
    assert_eq!(body_type(&packed), None);
}

#[test]
fn the_legacy_format_hides_graphql_errors_behind_a_200() {
    assert_eq!(Code::ParseFailed.status(Format::Json), StatusCode::OK);
    assert_eq!(
        Code::ParseFailed.status(Format::GraphqlResponse),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        Code::Unauthenticated.status(Format::Json),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(Code::BadRequest.status(Format::Json), StatusCode::BAD_REQUEST);
}
