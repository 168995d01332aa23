//! The worker's binary: `worker run`.

use anyhow::{Context as _, bail};
use domain::Config;
use domain::clock::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use worker::{Context, register, run};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["run"] {
        bail!("usage: worker run");
    }
    domain::crypto::install_crypto_provider();
    let config = Config::from_env()?;
    // Outlives the runtime: what it sends last, it sends from a thread of its own.
    let _telemetry = domain::telemetry::init(&config, "worker")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Before anything else, so that a signal during the start is not lost.
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.send(true).ok();
        // Held until the end: its going would be a word to stop, too.
        std::future::pending::<()>().await;
    });
    let environment = config.environment;
    let ctx = Context::new(config, Clock::system())?;
    let db = ctx.db.clone();
    db.verify(environment, domain::db::Binary::Worker)
        .await
        .context("the database can't be used")?;
    run::serve(ctx, register::kinds(), register::SCHEDULES, stopped).await?;
    db.close().await;
    tracing::info!("stopped");
    Ok(())
}
