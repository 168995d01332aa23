//! The configuration: read from the environment once, into one typed struct; nothing reads it later.
//!
//! All that is wrong is reported at once, each with its variable's name. Staging and production are
//! strict, so that nobody has to remember a switch.

use std::borrow::Cow;
use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use crate::crypto::RootKeys;
use crate::identity::sso::settings::{self, Settings};
use crate::network::Network;

/// Which of the three environments a process, a database or a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine.
    Development,
    /// Where a release is tried.
    Staging,
    /// Where users are.
    Production,
}

impl Environment {
    /// The name, as in `APP_ENV` and in the database's stamp.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Whether this is a developer's machine.
    #[must_use]
    pub fn is_development(self) -> bool {
        self == Self::Development
    }
}

/// Every setting of both binaries.
#[derive(Clone)]
pub struct Config {
    /// `APP_ENV`.
    pub environment: Environment,
    /// `DATABASE_URL`: this binary's own login.
    pub database_url: SecretString,
    /// `DATABASE_POOL`: connections at most, for each process.
    pub database_pool: u32,
    /// `REDIS_URL`.
    pub redis_url: SecretString,
    /// `ROOT_KEYS`.
    pub root_keys: RootKeys,
    /// `PUBLIC_URL`: where browsers reach the API; an origin without a path.
    pub public_url: Url,
    /// `LISTEN_ADDRESS`: where the API listens.
    pub listen_address: String,
    /// `FRONTEND_ORIGINS`: the web front ends that may call the API from a browser.
    pub frontend_origins: Vec<String>,
    /// `SSO_PROVIDERS`, and `SSO_<NAME>_…` of each: where people may sign in besides.
    pub sso_providers: Vec<Settings>,
    /// `TRUSTED_PROXIES`: addresses and networks whose `X-Forwarded-…` is believed.
    pub trusted_proxies: Vec<Network>,
    /// `TLS_CERT_FILE` and `TLS_KEY_FILE`: by what the API itself speaks TLS.
    pub tls: Option<TlsFiles>,
    /// `HTTP_REDIRECT_ADDRESS`: where plain http is led to `PUBLIC_URL`.
    pub http_redirect_address: Option<String>,
    /// `SIGNING_KEY_DAYS`: every how many days a new key signs access tokens.
    pub signing_key_days: u16,
    /// `SMTP_URL`: where mail goes.
    pub smtp_url: Option<SecretString>,
    /// `MAIL_FROM`: whom mail is from.
    pub mail_from: String,
    /// `MAIL_DIR`: where mail goes in development without `SMTP_URL`.
    pub mail_dir: PathBuf,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: where traces go.
    pub otlp_endpoint: Option<Url>,
    /// `SENTRY_DSN`: where errors go.
    pub sentry_dsn: Option<SecretString>,
    /// `RELEASE`: the name of this build.
    pub release: Option<String>,
    /// `LOG`: what is logged, as a `tracing` filter.
    pub log: String,
}

/// A certificate and its key, in PEM files that may change while they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and after it those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// One setting that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name.
    pub variable: Cow<'static, str>,
    /// What is wrong with it; never its value.
    pub message: String,
}

/// Everything that is wrong with the environment.
#[derive(Debug, thiserror::Error)]
#[error("the configuration can't be used:{}", .0.iter().map(|p| format!("\n  {}: {}", p.variable, p.message)).collect::<String>())]
pub struct ConfigError(pub Vec<Problem>);

/// Every variable that is read, for the check against `.env.example`. Of each provider of single sign-on there
/// are those besides that [`settings::VARIABLES`] lists.
pub const VARIABLES: &[&str] = &[
    "APP_ENV",
    "DATABASE_URL",
    "DATABASE_POOL",
    "REDIS_URL",
    "ROOT_KEYS",
    "PUBLIC_URL",
    "LISTEN_ADDRESS",
    "FRONTEND_ORIGINS",
    "TRUSTED_PROXIES",
    "SSO_PROVIDERS",
    "TLS_CERT_FILE",
    "TLS_KEY_FILE",
    "HTTP_REDIRECT_ADDRESS",
    "SIGNING_KEY_DAYS",
    "SMTP_URL",
    "MAIL_FROM",
    "MAIL_DIR",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "SENTRY_DSN",
    "RELEASE",
    "LOG",
];

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|name| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the environment"
            )]
            std::env::var(name).ok()
        })
    }

    /// Reads the variables from wherever `lookup` finds them.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader {
            lookup: &lookup,
            problems: Vec::new(),
        };
        let config = reader.config();
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(ConfigError(reader.problems)),
        }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn config(&mut self) -> Option<Config> {
        let environment = self.parsed("APP_ENV", |text| match text {
            "development" => Ok(Environment::Development),
            "staging" => Ok(Environment::Staging),
            "production" => Ok(Environment::Production),
            _ => Err("must be development, staging or production".to_owned()),
        });
        let strict = !matches!(environment, Some(Environment::Development));
        let database_url = self.parsed("DATABASE_URL", |text| {
            check_url(text, &["postgres", "postgresql"]).map(|()| SecretString::from(text))
        });
        let redis_url = self.parsed("REDIS_URL", |text| {
            check_url(text, &["redis", "rediss", "unix", "redis+unix"]).map(|()| SecretString::from(text))
        });
        let root_keys = self.parsed("ROOT_KEYS", |text| RootKeys::parse(text, strict));
        let public_url = self.parsed("PUBLIC_URL", |text| check_public_url(text, strict));
        let frontend_origins = self.list("FRONTEND_ORIGINS", |text| check_origin(text, strict));
        let trusted_proxies = self.list("TRUSTED_PROXIES", |text| {
            Network::parse(text).map_err(|wrong| wrong.to_string())
        });
        let sso_providers = self.sso_providers(environment.unwrap_or(Environment::Production));
        let (tls, http_redirect_address) = self.https(public_url.as_ref());
        let signing_key_days = self.optional("SIGNING_KEY_DAYS", |text| match text.parse() {
            Ok(days @ 1..=365) => Ok(days),
            _ => Err("must be a number of days from 1 to 365".to_owned()),
        });
        let smtp_url = self.optional("SMTP_URL", |text| {
            check_url(text, &["smtps", "smtp"]).map(|()| SecretString::from(text))
        });
        if strict && smtp_url.is_none() {
            self.problem("SMTP_URL", "is needed outside development");
        }
        let otlp_endpoint = self.optional("OTEL_EXPORTER_OTLP_ENDPOINT", |text| {
            Url::parse(text).map_err(|_| "is no URL".to_owned())
        });
        let sentry_dsn = self.optional("SENTRY_DSN", |text| {
            check_url(text, &["https", "http"]).map(|()| SecretString::from(text))
        });
        let database_pool = self.optional("DATABASE_POOL", |text| match text.parse() {
            Ok(size @ 2..=1000) => Ok(size),
            _ => Err("must be a number from 2 to 1000".to_owned()),
        });
        let listen_address = self.optional("LISTEN_ADDRESS", check_socket);
        let mail_from = self.optional("MAIL_FROM", |text| {
            if text.contains('@') && !text.contains(['\r', '\n']) {
                Ok(text.to_owned())
            } else {
                Err("must be an e-mail address".to_owned())
            }
        });
        if strict && mail_from.is_none() {
            self.problem("MAIL_FROM", "is needed outside development");
        }
        let plain = |name: &str| (self.lookup)(name).filter(|text| !text.is_empty());
        let (mail_dir, release, log) = (plain("MAIL_DIR"), plain("RELEASE"), plain("LOG"));
        if strict && sentry_dsn.is_some() && release.is_none() {
            self.problem("RELEASE", "is needed with SENTRY_DSN outside development");
        }
        Some(Config {
            environment: environment?,
            database_url: database_url?,
            database_pool: database_pool.unwrap_or(16),
            redis_url: redis_url?,
            root_keys: root_keys?,
            public_url: public_url?,
            listen_address: listen_address.unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
            frontend_origins,
            trusted_proxies,
            sso_providers,
            tls,
            http_redirect_address,
            signing_key_days: signing_key_days.unwrap_or(30),
            smtp_url,
            mail_from: mail_from.unwrap_or_else(|| "crm@localhost".to_owned()),
            mail_dir: mail_dir.map_or_else(|| PathBuf::from(".data/mail"), PathBuf::from),
            otlp_endpoint,
            sentry_dsn,
            release,
            log: log.unwrap_or_else(|| "info".to_owned()),
        })
    }

    fn sso_providers(&mut self, environment: Environment) -> Vec<Settings> {
        let problems = &mut self.problems;
        settings::read(self.lookup, environment, &mut |variable, message| {
            problems.push(Problem {
                variable: variable.into(),
                message,
            });
        })
    }

    /// By what TLS is spoken, and where plain http is redirected. Either way browsers come by https alone.
    fn https(&mut self, public_url: Option<&Url>) -> (Option<TlsFiles>, Option<String>) {
        let is_https = public_url.is_none_or(|url| url.scheme() == "https");
        let tls = self.tls();
        if tls.is_some() && !is_https {
            self.problem("PUBLIC_URL", "must be https with TLS_CERT_FILE");
        }
        let redirect = self.optional("HTTP_REDIRECT_ADDRESS", check_socket);
        if redirect.is_some() && !is_https {
            self.problem("PUBLIC_URL", "must be https with HTTP_REDIRECT_ADDRESS");
        }
        (tls, redirect)
    }

    /// Both files or neither: one alone is a slip that would serve plain text.
    fn tls(&mut self) -> Option<TlsFiles> {
        let path = |text: &str| Ok(PathBuf::from(text));
        let certificate = self.optional("TLS_CERT_FILE", path);
        let key = self.optional("TLS_KEY_FILE", path);
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (Some(_), None) => {
                self.problem("TLS_KEY_FILE", "is needed with TLS_CERT_FILE");
                None
            }
            (None, Some(_)) => {
                self.problem("TLS_CERT_FILE", "is needed with TLS_KEY_FILE");
                None
            }
            (None, None) => None,
        }
    }

    fn problem(&mut self, variable: &'static str, message: impl Into<String>) {
        self.problems.push(Problem {
            variable: variable.into(),
            message: message.into(),
        });
    }

    fn optional<T>(
        &mut self,
        variable: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = (self.lookup)(variable).filter(|text| !text.is_empty())?;
        parse(&text)
            .map_err(|message| self.problem(variable, message))
            .ok()
    }

    fn parsed<T>(&mut self, variable: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        if (self.lookup)(variable).is_none_or(|text| text.is_empty()) {
            self.problem(variable, "is not set");
            return None;
        }
        self.optional(variable, parse)
    }

    fn list<T>(&mut self, variable: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let text = (self.lookup)(variable).unwrap_or_default();
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let parsed: Vec<Result<T, String>> = parts.map(parse).collect();
        let mut sound = Vec::new();
        for item in parsed {
            match item {
                Ok(item) => sound.push(item),
                Err(message) => self.problem(variable, message),
            }
        }
        sound
    }
}

fn check_url(text: &str, schemes: &[&str]) -> Result<(), String> {
    match Url::parse(text) {
        Ok(url) if schemes.contains(&url.scheme()) => Ok(()),
        Ok(_) => Err(format!("must begin with {}://", schemes.join(":// or "))),
        Err(_) => Err("is no URL".to_owned()),
    }
}

fn check_socket(text: &str) -> Result<String, String> {
    text.parse::<std::net::SocketAddr>()
        .map(|_| text.to_owned())
        .map_err(|_| "must be ADDRESS:PORT".to_owned())
}

fn check_origin(text: &str, strict: bool) -> Result<String, String> {
    if text == "*" {
        return Err("* would let every site in".to_owned());
    }
    let url = check_public_url(text, strict)?;
    Ok(url.origin().ascii_serialization())
}

fn check_public_url(text: &str, strict: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "is no URL".to_owned())?;
    match url.scheme() {
        "https" => {}
        "http" if !strict => {}
        "http" => return Err("must be https outside development".to_owned()),
        _ => return Err("must begin with https://".to_owned()),
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err("must be an origin alone, without a path".to_owned());
    }
    Ok(url)
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
