//! Logs as JSON, one line an event (newline-delimited JSON). Nothing within an event can begin a line:
//! control characters are escaped by the JSON, and those that only some viewers break at are taken out.

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::{Origin, Output, trace};
use crate::clock::Clock;

/// Names that a field of an event can't take over.
const OURS: &[&str] = &[
    "timestamp",
    "level",
    "message",
    "target",
    "service",
    "environment",
    "release",
    "span",
    "trace_id",
    "span_id",
];

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    message: String,
    target: &'a str,
    service: &'a str,
    environment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// The layer that writes them.
pub(super) struct Lines {
    origin: Origin,
    clock: Clock,
    output: Output,
}

impl Lines {
    pub(super) fn new(origin: Origin, output: Output) -> Self {
        Self {
            origin,
            clock: Clock::system(),
            output,
        }
    }
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let (mut fields, span) = Fields::of(event, &context);
        let message = fields.take("message").unwrap_or_default();
        for name in OURS {
            if let Some(value) = fields.0.remove(*name) {
                fields.0.insert(format!("field_{name}"), value);
            }
        }
        let (trace_id, span_id) = trace::current().unzip();
        let line = Line {
            timestamp: self
                .clock
                .now()
                .to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            level: event.metadata().level().as_str(),
            message,
            target: event.metadata().target(),
            service: self.origin.service,
            environment: self.origin.environment,
            release: self.origin.release.as_deref(),
            span,
            trace_id,
            span_id,
            fields: fields.0,
        };
        if let Ok(mut bytes) = serde_json::to_vec(&line) {
            bytes.push(b'\n');
            // In one write, so that lines of several threads do not mix.
            (self.output)(&bytes);
        }
    }
}
