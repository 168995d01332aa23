//! The server: how many connections, how long each may take, and how it ends.
//!
//! A request's head has at most 96 headers and 128 KiB, which are the HTTP library's own bounds; what a
//! body may be is each handler's business, and how long a request may take the envelope's.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};

use super::envelope::Envelope;
use super::tls::Certificates;

/// How long an idle connection stays open; longer than the minute that load balancers keep theirs, so
/// that it is never we who close one just as a request comes.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client has to send a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a client has to close, once told to.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// Connections at once, for each worker; more wait to be accepted.
const CONNECTIONS: usize = 4096;
/// How many may wait.
const BACKLOG: u32 = 1024;
/// Seconds that requests have to end, once the server is told to stop.
const STOP_TIME: u64 = 10;

/// A server that listens, not yet run.
pub struct Listening {
    /// To be awaited.
    pub server: Server,
    /// Where it listens, in case the port was 0.
    pub addresses: Vec<SocketAddr>,
}

/// Binds `address`, and serves `routes` within the envelope, with one worker for each core, until `stop`
/// is ready; then lets what is under way end.
///
/// # Errors
/// When the address can't be bound.
pub fn listen<R, S>(address: &str, envelope: &Envelope, routes: R, stop: S) -> io::Result<Listening>
where
    R: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    listen_with(address, None, envelope, routes, stop)
}

/// The same, with TLS if there are certificates.
///
/// # Errors
/// When the address can't be bound.
pub fn listen_with<R, S>(
    address: &str,
    tls: Option<&Arc<Certificates>>,
    envelope: &Envelope,
    routes: R,
    stop: S,
) -> io::Result<Listening>
where
    R: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let envelope = envelope.clone();
    let server = HttpServer::new(move || App::new().wrap(envelope.clone()).configure(routes.clone()))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIME)
        .client_disconnect_timeout(CLOSE_TIME)
        .tls_handshake_timeout(HEAD_TIME)
        .max_connections(CONNECTIONS)
        .backlog(BACKLOG)
        .workers(std::thread::available_parallelism().map_or(2, usize::from))
        .shutdown_timeout(STOP_TIME)
        .shutdown_signal(stop);
    let server = match tls {
        Some(certificates) => server.bind_rustls_0_23(address, certificates.server_config())?,
        None => server.bind(address)?,
    };
    let addresses = server.addrs();
    Ok(Listening {
        server: server.run(),
        addresses,
    })
}

/// Ready when the process is told to end: SIGTERM, or SIGINT.
///
/// # Errors
/// When the system won't tell.
#[cfg(unix)]
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
