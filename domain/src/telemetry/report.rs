//! Error reports: what is logged at level error, and panics, go to Sentry, with what they belong to
//! (request, trace, job, user's id) and nothing that a person wrote.
//!
//! What may leave is listed here; [`clean`] sees every event last, whoever captured it.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use sentry::integrations::{backtrace, contexts};
use sentry::protocol::{Event, Exception, Frame, Map, Mechanism, Stacktrace, User};
use sentry::{Client, ClientOptions, Level};
use tracing::Subscriber;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::{FLUSH, Origin, redact, trace};
use crate::error::{Error, Result};

/// The target of a panic's event.
pub(super) const PANIC: &str = "panic";

/// The fields that are sent, as tags.
const TAGS: &[&str] = &[
    "request_id",
    "trace_id",
    "job_id",
    "job",
    "attempt",
    "service",
    "location",
    "class",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "graphql.operation.type",
];

/// What Sentry's own integrations add of the machine.
const CONTEXTS: &[&str] = &["os", "rust", "device"];

/// The connection to Sentry.
pub(super) fn client(dsn: &SecretString, origin: &Origin) -> Result<Arc<Client>> {
    let dsn: sentry::types::Dsn = dsn
        .expose_secret()
        .parse()
        .map_err(|_| Error::internal("SENTRY_DSN is no DSN"))?;
    let service = origin.service;
    let mut options = ClientOptions::new();
    options.dsn = Some(dsn);
    options.release = origin.release.clone().map(Into::into);
    options.environment = Some(origin.environment.into());
    options.send_default_pii = false;
    options.max_breadcrumbs = 0;
    options.attach_stacktrace = true;
    options.shutdown_timeout = FLUSH;
    options.before_send = Some(Arc::new(move |event| Some(clean(event, service))));
    // Without the one for panics: ours goes through the log, and knows the span.
    options.default_integrations = false;
    options.integrations = vec![
        Arc::new(backtrace::AttachStacktraceIntegration),
        Arc::new(contexts::ContextIntegration::new()),
        Arc::new(backtrace::ProcessStacktraceIntegration),
    ];
    Ok(Arc::new(Client::from(sentry::apply_defaults(options))))
}

/// The layer that sends errors.
pub(super) struct Reports {
    client: Arc<Client>,
}

impl Reports {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }
}

impl<S> Layer<S> for Reports
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let target = event.metadata().target();
        let (mut fields, _) = Fields::of(event, &context);
        let panicked = target == PANIC;
        let message = fields.take("message");
        let cause = fields.take("error");
        let user = fields.take("user_id");
        if let Some((trace_id, _)) = trace::current() {
            fields.0.insert("trace_id".to_owned(), trace_id.into());
        }
        let tags = TAGS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), fields.take(name)?)))
            .collect();
        let exception = if panicked {
            exception(PANIC, message.clone(), backtrace::current_stacktrace())
        } else {
            cause.map_or_else(Vec::new, |cause| exception("error", Some(cause), None))
        };
        self.client.capture_event(
            Event {
                level: if panicked { Level::Fatal } else { Level::Error },
                logger: Some(target.to_owned()),
                message: message.filter(|_| !panicked),
                exception: exception.into(),
                user: user.map(user_of),
                tags,
                ..Event::default()
            },
            None,
        );
    }
}

fn exception(ty: &str, value: Option<String>, stacktrace: Option<Stacktrace>) -> Vec<Exception> {
    vec![Exception {
        ty: ty.to_owned(),
        value,
        stacktrace,
        mechanism: Some(Mechanism {
            ty: ty.to_owned(),
            handled: Some(ty != PANIC),
            ..Mechanism::default()
        }),
        ..Exception::default()
    }]
}

fn user_of(id: String) -> User {
    User {
        id: Some(id),
        ..User::default()
    }
}

/// The event with nothing but what is listed: no request, no breadcrumbs, no extra data, no variables,
/// of the user the id, and of texts what [`redact::scrub`] leaves.
fn clean(mut event: Event<'static>, service: &str) -> Event<'static> {
    let mut tags: Map<String, String> = std::mem::take(&mut event.tags);
    tags.retain(|name, _| TAGS.contains(&name.as_str()));
    tags.insert("service".to_owned(), service.to_owned());
    let mut contexts = std::mem::take(&mut event.contexts);
    contexts.retain(|name, _| CONTEXTS.contains(&name.as_str()));
    let mut exceptions = std::mem::take(&mut event.exception.values);
    for exception in &mut exceptions {
        exception.value = exception.value.take().map(|text| redact::scrub(&text));
        exception.raw_stacktrace = None;
        strip(exception.stacktrace.as_mut());
    }
    strip(event.stacktrace.as_mut());
    for thread in &mut event.threads.values {
        thread.raw_stacktrace = None;
        strip(thread.stacktrace.as_mut());
    }
    Event {
        event_id: event.event_id,
        level: event.level,
        timestamp: event.timestamp,
        platform: event.platform,
        logger: event.logger,
        message: event.message.map(|text| redact::scrub(&text)),
        exception: exceptions.into(),
        stacktrace: event.stacktrace,
        threads: event.threads,
        server_name: event.server_name,
        release: event.release,
        environment: event.environment,
        sdk: event.sdk,
        user: event.user.and_then(|user| user.id).map(user_of),
        tags,
        contexts,
        ..Event::default()
    }
}

fn strip(stacktrace: Option<&mut Stacktrace>) {
    for frame in stacktrace.map(|trace| &mut trace.frames).into_iter().flatten() {
        *frame = Frame {
            vars: Map::new(),
            pre_context: Vec::new(),
            context_line: None,
            post_context: Vec::new(),
            ..std::mem::take(frame)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentry::protocol::{Breadcrumb, Request};

    #[test]
    fn whatever_was_captured_only_what_is_listed_leaves() {
        let marked = || "MARKED".to_owned();
        let event = Event {
            message: Some("of ada@example.test".to_owned()),
            request: Some(Request {
                data: Some(marked()),
                query_string: Some(marked()),
                cookies: Some(marked()),
                headers: [(marked(), marked())].into(),
                ..Request::default()
            }),
            user: Some(User {
                id: Some("7".to_owned()),
                email: Some(marked()),
                username: Some(marked()),
                ..User::default()
            }),
            breadcrumbs: vec![Breadcrumb {
                message: Some(marked()),
                data: [(marked(), marked().into())].into(),
                ..Breadcrumb::default()
            }]
            .into(),
            extra: [(marked(), marked().into())].into(),
            tags: [("job".to_owned(), "sweep".to_owned()), (marked(), marked())].into(),
            ..Event::default()
        };
        let sent = serde_json::to_string(&clean(event, "api")).unwrap_or_default();
        assert!(!sent.contains("MARKED") && !sent.contains("ada@"), "{sent}");
        assert!(
            sent.contains("\"job\":\"sweep\"") && sent.contains("\"id\":\"7\""),
            "{sent}"
        );
    }
}
