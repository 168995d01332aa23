//! The application: what serves which path, and what it is given.

use std::sync::Arc;

use actix_web::{HttpRequest, web};
use async_graphql::{EmptySubscription, Request, Schema};
use bytes::Bytes;
use domain::identity::token::Tokens;
use domain::limit::{Bucket, Limits};
use domain::{Config, Db, Error, Viewer, upload};

use crate::graphql::reader::Reader;
use crate::graphql::scalars::{EmailAddress, TimeZone, Url};
use crate::graphql::{self, Mutation, Query};
use crate::http::documents::{CacheSize, Documents, executor};
use crate::http::envelope;
use crate::http::graphql::{Budget, Endpoint, Gate, GateError, HttpLimits, register};
use crate::http::guard::viewer_from;
use crate::http::health::{self, Readiness};
use crate::http::identity::{self, Identity};
use crate::http::limits::Limits as DocumentLimits;
use crate::http::multipart::{SinkError, Upload, UploadId, UploadSink};

/// Everything that the routes need. Cheap to clone.
#[derive(Clone)]
pub struct App {
    config: Config,
    db: Db,
    limits: Limits,
    tokens: Tokens,
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
        let bounds = document_limits(&config);
        let documents = Documents::new(graphql::builder(), &bounds, CacheSize::default())?
            .scalar::<chrono::DateTime<chrono::Utc>>()
            .scalar::<EmailAddress>()
            .scalar::<TimeZone>()
            .scalar::<Url>()
            .scalar::<Upload>();
        let executor = executor(graphql::builder(), &bounds);
        Ok(Self {
            config,
            db,
            limits,
            tokens,
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
        );
        let endpoint = Endpoint {
            gate: Door { app: self.clone() },
            executor: self.executor.clone(),
            uploads: Arc::new(Store {
                db: self.db.clone(),
                limits: self.limits.clone(),
            }),
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
            .configure(|config| register(config, "/graphql", Arc::new(endpoint)));
    }
}

fn document_limits(config: &Config) -> DocumentLimits {
    DocumentLimits {
        introspection: config.environment.is_development(),
        ..DocumentLimits::default()
    }
}

/// Who comes in to `/graphql`.
struct Door {
    app: App,
}

impl Gate for Door {
    type Viewer = Viewer;

    async fn viewer(&self, request: &HttpRequest) -> Result<Viewer, GateError> {
        let viewer = viewer_from(request, &self.app.tokens, &self.app.config.trusted_proxies).await?;
        envelope::identify(request, viewer.user());
        Ok(viewer)
    }

    async fn take(&self, viewer: &Viewer, cost: u32) -> Result<Budget, GateError> {
        let user = viewer.user().to_string();
        let budget = self
            .app
            .limits
            .take(Bucket::GraphqlCostPerUser, &user, cost)
            .await?;
        Ok(Budget {
            limit: budget.limit,
            remaining: budget.remaining,
            reset_at: budget.reset_at,
        })
    }

    fn attach(&self, viewer: &Viewer, request: Request) -> Request {
        request.data(Reader::new(self.app.db.clone(), viewer.clone()))
    }
}

impl From<Error> for GateError {
    fn from(error: Error) -> Self {
        match error {
            Error::RateLimited(retry_after) => Self::RateLimited { retry_after },
            Error::Forbidden | Error::StepUpRequired => Self::Forbidden,
            Error::Unavailable(cause) => {
                tracing::warn!(error = %cause, "the gate is unavailable");
                Self::Unavailable
            }
            Error::Internal(cause) => {
                tracing::error!(error = %cause, "the gate failed");
                Self::Unavailable
            }
            Error::Unauthenticated | Error::NotFound | Error::Invalid(_) | Error::TooLarge => {
                Self::Unauthenticated
            }
        }
    }
}

/// Where uploaded files go: each piece in a transaction of its own.
struct Store {
    db: Db,
    limits: Limits,
}

impl UploadSink<Viewer> for Store {
    async fn begin(
        &self,
        viewer: &Viewer,
        filename: Option<String>,
        _content_type: Option<String>,
    ) -> Result<UploadId, SinkError> {
        self.limits
            .take(Bucket::UploadsPerUser, &viewer.user().to_string(), 1)
            .await?;
        let tx = self.db.begin_machinery(viewer).await?;
        let id = upload::begin(&tx, filename.as_deref()).await?;
        tx.commit().await?;
        Ok(UploadId(id))
    }

    async fn write(
        &self,
        viewer: &Viewer,
        id: UploadId,
        position: u32,
        bytes: Bytes,
    ) -> Result<(), SinkError> {
        let tx = self.db.begin_machinery(viewer).await?;
        upload::append(&tx, id.0, position, &bytes).await?;
        Ok(tx.commit().await?)
    }

    async fn finish(&self, viewer: &Viewer, id: UploadId) -> Result<(), SinkError> {
        let tx = self.db.begin_machinery(viewer).await?;
        upload::finish(&tx, id.0).await?;
        Ok(tx.commit().await?)
    }

    async fn abandon(&self, viewer: &Viewer, id: UploadId) {
        let gone = async {
            let tx = self.db.begin_machinery(viewer).await?;
            upload::abandon(&tx, id.0).await?;
            tx.commit().await
        };
        // What stays behind is swept by its age.
        if let Err(error) = gone.await {
            tracing::warn!(%error, "an upload was not removed");
        }
    }
}

impl From<Error> for SinkError {
    fn from(error: Error) -> Self {
        let code = error.class();
        match error {
            Error::Invalid(errors) => {
                let first = errors.into_iter().next();
                let code = first.as_ref().map_or(code, |error| error.code.as_str());
                let message = first.map_or_else(String::new, |error| error.message.into_owned());
                Self::Refused { code, message }
            }
            Error::RateLimited(retry_after) => Self::RateLimited { retry_after },
            Error::Unauthenticated => Self::Unauthenticated,
            other => Self::Failed(Box::new(other)),
        }
    }
}
