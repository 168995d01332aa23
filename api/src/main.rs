//! `api serve`, `api schema`, and in development `api token --email ADDRESS`.

use anyhow::{Context, bail};
use api::app::App;
use api::http::envelope::Envelope;
use api::http::server;
use domain::clock::Clock;
use domain::db::Binary;
use domain::identity::account::development_token;
use domain::{Config, Db};

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["serve"] => serve().await,
        ["schema"] => {
            print!("{}", api::graphql::sdl());
            Ok(())
        }
        ["token", "--email", email] => token(email).await,
        _ => bail!("usage: api serve | api schema | api token --email ADDRESS"),
    }
}

/// Runs until told to stop.
async fn serve() -> anyhow::Result<()> {
    domain::crypto::install_crypto_provider();
    let config = Config::from_env()?;
    let telemetry = domain::telemetry::init(&config, "api")?;
    let db = Db::connect(&config, "api", Clock::system())?;
    db.verify(config.environment, Binary::Api).await?;
    let app = App::new(config.clone(), db.clone())?;
    app.tokens().key_set().await.context("the signing keys")?;
    let envelope = Envelope::new(&config, db.clock().clone());
    let routes = move |config: &mut actix_web::web::ServiceConfig| app.routes(config);
    let stop = server::stop_signal()?;
    let listening = server::listen(&config.listen_address, &envelope, routes, stop)
        .with_context(|| format!("listening on {}", config.listen_address))?;
    tracing::info!(addresses = ?listening.addresses, "api ready");
    listening.server.await?;
    db.close().await;
    telemetry.shutdown();
    Ok(())
}

/// Prints an access token for a user, who is made if need be. In development only.
async fn token(email: &str) -> anyhow::Result<()> {
    domain::crypto::install_crypto_provider();
    let config = Config::from_env()?;
    let db = Db::connect(&config, "api", Clock::system())?;
    db.verify(config.environment, Binary::Api).await?;
    let tokens = domain::identity::token::Tokens::new(&db, &config);
    println!("{}", development_token(&db, &tokens, email).await?);
    db.close().await;
    Ok(())
}
