//! Logs, traces and error reports of both binaries: one line of JSON an event on stderr, OTLP traces
//! and Sentry where they are configured, and one rule for all three: what a person wrote stays out.
//!
//! `docs/logging.md` lists the fields.

mod fields;
mod lines;
mod redact;
mod report;
mod trace;

use std::io::Write;
use std::sync::{Arc, Once};
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Dispatch, Level};
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt};

use crate::config::Config;
use crate::error::{Error, Result};

pub use trace::{set_parent, trace_parent};

/// How long a shutdown waits for what has not been sent.
const FLUSH: Duration = Duration::from_secs(5);

/// What the libraries say at these levels is of no use, or holds what was sent: a user's own filter
/// can still name them.
const QUIET: &str = "hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,lettre=warn,mio=warn,\
                     actix_http=warn,actix_server=info,sqlx=warn,opentelemetry=warn,opentelemetry_sdk=warn,\
                     opentelemetry_otlp=warn,tungstenite=warn,webauthn_rs=off,webauthn_rs_core=off";

/// Where log lines go.
pub type Output = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// What every line, span and report says of its process.
#[derive(Clone, Debug)]
struct Origin {
    service: &'static str,
    environment: &'static str,
    release: Option<String>,
}

/// Keeps the exporters; when it goes, they send what they still hold (within 5 seconds each).
#[must_use = "telemetry stops with it"]
pub struct Guard {
    tracer: Option<SdkTracerProvider>,
    sentry: Option<Arc<sentry::Client>>,
}

impl Guard {
    /// Sends what is waiting and goes on. Blocks its thread for 5 seconds at most for each exporter.
    pub fn flush(&self) {
        if let Some(tracer) = &self.tracer {
            tracer.force_flush().ok();
        }
        if let Some(sentry) = &self.sentry {
            sentry.flush(Some(FLUSH));
        }
    }

    /// Sends what is waiting, and ends.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(tracer) = &self.tracer {
            tracer.shutdown_with_timeout(FLUSH).ok();
        }
        if let Some(sentry) = &self.sentry {
            sentry.close(Some(FLUSH));
        }
    }
}

/// Starts telemetry for the whole process; `service` is its name in each line, `api` or `worker`.
/// A panic of any thread becomes an event like others.
///
/// # Errors
/// [`Error::Internal`] when a setting can't be used, or when it has been started before.
pub fn init(config: &Config, service: &'static str) -> Result<Guard> {
    let output: Output = Arc::new(|line| {
        std::io::stderr().lock().write_all(line).ok();
    });
    let (dispatch, guard) = assemble(config, service, output)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(Error::internal)?;
    if let Some(client) = &guard.sentry {
        sentry::Hub::main().bind_client(Some(Arc::clone(client)));
    }
    Ok(guard)
}

/// The same for whoever sets the dispatcher themselves, a test say, with the lines going to `output`.
///
/// # Errors
/// As [`init`].
pub fn assemble(config: &Config, service: &'static str, output: Output) -> Result<(Dispatch, Guard)> {
    let origin = Origin {
        service,
        environment: config.environment.as_str(),
        release: config.release.clone(),
    };
    let tracer = config
        .otlp_endpoint
        .as_ref()
        .map(|endpoint| trace::provider(endpoint, &origin))
        .transpose()?;
    let client = config
        .sentry_dsn
        .as_ref()
        .map(|dsn| report::client(dsn, &origin))
        .transpose()?;
    let spans = || filter_fn(|metadata| metadata.is_span() && *metadata.level() <= Level::INFO);
    // Boxed, since a layer's type holds those of all below it, and each frame of a stack trace says them.
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    layers.extend(tracer.as_ref().map(|provider| trace::layer(provider).boxed()));
    layers.push(fields::Collect.with_filter(spans()).boxed());
    layers.push(if config.environment.is_development() {
        fmt::layer()
            .with_ansi(false)
            .with_writer(move || Pipe(Arc::clone(&output)))
            .with_filter(filter(config)?)
            .boxed()
    } else {
        // Spans are seen whatever the filter says of events: a warning needs its request's id.
        lines::Lines::new(origin, output)
            .with_filter(filter(config)?.or(spans()))
            .boxed()
    });
    layers.extend(client.clone().map(|client| {
        report::Reports::new(client)
            .with_filter(spans().or(LevelFilter::ERROR))
            .boxed()
    }));
    let subscriber = Registry::default().with(layers);
    report_panics();
    let guard = Guard {
        tracer,
        sentry: client,
    };
    Ok((Dispatch::new(subscriber), guard))
}

fn filter(config: &Config) -> Result<EnvFilter> {
    EnvFilter::try_new(format!("{QUIET},{}", config.log))
        .map_err(|error| Error::internal(format!("LOG is no filter: {error}")))
}

/// Turns panics into events, so that they are a line like others and are reported. Runs within the
/// span that panicked, before the stack is unwound.
fn report_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A debug build, and so each test, keeps the usual text besides.
            if cfg!(debug_assertions) || !tracing::enabled!(target: report::PANIC, Level::ERROR) {
                previous(panic);
            }
            let message = panic.payload_as_str().unwrap_or("a panic without a message");
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(target: report::PANIC, location, "{message}");
        }));
    });
}

/// An [`Output`] for the readable format.
struct Pipe(Output);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (self.0)(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
