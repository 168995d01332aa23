//! What the code around it promises.

use async_graphql::{ErrorExtensionValues, PathSegment};

use super::*;

fn extension(error: &ServerError, name: &str) -> String {
    let values = error.extensions.as_ref().and_then(|values| values.get(name));
    values.map_or_else(String::new, |value| {
        value.clone().into_json().unwrap().as_str().unwrap().to_owned()
    })
}

#[test]
fn an_error_without_a_code_stays_in_the_log() {
    let mut error = ServerError::new("relation \"contact\" does not exist", None);
    error.path = vec![PathSegment::Field("contact".to_owned())];
    error.extensions.get_or_insert_default().set("detail", "secret");
    let sealed = sealed(error);
    assert_eq!(sealed.message, "internal error");
    assert_eq!(extension(&sealed, "code"), "INTERNAL");
    assert!(Uuid::parse_str(&extension(&sealed, "id")).is_ok());
    assert_eq!(extension(&sealed, "detail"), "");
    assert_eq!(sealed.path.len(), 1);
}

#[test]
fn an_error_with_a_code_is_left_alone() {
    let mut error = ServerError::new("no", None);
    error.extensions = Some(ErrorExtensionValues::default());
    error.extensions.get_or_insert_default().set("code", "FORBIDDEN");
    assert_eq!(sealed(error.clone()), error);
}

#[test]
fn a_value_that_its_type_does_not_take_is_the_clients() {
    let wrong = async_graphql::InputValueError::<i32>::expected_type(async_graphql::Value::Null);
    let error = sealed(wrong.into_server_error(async_graphql::Pos::default()));
    assert_eq!(extension(&error, "code"), "BAD_USER_INPUT");
    // The same words from somewhere else are not trusted.
    let mut error = ServerError::new("Failed to parse \"Secret\": x", None);
    error.source = Some(Arc::new(0));
    assert_eq!(extension(&sealed(error), "code"), "INTERNAL");
}

#[test]
fn parameters_are_typed() {
    let read = |json: &str| Params::from_json(json.as_bytes()).map_err(|refusal| refusal.code());
    let params = read(r#"{"query": "{ a }", "operationName": null, "variables": null, "other": 1}"#).unwrap();
    assert_eq!((params.query.as_str(), params.operation_name), ("{ a }", None));
    for wrong in [
        r#"{}"#,
        r#"{"query": ["{ a }"]}"#,
        r#"{"query": "{ a }", "operationName": 1}"#,
        r#"{"query": "{ a }", "variables": []}"#,
        r#"{"query": "{ a }", "extensions": "x"}"#,
        "{\"query\": \"{ a }\"",
    ] {
        assert_eq!(read(wrong).err(), Some(Code::BadRequest), "{wrong}");
    }
    assert_eq!(read("[]").err(), Some(Code::BatchingNotSupported));
    assert_eq!(
        Params::from_json(b"{\"query\": \"\xff\"}").unwrap_err().code(),
        Code::BadRequest
    );
    let nested = format!(r#"{{"query": "{{ a }}", "variables": {}"#, "[".repeat(100_000));
    assert_eq!(read(&nested).err(), Some(Code::BadRequest));
    let got = Params::from_query("query=%7Ba%7D&variables=%7B%22n%22%3A1%7D&extensions=").unwrap();
    assert_eq!((got.query.as_str(), got.variables.len()), ("{a}", 1));
}
