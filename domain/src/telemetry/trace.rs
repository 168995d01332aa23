//! Traces: spans go out over OTLP (HTTP, protobuf) in batches, from a thread of their own, and their
//! context travels as a W3C `traceparent`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData};
use tracing::{Level, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::{Origin, redact};
use crate::error::{Error, Result};

const PARENT: &str = "traceparent";

/// Crates whose spans would trace the sending of spans.
const UNTRACED: &[&str] = &[
    "hyper",
    "h2",
    "reqwest",
    "rustls",
    "opentelemetry",
    "tonic",
    "sentry",
];

/// The current span's context as a W3C `traceparent`, to travel with a job; none where nothing is traced.
#[must_use]
pub fn trace_parent() -> Option<String> {
    let context = tracing::Span::current().context();
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(PARENT)
}

/// Makes a span that has not been entered the child of what a `traceparent` names; one that is no
/// `traceparent` changes nothing.
pub fn set_parent(span: &tracing::Span, traceparent: &str) {
    let carrier = HashMap::from([(PARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    if context.span().span_context().is_valid() {
        // Fails where nothing is traced, or when the span has begun: then it stays as it was.
        span.set_parent(context).ok();
    }
}

/// The ids of the current trace and span, in lower-case hexadecimal.
pub(super) fn current() -> Option<(String, String)> {
    let context = Context::current();
    let span = context.span();
    let ids = span.span_context();
    ids.is_valid()
        .then(|| (ids.trace_id().to_string(), ids.span_id().to_string()))
}

/// Where spans go.
pub(super) fn provider(endpoint: &Url, origin: &Origin) -> Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(traces_url(endpoint))
        .with_timeout(Duration::from_secs(5))
        .build()
        .map_err(|error| Error::internal(format!("OTEL_EXPORTER_OTLP_ENDPOINT can't be used: {error}")))?;
    let mut facts = vec![
        KeyValue::new("service.name", origin.service),
        KeyValue::new("deployment.environment.name", origin.environment),
    ];
    facts.extend(
        origin
            .release
            .clone()
            .map(|release| KeyValue::new("service.version", release)),
    );
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().with_attributes(facts).build())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_batch_exporter(Exporter {
            inner: exporter,
            failing: AtomicBool::new(false),
        })
        .build())
}

/// The endpoint is the collector's base URL, as in the OTLP exporter specification.
fn traces_url(endpoint: &Url) -> String {
    let base = endpoint.as_str().trim_end_matches('/');
    if base.ends_with("/v1/traces") {
        base.to_owned()
    } else {
        format!("{base}/v1/traces")
    }
}

/// The layer that makes them of `tracing`'s spans. Events stay in the log, which names the trace.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("crm"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(|metadata| {
            metadata.is_span()
                && *metadata.level() <= Level::INFO
                && !UNTRACED.iter().any(|name| metadata.target().starts_with(name))
        }))
}

/// Takes out what is private, and says once when spans stop arriving and once when they arrive again.
#[derive(Debug)]
struct Exporter {
    inner: SpanExporter,
    failing: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for Exporter {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for attribute in batch.iter_mut().flat_map(|span| &mut span.attributes) {
            if redact::is_private(attribute.key.as_str()) {
                attribute.value = redact::REMOVED.into();
            } else if let Value::String(text) = &attribute.value {
                attribute.value = redact::scrub(text.as_str()).into();
            }
        }
        let result = self.inner.export(batch).await;
        match (&result, self.failing.swap(result.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => tracing::warn!(%error, "traces do not reach their collector"),
            (Ok(()), true) => tracing::info!("traces reach their collector again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_no_parent_and_no_panic() {
        for text in [
            "",
            "00",
            "00-0-0-0",
            "\u{0}",
            "00-zz-zz-01",
            &"-".repeat(9999),
            "é-é-é-é",
        ] {
            set_parent(&tracing::Span::none(), text);
            set_parent(&tracing::info_span!("x"), text);
        }
        assert_eq!(trace_parent(), None);
    }

    #[test]
    fn the_endpoint_is_a_base() {
        for (endpoint, expected) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c/otlp/", "http://c/otlp/v1/traces"),
            ("http://c/v1/traces", "http://c/v1/traces"),
        ] {
            assert_eq!(
                Url::parse(endpoint).map(|url| traces_url(&url)).as_deref(),
                Ok(expected)
            );
        }
    }
}
