//! The application: what serves which path, and what it is given.

use std::sync::Arc;

use actix_web::web;
use async_graphql::{EmptySubscription, Schema};
use domain::identity::sso::Providers;
use domain::identity::token::Tokens;
use domain::limit::Limits;
use domain::{Config, Db};

use crate::graphql::scalars::{EmailAddress, TimeZone, Url};
use crate::graphql::{self, Mutation, Query};
use crate::http::documents::{CacheSize, Documents, executor};
use crate::http::gate::Gate;
use crate::http::graphiql;
use crate::http::graphql::{Endpoint, HttpLimits, register};
use crate::http::guard::Guard;
use crate::http::health::{self, Readiness};
use crate::http::identity::{self, Identity};
use crate::http::limits::Limits as DocumentLimits;
use crate::http::multipart::Upload;
use crate::http::uploads::Store;

/// Everything that the routes need. Cheap to clone.
#[derive(Clone)]
pub struct App {
    config: Config,
    db: Db,
    limits: Limits,
    tokens: Tokens,
    guard: Guard,
    providers: Providers,
    documents: Arc<Documents>,
    executor: Schema<Query, Mutation, EmptySubscription>,
}

impl App {
    /// With that configuration, on that database.
    ///
    /// # Errors
    /// When the schema can't be built or the configuration can't be used.
    pub fn new(config: Config, db: Db) -> anyhow::Result<Self> {
        let limits = Limits::connect(&config, db.clock().clone())?;
        let tokens = Tokens::new(&db, &config);
        let providers = Providers::new(&config, db.clock().clone())?;
        let bounds = document_limits(&config);
        let documents = Documents::new(graphql::builder(), &bounds, CacheSize::default())?
            .scalar::<chrono::DateTime<chrono::Utc>>()
            .scalar::<EmailAddress>()
            .scalar::<TimeZone>()
            .scalar::<Url>()
            .scalar::<Upload>();
        let executor = executor(graphql::builder(), &bounds);
        Ok(Self {
            guard: Guard::new(&config, &db, limits.clone(), tokens.clone()),
            config,
            db,
            limits,
            tokens,
            providers,
            documents: Arc::new(documents),
            executor,
        })
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The maker of access tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Connects to Redis, whose connection then lives as long as the runtime of the caller. Without Redis
    /// everything works, so this says no more than a warning.
    pub async fn warm_up(&self) {
        if let Err(error) = self.limits.ping().await {
            tracing::warn!(%error, "Redis does not answer yet");
        }
    }

    /// Registers every route.
    pub fn routes(&self, config: &mut web::ServiceConfig) {
        let limits = self.limits.clone();
        let ping = move || {
            let limits = limits.clone();
            async move { limits.ping().await }
        };
        let identity = Identity::new(
            &self.config,
            self.db.clone(),
            self.limits.clone(),
            self.tokens.clone(),
            self.providers.clone(),
        );
        let endpoint = Endpoint {
            gate: Gate::new(self.guard.clone(), self.limits.clone(), self.db.clone()),
            executor: self.executor.clone(),
            uploads: Arc::new(Store::new(self.db.clone(), self.limits.clone())),
            documents: Arc::clone(&self.documents),
            limits: HttpLimits {
                document: document_limits(&self.config),
                ..HttpLimits::default()
            },
        };
        config
            .app_data(web::Data::new(identity))
            .configure(health::routes(Readiness::new(self.db.clone(), ping)))
            .configure(identity::configure)
            .configure(|config| {
                if self.config.environment.is_development() {
                    graphiql::configure(config);
                }
            })
            .configure(|config| register(config, "/graphql", Arc::new(endpoint)));
    }
}

fn document_limits(config: &Config) -> DocumentLimits {
    DocumentLimits {
        introspection: config.environment.is_development(),
        ..DocumentLimits::default()
    }
}
