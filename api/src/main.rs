//! `api serve`, `api schema`, `api signing-key …`, and in development `api token --email ADDRESS`.

use anyhow::{Context, bail};
use api::app::App;
use api::http::envelope::Envelope;
use api::http::tls::Certificates;
use api::http::{https, server};
use domain::clock::Clock;
use domain::db::Binary;
use domain::identity::account::development_token;
use domain::identity::keys::{self, Which};
use domain::{Config, Db, Error};
use futures::FutureExt;

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
        ["signing-key", "list"] => list_keys().await,
        ["signing-key", "retire", which] => {
            retire_keys(match *which {
                "--current" => Which::Current,
                "--all" => Which::All,
                kid => Which::Id(kid.to_owned()),
            })
            .await
        }
        _ => bail!(
            "usage: api serve | api schema | api signing-key list | api signing-key retire KID|--current|--all \
             | api token --email ADDRESS"
        ),
    }
}

/// Runs until told to stop.
async fn serve() -> anyhow::Result<()> {
    domain::crypto::install_crypto_provider();
    let config = Config::from_env()?;
    https::check(&config).map_err(anyhow::Error::msg)?;
    let certificates = config.tls.as_ref().map(Certificates::load).transpose()?;
    let telemetry = domain::telemetry::init(&config, "api")?;
    let db = Db::connect(&config, "api", Clock::system())?;
    db.verify(config.environment, Binary::Api).await?;
    let app = App::new(config.clone(), db.clone())?;
    app.tokens().key_set().await.context("the signing keys")?;
    app.warm_up().await;
    let envelope = Envelope::new(&config, db.clock().clone());
    let routes = move |config: &mut actix_web::web::ServiceConfig| app.routes(config);
    let stop = server::stop_signal()?.shared();
    let redirect = config
        .http_redirect_address
        .as_deref()
        .map(|address| {
            https::redirect(address, &config, stop.clone()).with_context(|| format!("listening on {address}"))
        })
        .transpose()?;
    let address = &config.listen_address;
    let listening = server::listen_with(address, certificates.as_ref(), &envelope, routes, stop)
        .with_context(|| format!("listening on {address}"))?;
    if let Some(certificates) = certificates {
        actix_web::rt::spawn(certificates.watch());
    }
    tracing::info!(addresses = ?listening.addresses, "api ready");
    match redirect {
        Some(redirect) => futures::future::try_join(listening.server, redirect.server)
            .await
            .map(drop)?,
        None => listening.server.await?,
    }
    db.close().await;
    telemetry.shutdown();
    Ok(())
}

/// A handle on the database, as `serve` has it, but only if it is the right one.
async fn connect(config: &Config) -> anyhow::Result<Db> {
    domain::crypto::install_crypto_provider();
    let db = Db::connect(config, "api", Clock::system())?;
    db.verify(config.environment, Binary::Api).await?;
    Ok(db)
}

/// Prints the keys that sign access tokens, without any secret.
async fn list_keys() -> anyhow::Result<()> {
    let db = connect(&Config::from_env()?).await?;
    println!(
        "{:<18}{:<11}{:<22}{:<22}verifies until",
        "kid", "state", "made", "signs from"
    );
    for key in keys::list(&db).await? {
        let time = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M:%SZ").to_string();
        println!(
            "{:<18}{:<11}{:<22}{:<22}{}",
            key.id,
            key.state.as_str(),
            time(key.created_at),
            time(key.signs_from),
            key.retired_at.map_or_else(|| "-".to_owned(), time),
        );
    }
    db.close().await;
    Ok(())
}

/// Destroys keys at once, and says what that means.
async fn retire_keys(which: Which) -> anyhow::Result<()> {
    let db = connect(&Config::from_env()?).await?;
    let retired = keys::retire(&db, &which).await.map_err(|error| match error {
        Error::NotFound => anyhow::anyhow!("there is no such key; `api signing-key list` shows them"),
        other => other.into(),
    })?;
    for kid in &retired.gone {
        println!("destroyed {kid}: its tokens are refused everywhere within seconds");
    }
    println!("{} signs from now on", retired.signs);
    println!(
        "Sessions stay: each client fetches its next access token with its session, without signing in again."
    );
    db.close().await;
    Ok(())
}

/// Prints an access token for a user, who is made if need be. In development only.
async fn token(email: &str) -> anyhow::Result<()> {
    let config = Config::from_env()?;
    let db = connect(&config).await?;
    let tokens = domain::identity::token::Tokens::new(&db, &config);
    println!("{}", development_token(&db, &tokens, email).await?);
    db.close().await;
    Ok(())
}
