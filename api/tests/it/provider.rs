//! Stands in for providers of single sign-on, so that they can be made to lie, to fail and to hang: one that speaks
//! OpenID Connect with keys of its own, and GitHub's and X's endpoints with the shapes that they document.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::clock::Clock;
use domain::crypto::sha256;
use serde_json::{Value, json};
use url::Url;

pub const CLIENT: &str = "personal-crm";
pub const SECRET: &str = "a secret: of the tests";

/// A provider on a port of its own, for as long as the test runs.
pub struct Provider {
    pub url: String,
    state: Arc<Mutex<State>>,
}

/// What it is and does. A test changes it at any time.
pub struct State {
    url: String,
    key: Key,
    /// By which its tokens are dated.
    pub clock: Clock,
    /// Laid over the sound header and claims of each ID token; null takes one away.
    pub header: Value,
    pub claims: Value,
    /// How ID tokens are signed.
    pub signed: Signed,
    /// What the configuration says otherwise; null takes it away.
    pub configuration: Value,
    /// Answers by path in place of the usual ones.
    pub answers: HashMap<&'static str, Reply>,
    /// What arrived.
    pub seen: Vec<Seen>,
    codes: HashMap<String, Grant>,
}

#[derive(Clone, Copy)]
pub enum Signed {
    Well,
    Not,
    /// HMAC-SHA-256 with the public key as the secret.
    WithThePublicKey,
    /// By a key that is not published.
    ByAnother,
}

#[derive(Clone)]
pub enum Reply {
    Json(u16, Value),
    Text(u16, String),
    Redirect(String),
    Never,
}

#[derive(Clone)]
pub struct Seen {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub form: HashMap<String, String>,
}

struct Grant {
    nonce: Option<String>,
    challenge: Option<String>,
    redirect_uri: String,
}

struct Key {
    id: String,
    pair: KeyPair,
}

impl Key {
    fn new() -> Self {
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            pair: KeyPair::generate(KeySize::Rsa2048).unwrap(),
        }
    }

    /// The modulus; it stands at a fixed place of a 2048-bit key's encoding (RFC 8017, A.1.1).
    fn modulus(&self) -> Vec<u8> {
        self.pair.public_key().as_ref()[9..265].to_vec()
    }

    fn public(&self) -> Value {
        let n = URL_SAFE_NO_PAD.encode(self.modulus());
        json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id, "n": n, "e": "AQAB" })
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .unwrap();
        signature
    }
}

impl Provider {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            url: String::new(),
            key: Key::new(),
            clock: Clock::system(),
            header: json!({}),
            claims: json!({}),
            signed: Signed::Well,
            configuration: json!({}),
            answers: HashMap::new(),
            seen: Vec::new(),
            codes: HashMap::new(),
        }));
        let shared = Data::new(Arc::clone(&state));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .default_service(web::route().to(serve))
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        actix_web::rt::spawn(server.run());
        state.lock().unwrap().url.clone_from(&url);
        Self { url, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What people say of themselves there from now on.
    pub fn person(&self, claims: Value) {
        self.state().claims = claims;
    }

    /// New keys; the old ones are gone.
    pub fn rotate(&self) {
        self.state().key = Key::new();
    }

    /// The settings of this provider as one that speaks OpenID Connect, under that name.
    pub fn settings(&self, name: &str) -> Vec<(String, String)> {
        let upper = name.to_uppercase();
        [
            ("ISSUER", self.url.as_str()),
            ("CLIENT_ID", CLIENT),
            ("CLIENT_SECRET", SECRET),
        ]
        .map(|(suffix, value)| (format!("SSO_{upper}_{suffix}"), value.to_owned()))
        .to_vec()
    }

    /// Says yes to what the browser was sent with: path and query of where it is sent back to.
    pub fn consent(&self, authorization: &str) -> String {
        let url = Url::parse(authorization).unwrap();
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let code = format!("code-{}", uuid::Uuid::now_v7());
        let redirect_uri = query["redirect_uri"].clone();
        let mut back = Url::parse(&redirect_uri).unwrap();
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &query["state"]);
        let grant = Grant {
            nonce: query.get("nonce").cloned(),
            challenge: query.get("code_challenge").cloned(),
            redirect_uri,
        };
        self.state().codes.insert(code, grant);
        back[url::Position::BeforePath..].to_owned()
    }

    pub fn fetches(&self, path: &str) -> usize {
        self.state().seen.iter().filter(|seen| seen.path == path).count()
    }

    pub fn last(&self, path: &str) -> Seen {
        let state = self.state();
        state
            .seen
            .iter()
            .rev()
            .find(|seen| seen.path == path)
            .unwrap()
            .clone()
    }
}

async fn serve(request: HttpRequest, body: Bytes, state: Data<Arc<Mutex<State>>>) -> HttpResponse {
    let reply = {
        let mut state = state.lock().unwrap();
        let seen = Seen {
            path: request.path().to_owned(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            form: url::form_urlencoded::parse(&body).into_owned().collect(),
        };
        state.seen.push(seen.clone());
        let known = state.answers.iter().find(|(path, _)| **path == request.path());
        let known = known.map(|(_, reply)| reply.clone());
        known.unwrap_or_else(|| state.answer(&seen))
    };
    match reply {
        Reply::Json(status, body) => HttpResponse::build(status.try_into().unwrap()).json(body),
        Reply::Text(status, body) => HttpResponse::build(status.try_into().unwrap())
            .content_type("application/json")
            .body(body),
        Reply::Redirect(to) => HttpResponse::Found().insert_header(("location", to)).finish(),
        Reply::Never => std::future::pending().await,
    }
}

impl State {
    fn answer(&mut self, seen: &Seen) -> Reply {
        match seen.path.as_str() {
            "/.well-known/openid-configuration" => Reply::Json(200, self.configuration()),
            "/jwks" => Reply::Json(200, json!({ "keys": [self.key.public()] })),
            "/token" => self.token(seen),
            _ => Reply::Json(404, json!({})),
        }
    }

    fn configuration(&self) -> Value {
        let url = &self.url;
        let mut sound = json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        });
        lay(&mut sound, &self.configuration);
        sound
    }

    fn token(&mut self, seen: &Seen) -> Reply {
        let refused = Reply::Json(400, json!({ "error": "invalid_grant" }));
        let Some(grant) = self.codes.remove(&seen.form["code"]) else {
            return refused;
        };
        let verified = grant.challenge.as_ref().is_none_or(|challenge| {
            let verifier = seen.form.get("code_verifier").cloned().unwrap_or_default();
            URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())) == *challenge
        });
        if !verified || seen.form["redirect_uri"] != grant.redirect_uri {
            return refused;
        }
        let token = self.id_token(grant.nonce.as_deref());
        Reply::Json(
            200,
            json!({ "access_token": "an-access-token", "token_type": "Bearer", "id_token": token }),
        )
    }

    fn id_token(&self, nonce: Option<&str>) -> String {
        let now = self.clock.now().timestamp();
        let mut header = json!({ "alg": "RS256", "kid": self.key.id, "typ": "JWT" });
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300, "nonce": nonce,
        });
        lay(&mut header, &self.header);
        lay(&mut claims, &self.claims);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = match self.signed {
            Signed::Well => self.key.sign(message.as_bytes()),
            Signed::Not => Vec::new(),
            Signed::ByAnother => Key::new().sign(message.as_bytes()),
            Signed::WithThePublicKey => {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &self.key.modulus());
                aws_lc_rs::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Lays one object over another; null takes away.
fn lay(under: &mut Value, over: &Value) {
    let under = under.as_object_mut().unwrap();
    for (name, value) in over.as_object().unwrap() {
        if value.is_null() {
            under.remove(name);
        } else {
            under.insert(name.clone(), value.clone());
        }
    }
}
