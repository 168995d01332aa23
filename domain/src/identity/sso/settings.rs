//! The providers of single sign-on, as the environment names them: `SSO_PROVIDERS` lists their names, and of each
//! the variables `SSO_<NAME>_…` say the rest. Of the known ones an id and a secret are enough.

use secrecy::SecretString;
use url::Url;

use crate::config::Environment;

/// What follows `SSO_<NAME>_` in the variables of a provider.
pub const VARIABLES: &[&str] = &[
    "KIND",
    "ISSUER",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "LABEL",
    "SCOPES",
    "TOKEN_AUTH",
    "PKCE",
    "NONCE",
    "ORIGINS",
];

/// What a provider speaks, and what is known of it beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenID Connect, and nothing known.
    Oidc,
    /// OpenID Connect at Google.
    Google,
    /// OpenID Connect at LinkedIn, which sends no nonce back and takes no PKCE.
    LinkedIn,
    /// OAuth 2.0 at GitHub.
    GitHub,
    /// OAuth 2.0 at X.
    X,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "oidc" => Self::Oidc,
            "google" => Self::Google,
            "linkedin" => Self::LinkedIn,
            "github" => Self::GitHub,
            "x" => Self::X,
            _ => return None,
        })
    }

    /// Whether it speaks OpenID Connect.
    pub(super) fn is_oidc(self) -> bool {
        matches!(self, Self::Oidc | Self::Google | Self::LinkedIn)
    }

    /// Who it is, where that is known. By it a person's accounts there are told from those elsewhere.
    fn issuer(self) -> Option<&'static str> {
        match self {
            Self::Oidc => None,
            Self::Google => Some("https://accounts.google.com"),
            Self::LinkedIn => Some("https://www.linkedin.com/oauth"),
            Self::GitHub => Some("https://github.com"),
            Self::X => Some("https://x.com"),
        }
    }

    fn label(self) -> Option<&'static str> {
        match self {
            Self::Oidc => None,
            Self::Google => Some("Google"),
            Self::LinkedIn => Some("LinkedIn"),
            Self::GitHub => Some("GitHub"),
            Self::X => Some("X"),
        }
    }

    /// Who somebody is and their address, and nothing more.
    fn scopes(self) -> &'static str {
        match self {
            Self::Oidc | Self::Google | Self::LinkedIn => "openid email",
            Self::GitHub => "user:email",
            // X gives nobody's own data without the right to read posts.
            Self::X => "users.read users.email tweet.read",
        }
    }

    fn token_auth(self) -> TokenAuth {
        match self {
            Self::LinkedIn | Self::GitHub => TokenAuth::Post,
            Self::Oidc | Self::Google | Self::X => TokenAuth::Basic,
        }
    }
}

/// How the secret is shown to the token endpoint (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAuth {
    /// In the header.
    Basic,
    /// In the body.
    Post,
}

/// All that is configured of a provider.
#[derive(Clone)]
pub struct Settings {
    /// By what it is named in addresses, the audit trail and the database; stable.
    pub name: String,
    /// What people call it.
    pub label: String,
    /// What it speaks.
    pub kind: Kind,
    /// Who it is: with OpenID Connect also where its configuration is found.
    pub issuer: String,
    /// Of GitHub and X, in development: the origin that stands in for all of theirs.
    pub stand_in: Option<Url>,
    /// Who we are to it.
    pub client_id: String,
    /// By what we show it.
    pub client_secret: SecretString,
    /// What we ask for, separated by spaces.
    pub scopes: String,
    /// How the secret is shown.
    pub token_auth: TokenAuth,
    /// Whether PKCE is used (RFC 7636, S256).
    pub pkce: bool,
    /// Whether the ID token must repeat our nonce.
    pub nonce: bool,
    /// Further origins that its sign-in leads through.
    pub origins: Vec<String>,
}

/// Reads them all. What is wrong is handed to `problem`: the variable, and what is wrong with it.
pub(crate) fn read(
    lookup: &dyn Fn(&str) -> Option<String>,
    environment: Environment,
    problem: &mut dyn FnMut(String, String),
) -> Vec<Settings> {
    let names = lookup("SSO_PROVIDERS").unwrap_or_default();
    let mut known: Vec<String> = Vec::new();
    let mut providers = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !is_name(name) || known.iter().any(|known| known == name) {
            let message = "must be different names of at most 32 small letters, digits and _, a letter first";
            problem("SSO_PROVIDERS".to_owned(), message.to_owned());
            continue;
        }
        known.push(name.to_owned());
        let mut block = Block {
            name,
            lookup,
            strict: !environment.is_development(),
            problem,
        };
        providers.extend(block.read());
    }
    providers
}

fn is_name(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The variables of one provider.
struct Block<'a> {
    name: &'a str,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    strict: bool,
    problem: &'a mut dyn FnMut(String, String),
}

impl Block<'_> {
    fn read(&mut self) -> Option<Settings> {
        let kind = match self.get("KIND") {
            Some(text) => Kind::parse(&text).or_else(|| {
                self.wrong("KIND", "must be oidc, google, linkedin, github or x");
                None
            })?,
            None => Kind::parse(self.name).unwrap_or(Kind::Oidc),
        };
        let own_issuer = self.issuer(kind);
        let client_id = self.needed("CLIENT_ID");
        let client_secret = self.needed("CLIENT_SECRET").map(SecretString::from);
        let label = self.label(kind);
        let token_auth = match self.get("TOKEN_AUTH").as_deref() {
            None => kind.token_auth(),
            Some("basic") => TokenAuth::Basic,
            Some("post") => TokenAuth::Post,
            Some(_) => {
                self.wrong("TOKEN_AUTH", "must be basic or post");
                TokenAuth::Basic
            }
        };
        let pkce = self.switch("PKCE", kind != Kind::LinkedIn);
        let nonce = self.switch("NONCE", kind != Kind::LinkedIn);
        let origins = self.origins();
        let scopes = self.get("SCOPES").unwrap_or_else(|| kind.scopes().to_owned());
        if kind.is_oidc() && !scopes.split_whitespace().any(|scope| scope == "openid") {
            self.wrong("SCOPES", "must hold openid");
        }
        let issuer = own_issuer
            .clone()
            .map(|(text, _)| text)
            .or_else(|| kind.issuer().map(str::to_owned));
        Some(Settings {
            name: self.name.to_owned(),
            label,
            kind,
            issuer: issuer?,
            stand_in: own_issuer.map(|(_, url)| url).filter(|_| !kind.is_oidc()),
            client_id: client_id?,
            client_secret: client_secret?,
            scopes,
            token_auth,
            pkce,
            nonce,
            origins,
        })
    }

    /// The issuer as it is written, which is how it is compared, and what it means.
    fn issuer(&mut self, kind: Kind) -> Option<(String, Url)> {
        let Some(text) = self.get("ISSUER") else {
            if kind.issuer().is_none() {
                self.wrong("ISSUER", "is not set");
            }
            return None;
        };
        if self.strict && kind.issuer().is_some() {
            self.wrong("ISSUER", "is known, and is another one in development alone");
            return None;
        }
        match Url::parse(&text) {
            Ok(url) if self.is_reachable(&url) && text.len() <= 255 => Some((text, url)),
            _ => {
                self.wrong("ISSUER", "must be an https URL without a query");
                None
            }
        }
    }

    fn is_reachable(&self, url: &Url) -> bool {
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && !self.strict);
        let plain = url.username().is_empty() && url.password().is_none();
        scheme && plain && url.query().is_none() && url.fragment().is_none()
    }

    fn label(&mut self, kind: Kind) -> String {
        let text = self.get("LABEL");
        if text
            .as_ref()
            .is_some_and(|text| text.chars().count() > 50 || text.chars().any(char::is_control))
        {
            self.wrong("LABEL", "must be one line of at most 50 characters");
        }
        text.or_else(|| kind.label().map(str::to_owned))
            .unwrap_or_else(|| self.name.to_owned())
    }

    fn origins(&mut self) -> Vec<String> {
        let text = self.get("ORIGINS").unwrap_or_default();
        let mut origins = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match Url::parse(part) {
                Ok(url) if self.is_reachable(&url) && url.path() == "/" => {
                    origins.push(url.origin().ascii_serialization());
                }
                _ => self.wrong("ORIGINS", "must be https origins without a path"),
            }
        }
        origins
    }

    fn switch(&mut self, suffix: &str, usual: bool) -> bool {
        match self.get(suffix).as_deref() {
            None => usual,
            Some("true") => true,
            Some("false") => false,
            Some(_) => {
                self.wrong(suffix, "must be true or false");
                usual
            }
        }
    }

    fn needed(&mut self, suffix: &str) -> Option<String> {
        let text = self.get(suffix);
        if text.is_none() {
            self.wrong(suffix, "is not set");
        }
        text
    }

    fn variable(&self, suffix: &str) -> String {
        format!("SSO_{}_{suffix}", self.name.to_ascii_uppercase())
    }

    fn get(&self, suffix: &str) -> Option<String> {
        (self.lookup)(&self.variable(suffix)).filter(|text| !text.is_empty())
    }

    fn wrong(&mut self, suffix: &str, message: &str) {
        let variable = self.variable(suffix);
        (self.problem)(variable, message.to_owned());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn with(environment: Environment, pairs: &[(&str, &str)]) -> Result<Vec<Settings>, Vec<String>> {
        let values: HashMap<_, _> = pairs.iter().copied().collect();
        let mut problems = Vec::new();
        let lookup = |name: &str| values.get(name).map(|value| (*value).to_owned());
        let read = read(&lookup, environment, &mut |variable, _| problems.push(variable));
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(problems)
        }
    }

    #[test]
    fn the_known_ones_need_an_id_and_a_secret_alone() {
        let names = ["google", "linkedin", "github", "x"];
        let mut pairs = vec![("SSO_PROVIDERS".to_owned(), names.join(", "))];
        for name in names {
            let upper = name.to_uppercase();
            pairs.push((format!("SSO_{upper}_CLIENT_ID"), "id".to_owned()));
            pairs.push((format!("SSO_{upper}_CLIENT_SECRET"), "secret".to_owned()));
        }
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let read = with(Environment::Production, &pairs).unwrap();
        let seen: Vec<_> = read
            .iter()
            .map(|p| (p.label.as_str(), p.issuer.as_str(), p.token_auth, p.pkce, p.nonce))
            .collect();
        use TokenAuth::{Basic, Post};
        assert_eq!(
            seen,
            [
                ("Google", "https://accounts.google.com", Basic, true, true),
                ("LinkedIn", "https://www.linkedin.com/oauth", Post, false, false),
                ("GitHub", "https://github.com", Post, true, true),
                ("X", "https://x.com", Basic, true, true),
            ]
        );
        assert!(read.iter().all(|provider| provider.stand_in.is_none()));
    }

    #[test]
    fn any_other_is_one_more_block_and_strict_by_default() {
        let pairs = [
            ("SSO_PROVIDERS", "acme,acme_two"),
            ("SSO_ACME_ISSUER", "https://id.acme.example/realms/a"),
            ("SSO_ACME_CLIENT_ID", "id"),
            ("SSO_ACME_CLIENT_SECRET", "secret"),
            ("SSO_ACME_TWO_KIND", "oidc"),
            ("SSO_ACME_TWO_ISSUER", "https://two.acme.example/"),
            ("SSO_ACME_TWO_CLIENT_ID", "id"),
            ("SSO_ACME_TWO_CLIENT_SECRET", "secret"),
            ("SSO_ACME_TWO_LABEL", "Acme Two"),
            ("SSO_ACME_TWO_NONCE", "false"),
            ("SSO_ACME_TWO_TOKEN_AUTH", "post"),
            ("SSO_ACME_TWO_ORIGINS", "https://login.acme.example"),
        ];
        let read = with(Environment::Production, &pairs).unwrap();
        assert_eq!(
            (read[0].label.as_str(), read[0].nonce, read[0].pkce),
            ("acme", true, true)
        );
        assert_eq!(read[1].label, "Acme Two");
        assert_eq!(
            (read[1].nonce, read[1].pkce, read[1].token_auth),
            (false, true, TokenAuth::Post)
        );
        // As it is written, for it is compared so.
        assert_eq!(read[1].issuer, "https://two.acme.example/");
        assert_eq!(read[1].origins, ["https://login.acme.example"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let sound = [
            ("SSO_PROVIDERS", "a"),
            ("SSO_A_ISSUER", "https://a.example"),
            ("SSO_A_CLIENT_ID", "id"),
            ("SSO_A_CLIENT_SECRET", "secret"),
        ];
        assert!(with(Environment::Staging, &sound).is_ok());
        for (variable, value) in [
            ("SSO_PROVIDERS", "a,a"),
            ("SSO_PROVIDERS", "a,B"),
            ("SSO_PROVIDERS", "a,1b"),
            ("SSO_PROVIDERS", "a,b/c"),
            ("SSO_A_KIND", "saml"),
            ("SSO_A_ISSUER", ""),
            ("SSO_A_ISSUER", "http://a.example"),
            ("SSO_A_ISSUER", "https://a.example?b"),
            ("SSO_A_ISSUER", "a.example"),
            ("SSO_A_CLIENT_ID", ""),
            ("SSO_A_CLIENT_SECRET", ""),
            ("SSO_A_SCOPES", "email"),
            ("SSO_A_TOKEN_AUTH", "none"),
            ("SSO_A_PKCE", "no"),
            ("SSO_A_NONCE", "1"),
            ("SSO_A_LABEL", "a\nb"),
            ("SSO_A_ORIGINS", "https://a.example/b"),
            ("SSO_A_ORIGINS", "*"),
        ] {
            let mut pairs = sound.to_vec();
            pairs.push((variable, value));
            assert_eq!(
                with(Environment::Staging, &pairs).err(),
                Some(vec![variable.to_owned()]),
                "{variable}={value}"
            );
        }
    }

    #[test]
    fn only_development_lets_another_stand_in_for_a_known_one() {
        let pairs = [
            ("SSO_PROVIDERS", "github"),
            ("SSO_GITHUB_ISSUER", "http://127.0.0.1:1"),
            ("SSO_GITHUB_CLIENT_ID", "id"),
            ("SSO_GITHUB_CLIENT_SECRET", "secret"),
        ];
        let read = with(Environment::Development, &pairs).unwrap();
        assert_eq!(read[0].stand_in.as_ref().unwrap().as_str(), "http://127.0.0.1:1/");
        assert_eq!(
            with(Environment::Production, &pairs).err(),
            Some(vec!["SSO_GITHUB_ISSUER".to_owned()])
        );
    }
}
