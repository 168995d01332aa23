//! `/graphql` over HTTP: one request in, one answer out, and no error without a code.
//!
//! The order is: who asks, then what is asked (read, parse, bound, price), then what it costs, then validate and
//! execute. So a stranger costs nothing but a look at the token, and a document nothing before it is paid for.

use std::{any::Any, fmt::Display, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web,
};
use async_graphql::{
    EmptySubscription, Request, Response, Schema, ServerError, Value, Variables, parser::types::OperationType,
};
use bytes::BytesMut;
use domain::limit::Budget;
use domain::{Error, Viewer};
use futures::{FutureExt, StreamExt};
use serde_json::Value as Json;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    documents::{Document, Documents},
    gate::Gate,
    limits::{self, Cost, Limits},
    multipart::{FileMap, Reader, UploadLimits},
    negotiate::{self, BodyType, Code, Format, Refusal},
    uploads::Store,
};
use crate::graphql::{Mutation, Query};

/// The bounds of a request.
#[derive(Clone, Debug)]
pub(crate) struct HttpLimits {
    /// Bytes of a JSON body.
    pub(crate) body: usize,
    /// How long it may take to send.
    pub(crate) read: Duration,
    /// Of the document.
    pub(crate) document: Limits,
    /// Of an upload.
    pub(crate) upload: UploadLimits,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body: 1024 * 1024,
            read: Duration::from_secs(20),
            document: Limits::default(),
            upload: UploadLimits::default(),
        }
    }
}

/// Everything that answers a request. The documents can be shared between threads that have executors of their own.
pub(crate) struct Endpoint {
    /// Who may come in.
    pub(crate) gate: Gate,
    /// The schema, made by [`super::documents::executor`].
    pub(crate) executor: Schema<Query, Mutation, EmptySubscription>,
    /// Where uploads go.
    pub(crate) uploads: Arc<Store>,
    /// Parsed and valid documents.
    pub(crate) documents: Arc<Documents>,
    /// The bounds.
    pub(crate) limits: HttpLimits,
}

/// Registers the endpoint under a path.
pub(crate) fn register(config: &mut web::ServiceConfig, path: &str, endpoint: Arc<Endpoint>) {
    config.service(
        web::resource(path).to(move |request: HttpRequest, payload: web::Payload| {
            let endpoint = endpoint.clone();
            async move { endpoint.serve(&request, payload).await }
        }),
    );
}

impl Endpoint {
    async fn serve(&self, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
        let Some(format) = negotiate::answer_format(request.headers()) else {
            let message = "accept application/graphql-response+json or application/json";
            return Refusal::new(Code::NotAcceptable, message).respond(Format::Json);
        };
        // A resolver that panics must not take the connection, or others on the same thread, with it.
        let answer = AssertUnwindSafe(self.answer(request, payload))
            .catch_unwind()
            .await;
        match answer.unwrap_or_else(|panic| Err(internal(&panic_message(panic.as_ref())))) {
            Ok(response) => negotiate::respond(format, StatusCode::OK, &response),
            Err(refusal) => {
                tracing::debug!(code = refusal.code().as_str(), "refused");
                refusal.respond(format)
            }
        }
    }

    async fn answer(&self, request: &HttpRequest, payload: web::Payload) -> Result<Response, Refusal> {
        let method = request.method();
        if method != Method::GET && method != Method::POST {
            return Err(Refusal::method("GET, POST", "use GET or POST"));
        }
        let viewer = self.gate.viewer(request).await?;
        if method == Method::GET {
            let mut params = Params::from_query(request.query_string())?;
            let ready = self.prepare(&viewer, &mut params, Sent::Get).await?;
            return self.execute(&viewer, params, ready, |request| request).await;
        }
        match negotiate::body_type(request.headers()) {
            Some(BodyType::Json) => {
                let mut params = Params::from_json(&self.body(request, payload).await?)?;
                let ready = self.prepare(&viewer, &mut params, Sent::Post).await?;
                self.execute(&viewer, params, ready, |request| request).await
            }
            Some(BodyType::Multipart { boundary }) => {
                let reader = Reader::open(request, payload, boundary, &self.limits.upload)?;
                self.upload(&viewer, reader).await
            }
            None => Err(Refusal::new(
                Code::UnsupportedMediaType,
                "the body must be application/json in UTF-8, or multipart/form-data for uploads",
            )),
        }
    }

    async fn upload(&self, viewer: &Viewer, mut reader: Reader) -> Result<Response, Refusal> {
        let (operations, map): (_, FileMap) = reader.envelope().await?;
        let mut params = Params::from_json(&operations)?;
        map.place(&mut params.variables)?;
        let ready = self.prepare(viewer, &mut params, Sent::Upload).await?;
        let pending = reader.files(&map, viewer, self.uploads.clone()).await?;
        let uploads = pending.uploads();
        let response = self
            .execute(viewer, params, ready, |request| request.data(uploads))
            .await;
        pending.settle().await;
        response
    }

    /// Everything up to the execution.
    async fn prepare(&self, viewer: &Viewer, params: &mut Params, sent: Sent) -> Result<Ready, Refusal> {
        let checked = self.check(params, sent);
        // A refused document has cost us something too, and must not be a way to ask without limit.
        let points = checked.as_ref().map_or(1, |(_, cost)| cost.points);
        let budget = self.gate.take(viewer, points).await?;
        let (document, cost) = checked?;
        let name = params.operation_name.as_deref();
        self.documents
            .validate(&document, name, &params.variables, cost.mixed)
            .await?;
        self.documents
            .coerce(document.operation(name)?, &mut params.variables)?;
        Ok(Ready {
            document,
            cost,
            budget,
        })
    }

    fn check(&self, params: &Params, sent: Sent) -> Result<(Arc<Document>, Cost), Refusal> {
        let limits = &self.limits.document;
        let document = self.documents.parse(&params.query, limits)?;
        let operation = document.operation(params.operation_name.as_deref())?;
        match (operation.ty, sent) {
            (OperationType::Subscription, _) => {
                let message = "subscriptions are served over WebSocket and SSE";
                return Err(Refusal::new(Code::OperationResolutionFailure, message));
            }
            (OperationType::Mutation, Sent::Get) => {
                return Err(Refusal::method("POST", "a mutation can't be sent with GET"));
            }
            (OperationType::Query, Sent::Upload) => {
                return Err(Refusal::new(Code::BadRequest, "an upload must be a mutation"));
            }
            _ => {}
        }
        let cost = limits::measure(document.parsed(), operation, &params.variables, limits)?;
        Ok((document, cost))
    }

    async fn execute(
        &self,
        viewer: &Viewer,
        params: Params,
        ready: Ready,
        with: impl FnOnce(Request) -> Request,
    ) -> Result<Response, Refusal> {
        let mut request = Request::new("")
            .variables(params.variables)
            .data(ready.cost)
            .data(ready.budget);
        let name = params.operation_name;
        request.operation_name.clone_from(&name);
        request.set_parsed_query(ready.document.parsed().clone());
        let mut response = self
            .executor
            .execute(with(self.gate.attach(viewer, request)))
            .await;
        // The token is still good, but its session has ended: said as of any other that opens nothing. But
        // what a mutation did before that must not be hidden.
        let did_something = match (&response.data, ready.document.operation(name.as_deref())) {
            (async_graphql::Value::Object(fields), Ok(operation))
                if operation.ty == OperationType::Mutation =>
            {
                fields.values().any(|value| *value != async_graphql::Value::Null)
            }
            _ => false,
        };
        if !did_something && response.errors.iter().any(is_unauthenticated) {
            return Err(Error::Unauthenticated.into());
        }
        if !response.errors.is_empty() {
            let operation = ready.document.operation(name.as_deref());
            let _ =
                operation.map(|operation| self.documents.complete(&ready.document, operation, &mut response));
        }
        response.errors = response.errors.into_iter().map(sealed).collect();
        Ok(response)
    }

    async fn body(&self, request: &HttpRequest, mut payload: web::Payload) -> Result<BytesMut, Refusal> {
        let maximum = self.limits.body;
        let too_large =
            || Refusal::new(Code::PayloadTooLarge, "the body is too large").with("maximum", maximum);
        let announced = request.headers().get(actix_web::http::header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > maximum as u64) {
            return Err(too_large());
        }
        let read = async {
            let mut body = BytesMut::new();
            while let Some(chunk) = payload.next().await {
                let chunk = chunk.map_err(|_| Refusal::new(Code::BadRequest, "the body is incomplete"))?;
                if body.len() + chunk.len() > maximum {
                    return Err(too_large());
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        let slow = || Refusal::new(Code::RequestTimeout, "the body took too long");
        timeout(self.limits.read, read).await.map_err(|_| slow())?
    }
}

/// How a request came.
#[derive(Clone, Copy)]
enum Sent {
    Get,
    Post,
    Upload,
}

/// What is ready to execute.
struct Ready {
    document: Arc<Document>,
    cost: Cost,
    budget: Budget,
}

/// The parameters of a request. `extensions` is checked and not used.
#[derive(Debug)]
struct Params {
    query: String,
    operation_name: Option<String>,
    variables: Variables,
}

impl Params {
    fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        let refuse = |message| Err(Refusal::new(Code::BadRequest, message));
        // Checked apart, because serde_json would report it as any other syntax error.
        if std::str::from_utf8(body).is_err() {
            return refuse("the body is not valid UTF-8");
        }
        match serde_json::from_slice(body) {
            Ok(Json::Object(fields)) => Self::new(fields),
            Ok(Json::Array(_)) => Err(Refusal::new(
                Code::BatchingNotSupported,
                "batching is not supported; send one operation a request",
            )),
            Ok(_) => refuse("the body must be a JSON object"),
            // The parser's message can repeat what was sent.
            Err(error) => Err(Refusal::new(
                Code::BadRequest,
                format!(
                    "malformed JSON at line {}, column {}",
                    error.line(),
                    error.column()
                ),
            )),
        }
    }

    fn from_query(query: &str) -> Result<Self, Refusal> {
        let mut fields = serde_json::Map::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = match name.as_ref() {
                "query" | "operationName" => Json::String(value.into_owned()),
                "variables" | "extensions" if value.is_empty() => Json::Null,
                "variables" | "extensions" => serde_json::from_str(&value)
                    .map_err(|_| Refusal::new(Code::BadRequest, format!("`{name}` must be a JSON object")))?,
                _ => continue,
            };
            if fields.insert(name.clone().into_owned(), value).is_some() {
                return Err(Refusal::new(Code::BadRequest, format!("`{name}` is given twice")));
            }
        }
        Self::new(fields)
    }

    fn new(mut fields: serde_json::Map<String, Json>) -> Result<Self, Refusal> {
        let refuse = |message| Err(Refusal::new(Code::BadRequest, message));
        let Some(Json::String(query)) = fields.remove("query") else {
            return refuse("`query` is missing, or not a string");
        };
        let operation_name = match fields.remove("operationName") {
            None | Some(Json::Null) => None,
            Some(Json::String(name)) => Some(name),
            Some(_) => return refuse("`operationName` must be a string"),
        };
        let variables = match fields.remove("variables") {
            None | Some(Json::Null) => Variables::default(),
            Some(object @ Json::Object(_)) => Variables::from_json(object),
            Some(_) => return refuse("`variables` must be an object"),
        };
        match fields.remove("extensions") {
            None | Some(Json::Null | Json::Object(_)) => Ok(Self {
                query,
                operation_name,
                variables,
            }),
            Some(_) => refuse("`extensions` must be an object"),
        }
    }
}

fn is_unauthenticated(error: &ServerError) -> bool {
    let code = error.extensions.as_ref().and_then(|values| values.get("code"));
    matches!(code, Some(Value::String(code)) if code == Code::Unauthenticated.as_str())
}

/// An error as it may leave. One that has a code was made to be read; async-graphql's own about a value are the
/// client's to mend; everything else is ours, and stays in the log.
fn sealed(mut error: ServerError) -> ServerError {
    let coded = error
        .extensions
        .as_ref()
        .is_some_and(|extensions| extensions.get("code").is_some());
    if coded {
        return error;
    }
    // These two forms are what `InputValueError` makes of a value that its type does not take.
    let about_input = ["Failed to parse \"", "Expected input type \""];
    let code =
        match error.source.is_none() && about_input.iter().any(|start| error.message.starts_with(start)) {
            true => Code::BadUserInput,
            false => {
                let id = report(&error.message);
                error.message = "internal error".to_owned();
                error.extensions = None;
                error.extensions.get_or_insert_default().set("id", id.to_string());
                Code::Internal
            }
        };
    error
        .extensions
        .get_or_insert_default()
        .set("code", code.as_str());
    error
}

/// A failure of our own: the log gets the detail, the client an id to name it by.
pub(crate) fn internal(detail: &dyn Display) -> Refusal {
    Refusal::new(Code::Internal, "internal error").with("id", report(detail).to_string())
}

fn report(detail: &dyn Display) -> Uuid {
    let id = Uuid::now_v7();
    tracing::error!(error.id = %id, "internal error: {detail}");
    id
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a panic: {}", text.unwrap_or("of an unknown kind"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
