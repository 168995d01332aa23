//! Parsing and validating documents, remembering those that passed, checking variables, and completing answers.
//!
//! async-graphql validates inside `execute`, with the variables at hand, and offers no way to do it apart. Here two
//! schemas of the same types share the work: the *validator* (strict, and stopped before any resolver runs) sees
//! each document once, without variables; the *executor* ([`executor`]) runs in async-graphql's fast mode, which
//! skips what the validator has done. What depends on variables is checked on every request, against the input
//! types of the schema ([`Documents::coerce`]): before the first resolver runs, which also the strict mode does only
//! in part. The one exception are literals with variables inside (`input: {name: $name}`): async-graphql leaves the
//! whole argument unchecked if it has no variables to fill in, so those documents pass the validator every time.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_graphql::{
    InputType, ObjectType, Request, Response, Schema, SchemaBuilder, ServerError, SubscriptionType,
    ValidationMode, Value, Variables,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute},
    parser::{
        self,
        types::{DocumentOperations, ExecutableDocument, OperationDefinition},
    },
};
use futures::future::BoxFuture;

use super::{
    limits::{self, Limits},
    negotiate::{Code, Refusal},
    types::{Input, Nulls, Types, Up},
};

/// Errors of one validation that are reported: a small document can have very many.
const REPORTED_ERRORS: usize = 20;

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheSize {
    /// Documents.
    pub(crate) documents: usize,
    /// Bytes of their texts; the parsed form takes about thirty times as much.
    pub(crate) bytes: usize,
}

impl Default for CacheSize {
    fn default() -> Self {
        Self {
            documents: 500,
            bytes: 256 * 1024,
        }
    }
}

/// The schema as it is served.
///
/// No extension may be added to it: with one, async-graphql leaves its fast path for plain fields.
pub(crate) fn executor<Q, M, S>(builder: SchemaBuilder<Q, M, S>, limits: &Limits) -> Schema<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let builder = builder.validation_mode(ValidationMode::Fast);
    // `limits` already refuses what asks for the schema; this is the second lock on the same door.
    if limits.introspection {
        builder.finish()
    } else {
        builder.disable_introspection().finish()
    }
}

/// A parsed document.
pub(crate) struct Document {
    text: Arc<str>,
    parsed: ExecutableDocument,
    valid: AtomicBool,
}

impl Document {
    /// Chooses the operation to execute, as the specification says (GraphQL, 6.1).
    pub(crate) fn operation(&self, name: Option<&str>) -> Result<&OperationDefinition, Refusal> {
        let refuse = |message| Err(Refusal::new(Code::OperationResolutionFailure, message));
        match (&self.parsed.operations, name) {
            (DocumentOperations::Single(only), None) => Ok(&only.node),
            (DocumentOperations::Multiple(all), Some(name)) if let Some(one) = all.get(name) => Ok(&one.node),
            (DocumentOperations::Multiple(all), None) => match (all.len(), all.values().next()) {
                (1, Some(only)) => Ok(&only.node),
                _ => refuse("`operationName` must say which of the operations to execute"),
            },
            _ => refuse("the document has no operation of the name in `operationName`"),
        }
    }

    /// The parsed form.
    pub(crate) fn parsed(&self) -> &ExecutableDocument {
        &self.parsed
    }
}

/// The validator, the input types and the documents already seen.
pub(crate) struct Documents {
    validate: Box<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>,
    types: Types,
    suggestions: bool,
    cache: Mutex<Cache>,
}

/// The schema can't be read back from its own description.
#[derive(Debug, thiserror::Error)]
#[error("the schema's own description is not understood: {0}")]
pub(crate) struct SchemaError(#[from] parser::Error);

impl Documents {
    /// Takes a builder of the same schema as the executor's.
    pub(crate) fn new<Q, M, S>(
        builder: SchemaBuilder<Q, M, S>,
        limits: &Limits,
        size: CacheSize,
    ) -> Result<Self, SchemaError>
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let builder = builder
            .validation_mode(ValidationMode::Strict)
            .extension(StopBeforeExecution);
        let schema = if limits.introspection {
            builder
        } else {
            builder.disable_suggestions()
        }
        .finish();
        let types = Types::read(&schema.sdl())?;
        let validate = Box::new(move |request| -> BoxFuture<'static, Response> {
            let schema = schema.clone();
            Box::pin(async move { schema.execute(request).await })
        });
        let cache = Mutex::new(Cache {
            size,
            ..Cache::default()
        });
        Ok(Self {
            validate,
            types,
            suggestions: limits.introspection,
            cache,
        })
    }

    /// Has the variables of a custom scalar checked before execution. Without this, a wrong value is an error of the
    /// field that it was meant for, and other fields of the operation have run by then.
    #[must_use]
    pub(crate) fn scalar<T: InputType>(mut self) -> Self {
        let check = |value: &Value| T::parse(Some(value.clone())).is_ok();
        self.types
            .inputs
            .insert(T::type_name().into_owned(), Input::Scalar(Some(check)));
        self
    }

    /// The document of a text, from memory if it is known. One that is not has been scanned, but is not yet valid.
    pub(crate) fn parse(&self, text: &str, limits: &Limits) -> Result<Arc<Document>, Refusal> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = cache.get(text) {
            return Ok(document);
        }
        drop(cache);
        limits::scan(text, limits)?;
        let parsed = parser::parse_query(text).map_err(|error| {
            // The parser's own message draws the line with an arrow under it; the position is enough.
            let message = match error {
                parser::Error::Syntax { .. } => "syntax error".to_owned(),
                ref other => other.to_string(),
            };
            Refusal::new(Code::ParseFailed, message).at(error.positions().take(1))
        })?;
        Ok(Arc::new(Document {
            text: text.into(),
            parsed,
            valid: AtomicBool::new(false),
        }))
    }

    /// Validates a document that is not known yet, and remembers it.
    ///
    /// The limits must have been checked: async-graphql's validation is not safe before.
    pub(crate) async fn validate(
        &self,
        document: &Arc<Document>,
        operation: Option<&str>,
        variables: &Variables,
        mixed: bool,
    ) -> Result<(), Refusal> {
        if document.valid.load(Ordering::Relaxed) && !mixed {
            return Ok(());
        }
        let mut request = Request::new("");
        request.set_parsed_query(document.parsed.clone());
        request.operation_name = operation.map(str::to_owned);
        if mixed {
            request.variables = variables.clone();
        }
        let errors = (self.validate)(request).await.errors;
        if !errors.is_empty() {
            return Err(self.invalid(errors));
        }
        if !document.valid.swap(true, Ordering::Relaxed) {
            self.cache
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .put(document);
        }
        Ok(())
    }

    fn invalid(&self, mut errors: Vec<ServerError>) -> Refusal {
        errors.truncate(REPORTED_ERRORS);
        if !self.suggestions {
            // `disable_suggestions` forgets the arguments of directives.
            for error in &mut errors {
                if let Some(end) = error.message.find(" Did you mean") {
                    error.message.truncate(end);
                }
            }
        }
        Refusal::of(Code::ValidationFailed, errors)
    }

    /// Checks the variables against the types that the operation declares, and fills in its defaults (GraphQL, 6.1.2).
    /// async-graphql would not see the defaults of those that `@skip` and `@include` look at.
    pub(crate) fn coerce(
        &self,
        operation: &OperationDefinition,
        variables: &mut Variables,
    ) -> Result<(), Refusal> {
        for definition in &operation.variable_definitions {
            let definition = &definition.node;
            let name = &definition.name.node;
            let wanted = &definition.var_type.node;
            let checked = match (variables.get(name), &definition.default_value) {
                (Some(value), _) => self.types.fits(value, wanted, &format!("${name}")),
                (None, Some(default)) => {
                    variables.insert(name.clone(), default.node.clone());
                    Ok(())
                }
                (None, None) if wanted.nullable => Ok(()),
                (None, None) => Err(format!("the variable ${name} of type {wanted} is missing")),
            };
            checked.map_err(|message| {
                let refusal = Refusal::new(Code::BadUserInput, message).with("variable", name.as_str());
                refusal.at([definition.name.pos])
            })?;
        }
        Ok(())
    }

    /// Writes the nulls that async-graphql leaves out: a field that failed is missing from its object, and one that
    /// can't be null does not take the object with it (GraphQL, 6.4.4).
    pub(crate) fn complete(
        &self,
        document: &Document,
        operation: &OperationDefinition,
        response: &mut Response,
    ) {
        let Some(root) = self.types.root(operation.ty) else {
            return;
        };
        let walk = Nulls {
            types: &self.types,
            fragments: &document.parsed.fragments,
        };
        let sets = [&operation.selection_set.node];
        // First everything that is missing, then what a null takes with it: what is gone by then stays gone.
        for fill in [true, false] {
            for error in response.errors.iter().filter(|error| !error.path.is_empty()) {
                if walk.object(&mut response.data, &sets, root, &error.path, fill) == Up::Null {
                    response.data = Value::Null;
                }
            }
        }
    }
}

/// Ends an execution before it begins: what is left is the validation.
struct StopBeforeExecution;

impl ExtensionFactory for StopBeforeExecution {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for StopBeforeExecution {
    async fn execute(&self, _: &ExtensionContext<'_>, _: Option<&str>, _: NextExecute<'_>) -> Response {
        Response::default()
    }
}

/// Two generations: what is used moves to the young one, and when that is full the old one is dropped. The full text
/// is the key, so no two documents can be made to meet.
#[derive(Default)]
struct Cache {
    size: CacheSize,
    young: HashMap<Arc<str>, Arc<Document>>,
    old: HashMap<Arc<str>, Arc<Document>>,
    bytes: usize,
}

impl Cache {
    fn get(&mut self, text: &str) -> Option<Arc<Document>> {
        if let Some(document) = self.young.get(text) {
            return Some(document.clone());
        }
        let document = self.old.remove(text)?;
        self.put(&document);
        Some(document)
    }

    fn put(&mut self, document: &Arc<Document>) {
        let (documents, bytes) = (self.size.documents / 2, self.size.bytes / 2);
        let length = document.text.len();
        if length > bytes / 4 {
            return; // a few of these would push all others out
        }
        if self.young.len() >= documents || self.bytes + length > bytes {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        if self
            .young
            .insert(document.text.clone(), document.clone())
            .is_none()
        {
            self.bytes += length;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
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
            let used =
                cache.young.contains_key("{ thing { id } }") || cache.old.contains_key("{ thing { id } }");
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
}
