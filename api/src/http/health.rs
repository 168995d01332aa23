//! For whoever watches or balances: `/healthz` says that the process lives, `/readyz` that it can serve.
//! Neither says more than names to strangers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use domain::{Db, Error, Result};
use serde::Serialize;

/// How long a part has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<()>>>> + Send + Sync>;

/// What readiness asks.
#[derive(Clone)]
pub struct Readiness {
    db: Db,
    redis: Check,
    patience: Duration,
}

impl Readiness {
    /// Of a database, which must be there and migrated, and of Redis, which may be away.
    pub fn new<F, R>(db: Db, redis: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + 'static,
    {
        Self {
            db,
            redis: Arc::new(move || Box::pin(redis())),
            patience: PATIENCE,
        }
    }

    /// With another limit to how long a part may take.
    #[must_use]
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn check(&self, part: &'static str, asked: impl Future<Output = Result<()>>) -> &'static str {
        let answer = tokio::time::timeout(self.patience, asked)
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("no answer in time")));
        match answer {
            Ok(()) => "ready",
            Err(error) => {
                tracing::warn!(part, %error, "not ready");
                "away"
            }
        }
    }
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    postgres: &'static str,
    redis: &'static str,
}

/// Whether one of the two is asked for.
pub(super) fn is_health(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Adds both, without authentication.
pub fn routes(readiness: Readiness) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .app_data(web::Data::new(readiness))
            .route("/healthz", web::get().to(alive))
            .route("/readyz", web::get().to(ready));
    }
}

async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "alive" }))
}

async fn ready(readiness: web::Data<Readiness>) -> HttpResponse {
    let (postgres, redis) = futures::join!(
        readiness.check("postgres", readiness.db.ping()),
        readiness.check("redis", (readiness.redis)()),
    );
    // Redis holds only what may be lost, and everything works without it.
    let (mut response, status) = match (postgres, redis) {
        ("ready", "ready") => (HttpResponse::Ok(), "ready"),
        ("ready", _) => (HttpResponse::Ok(), "degraded"),
        _ => (HttpResponse::ServiceUnavailable(), "away"),
    };
    response.json(Report {
        status,
        postgres,
        redis,
    })
}
