//! What every handler is given.

use std::sync::Arc;

use domain::clock::Clock;
use domain::{Config, Db, Result};

use crate::mail::Mailer;

/// What every handler is given besides its job and its viewer. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The way to the database.
    pub db: Db,
    /// The settings of this process.
    pub config: Arc<Config>,
    /// The way out for mail.
    pub mailer: Mailer,
}

impl Context {
    /// What the configuration names: a database, by the worker's own login, and a way out for mail.
    ///
    /// # Errors
    /// [`domain::Error::Internal`] when `DATABASE_URL`, `SMTP_URL` or `MAIL_FROM` can't be used. Neither
    /// server is asked yet.
    pub fn new(config: Config, clock: Clock) -> Result<Self> {
        let db = Db::connect(&config, "worker", clock)?;
        let mailer = Mailer::new(&config)?;
        Ok(Self {
            db,
            config: Arc::new(config),
            mailer,
        })
    }

    /// The clock that all times are taken from.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.db.clock()
    }
}
