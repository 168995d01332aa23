//! What the code around it promises.

use async_graphql::value;

use super::*;

fn map(json: &str) -> Result<FileMap, Refusal> {
    FileMap::parse(json.as_bytes(), 1)
}

fn placed(path: &str, variables: Value) -> Option<Value> {
    let mut variables = Variables::from_value(variables);
    let map = FileMap(vec![("0".to_owned(), path.to_owned())]);
    map.place(&mut variables).ok().map(|()| variables.into_value())
}

#[test]
fn a_map_names_one_variable_for_each_file() {
    let entries = vec![("0".to_owned(), "variables.file".to_owned())];
    assert_eq!(map(r#"{"0": ["variables.file"]}"#).unwrap(), FileMap(entries));
    for wrong in [
        "",
        "[]",
        "{}",
        r#"{"0": "variables.file"}"#,
        r#"{"0": []}"#,
        r#"{"0": ["variables.a", "variables.b"]}"#,
        r#"{"0": ["variables.a"], "1": ["variables.b"]}"#,
    ] {
        assert_eq!(map(wrong).unwrap_err().code(), Code::BadRequest, "{wrong}");
    }
}

#[test]
fn a_file_takes_the_place_of_a_null() {
    let file = || Value::Binary(Bytes::from_static(&[0]));
    let top = placed("variables.file", value!({ "file": null })).unwrap();
    assert_eq!(
        top,
        Value::Object([(async_graphql::Name::new("file"), file())].into_iter().collect())
    );
    let nested = placed(
        "variables.input.file",
        value!({ "input": { "file": null, "a": 1 } }),
    );
    assert!(nested.is_some());
    assert!(placed("variables.files.1", value!({ "files": [null, null] })).is_some());
    for (path, variables) in [
        ("variables.file", value!({})),
        ("variables.file", value!({ "file": "x" })),
        ("variables.file.x", value!({ "file": null })),
        ("variables.files.2", value!({ "files": [null] })),
        ("variables", value!({ "variables": null })),
        ("file", value!({ "file": null })),
        ("0.variables.file", value!({ "file": null })),
        ("variables.", value!({ "file": null })),
    ] {
        assert_eq!(placed(path, variables), None, "{path}");
    }
}

#[test]
fn nobody_but_the_reader_can_name_a_file() {
    for value in [value!("0"), value!(0), value!([0]), value!({ "0": 0 })] {
        assert!(!<Upload as ScalarType>::is_valid(&value));
        assert!(<Upload as ScalarType>::parse(value).is_err());
    }
    let from_json: Value = serde_json::from_str("[0]").unwrap();
    assert!(!matches!(from_json, Value::Binary(_)));
    assert_eq!(
        <Upload as ScalarType>::parse(Value::Binary(Bytes::from_static(&[3]))).unwrap(),
        Upload(3)
    );
}

#[test]
fn an_upload_needs_a_header_that_no_form_can_send() {
    let with = |name: &'static str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::HeaderName::from_static(name), value.parse().unwrap());
        demand_preflight(&headers)
    };
    assert!(with("graphql-require-preflight", "1").is_ok());
    assert!(with("apollo-require-preflight", "true").is_ok());
    assert!(with("x-requested-with", "XMLHttpRequest").is_ok());
    assert_eq!(
        with("graphql-require-preflight", "").unwrap_err().code(),
        Code::PreflightRequired
    );
    assert_eq!(
        with("origin", "https://example.test").unwrap_err().code(),
        Code::PreflightRequired
    );
}
