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
mod tests;
