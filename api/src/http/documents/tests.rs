//! What the code around it promises.

use async_graphql::{EmptySubscription, Error, Object, value};

use super::*;

struct Query;
struct Mutation;
struct Thing;

#[Object]
impl Thing {
    async fn id(&self) -> i32 {
        1
    }
    async fn maybe(&self) -> Result<Option<i32>, Error> {
        Err(Error::new("maybe"))
    }
    async fn always(&self) -> Result<i32, Error> {
        Err(Error::new("always"))
    }
}

#[Object]
impl Query {
    async fn thing(&self) -> Option<Thing> {
        Some(Thing)
    }
    async fn sure(&self) -> Thing {
        Thing
    }
    async fn things(&self) -> Option<Vec<Thing>> {
        Some(vec![Thing, Thing])
    }
    async fn perhaps(&self) -> Vec<Option<Thing>> {
        vec![Some(Thing), None]
    }
    async fn even(&self, n: Even) -> i32 {
        n.0
    }
    async fn many(&self, n: Vec<Even>) -> usize {
        n.len()
    }
}

#[Object]
impl Mutation {
    async fn stop(&self) -> Result<bool, Error> {
        Err(Error::new("a validation must never come here"))
    }
}

struct Even(i32);

#[async_graphql::Scalar]
impl async_graphql::ScalarType for Even {
    fn parse(value: Value) -> async_graphql::InputValueResult<Self> {
        match value {
            Value::Number(number) if number.as_i64().is_some_and(|n| n % 2 == 0) => {
                Ok(Self(number.as_i64().and_then(|n| n.try_into().ok()).unwrap_or(0)))
            }
            other => Err(async_graphql::InputValueError::expected_type(other)),
        }
    }
    fn to_value(&self) -> Value {
        self.0.into()
    }
}

fn documents(size: CacheSize) -> Documents {
    let builder = Schema::build(Query, Mutation, EmptySubscription);
    Documents::new(builder, &Limits::default(), size)
        .unwrap()
        .scalar::<Even>()
}

async fn valid(documents: &Documents, text: &str) -> Result<Arc<Document>, Refusal> {
    let document = documents.parse(text, &Limits::default())?;
    documents
        .validate(&document, None, &Variables::default(), false)
        .await?;
    Ok(document)
}

#[tokio::test]
async fn a_valid_document_is_remembered_and_an_invalid_one_is_not() {
    let documents = documents(CacheSize::default());
    let first = valid(&documents, "{ thing { id } }").await.unwrap();
    let again = documents.parse("{ thing { id } }", &Limits::default()).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let refusal = valid(&documents, "{ thin { id } }").await.err().unwrap();
    assert_eq!(refusal.code(), Code::ValidationFailed);
    assert!(!format!("{refusal:?}").contains("Did you mean"));
    let cache = documents.cache.lock().unwrap();
    assert_eq!((cache.young.len(), cache.bytes), (1, "{ thing { id } }".len()));
}

#[tokio::test]
async fn memory_is_bounded_by_count_and_bytes() {
    let few = documents(CacheSize {
        documents: 4,
        bytes: 1 << 20,
    });
    let small = documents(CacheSize {
        documents: 1000,
        bytes: 200,
    });
    for n in 0..50 {
        for documents in [&few, &small] {
            valid(documents, &format!("{{ a{n}: thing {{ id }} }}"))
                .await
                .unwrap();
            valid(documents, "{ thing { id } }").await.unwrap();
        }
    }
    for (documents, most) in [(&few, 4), (&small, 10)] {
        let cache = documents.cache.lock().unwrap();
        assert!(cache.young.len() + cache.old.len() <= most);
        let used = cache.young.contains_key("{ thing { id } }") || cache.old.contains_key("{ thing { id } }");
        assert!(used, "what is used stays");
    }
    valid(&small, &format!("{{ thing {{ id }} }} # {}", "x".repeat(100)))
        .await
        .unwrap();
    assert!(small.cache.lock().unwrap().bytes <= 100);
}

#[tokio::test]
async fn validation_runs_no_resolver() {
    let documents = documents(CacheSize::default());
    assert!(valid(&documents, "mutation { stop }").await.is_ok());
}

#[tokio::test]
async fn variables_are_checked_for_remembered_documents_too() {
    let documents = documents(CacheSize::default());
    let text = "query($n: Even!, $m: [Even!] = [2]) { even(n: $n) many(n: $m) }";
    for _ in 0..2 {
        let document = valid(&documents, text).await.unwrap();
        let check = |variables| {
            documents.coerce(
                document.operation(None).unwrap(),
                &mut Variables::from_value(variables),
            )
        };
        assert!(check(value!({ "n": 2 })).is_ok());
        assert!(check(value!({ "n": 2, "m": 4 })).is_ok());
        for wrong in [
            value!({}),
            value!({ "n": null }),
            value!({ "n": 3 }),
            value!({ "n": "2" }),
            value!({ "n": 2, "m": [3] }),
            value!({ "n": 2, "m": [null] }),
            value!({ "n": 2, "m": "x" }),
        ] {
            assert_eq!(check(wrong).unwrap_err().code(), Code::BadUserInput);
        }
    }
}

#[tokio::test]
async fn a_null_stands_where_a_field_failed_or_takes_what_is_around_it() {
    let documents = documents(CacheSize::default());
    let builder = Schema::build(Query, Mutation, EmptySubscription);
    let schema = executor(builder, &Limits::default());
    for (text, expected) in [
        (
            "{ thing { id x: maybe } }",
            value!({ "thing": { "id": 1, "x": null } }),
        ),
        (
            "{ thing { maybe y: maybe } }",
            value!({ "thing": { "maybe": null, "y": null } }),
        ),
        (
            "{ a: thing { id always } b: thing { id } }",
            value!({ "a": null, "b": { "id": 1 } }),
        ),
        (
            "{ a: thing { always maybe } b: thing { id } }",
            value!({ "a": null, "b": { "id": 1 } }),
        ),
        ("{ thing { id } sure { always } }", value!(null)),
        (
            "{ things { id maybe } }",
            value!({ "things": [{ "id": 1, "maybe": null }, { "id": 1, "maybe": null }] }),
        ),
        ("{ things { id always } }", value!({ "things": null })),
        ("{ perhaps { id always } }", value!({ "perhaps": [null, null] })),
        (
            "{ ...F } fragment F on Query { thing { ... { id } ... on Thing { maybe } } }",
            { value!({ "thing": { "id": 1, "maybe": null } }) },
        ),
    ] {
        let document = valid(&documents, text).await.unwrap();
        let mut response = schema.execute(text).await;
        documents.complete(&document, document.operation(None).unwrap(), &mut response);
        assert_eq!(response.data, expected, "{text}");
    }
}
