//! The fields of spans, kept with the span, so that lines and reports can say what they belong to.

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::redact;

/// The fields of one span or event, fit to be shown.
#[derive(Default)]
pub(super) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    /// Those of the event over those of its spans, the inner over the outer; and the inmost span's name.
    pub(super) fn of<S>(event: &Event<'_>, context: &Context<'_, S>) -> (Self, Option<&'static str>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        // Before any span's data is locked: a value's own formatting may panic, or log.
        let mut own = Self::default();
        event.record(&mut own);
        let mut all = Self::default();
        let mut inmost = None;
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            inmost = Some(span.name());
            if let Some(fields) = span.extensions().get::<Self>() {
                all.0.extend(fields.0.clone());
            }
        }
        all.0.append(&mut own.0);
        (all, inmost)
    }

    /// Takes a text out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        match self.0.remove(name)? {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    fn text(&mut self, field: &Field, text: &str) {
        let shown = if redact::is_private(field.name()) {
            redact::REMOVED.to_owned()
        } else {
            redact::scrub(text)
        };
        self.0.insert(field.name().to_owned(), shown.into());
    }

    fn plain(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        self.text(field, &text);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, value.into());
    }
}

/// The layer that keeps them.
pub(super) struct Collect;

impl<S> Layer<S> for Collect
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut added = Fields::default();
        values.record(&mut added);
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            fields.0.append(&mut added.0);
        }
    }
}
