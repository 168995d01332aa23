//! What is said to whoever watches.

use std::time::Duration;

use actix_web::{App, test};
use api::http::health::{Readiness, routes};
use domain::clock::Clock;
use domain::testing::{Login, TestDatabase};
use domain::{Db, Error};
use serde_json::{Value, json};

async fn ask(readiness: Readiness, path: &str) -> (u16, Value) {
    let app = test::init_service(App::new().configure(routes(readiness))).await;
    let response = test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;
    let status = response.status().as_u16();
    (status, test::read_body_json(response).await)
}

fn here() -> impl Future<Output = domain::Result<()>> {
    std::future::ready(Ok(()))
}

fn away() -> impl Future<Output = domain::Result<()>> {
    std::future::ready(Err(Error::unavailable("redis://secret.example.test is away")))
}

#[actix_web::test]
async fn ready_with_everything_and_degraded_without_redis() {
    let database = TestDatabase::new().await;
    let db = Db::connect(&database.config(Login::Api, &[]), "test", Clock::system()).unwrap();
    assert_eq!(
        ask(Readiness::new(db.clone(), here), "/readyz").await,
        (
            200,
            json!({"status": "ready", "postgres": "ready", "redis": "ready"})
        )
    );
    assert_eq!(
        ask(Readiness::new(db.clone(), away), "/readyz").await,
        (
            200,
            json!({"status": "degraded", "postgres": "ready", "redis": "away"})
        )
    );
    let hangs = Readiness::new(db, std::future::pending).within(Duration::from_millis(200));
    assert_eq!(ask(hangs, "/readyz").await.1["redis"], "away");
}

#[actix_web::test]
async fn not_ready_without_a_migrated_database_but_alive() {
    let database = TestDatabase::new().await;
    let mut empty = database.url(Login::Api);
    for path in ["postgres", "crm_no_such_database"] {
        empty.set_path(path);
        let config = database.config(Login::Api, &[("DATABASE_URL", empty.as_str())]);
        let readiness = Readiness::new(Db::connect(&config, "test", Clock::system()).unwrap(), here);
        assert_eq!(
            ask(readiness.clone(), "/readyz").await,
            (
                503,
                json!({"status": "away", "postgres": "away", "redis": "ready"})
            )
        );
        assert_eq!(
            ask(readiness, "/healthz").await,
            (200, json!({"status": "alive"}))
        );
    }
}
