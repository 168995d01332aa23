//! A server of the sign-in alone, within the envelope of all requests, and a browser that keeps cookies.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, web};
use api::http::envelope::Envelope;
use api::http::guard::Guard;
use api::http::identity::{self, Identity};
use api::http::server;
use domain::Db;
use domain::clock::Clock;
use domain::identity::account;
use domain::identity::link;
use domain::identity::sso::Providers;
use domain::identity::token::Tokens;
use domain::limit::Limits;
use domain::testing::{Login, TestDatabase};
use reqwest::cookie::{CookieStore, Jar};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

/// Our own origin as the browser sees it; the requests themselves go to a port of the test's own.
pub const OWN: &str = "http://localhost:8080";
pub const FRONT_END: &str = "http://localhost:3000";

pub struct Server {
    pub database: TestDatabase,
    pub db: Db,
    pub clock: Clock,
    pub url: Url,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
    }
}

impl Server {
    pub async fn start(extra: &[(&str, &str)]) -> Self {
        domain::crypto::install_crypto_provider();
        let database = TestDatabase::new().await;
        let settings = [&[("FRONTEND_ORIGINS", FRONT_END)], extra].concat();
        let config = database.config(Login::Api, &settings);
        let clock = Clock::system();
        let db = Db::connect(&config, "test", clock.clone()).unwrap();
        let limits = Limits::connect(&config, clock.clone()).unwrap();
        let tokens = Tokens::new(&db, &config);
        let guard = Data::new(Guard::new(&config, &db, limits.clone(), tokens.clone()));
        let providers = Providers::new(&config, clock.clone()).unwrap();
        let state = Data::new(Identity::new(&config, db.clone(), limits, tokens, providers));
        let envelope = Envelope::new(&config, clock.clone());
        let routes = move |config: &mut web::ServiceConfig| {
            config
                .app_data(state.clone())
                .app_data(guard.clone())
                .configure(identity::configure)
                .route("/me", web::get().to(me));
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async {
            stopped.await.ok();
        };
        let listening = server::listen("127.0.0.1:0", &envelope, routes, stopped).unwrap();
        let url = Url::parse(&format!("http://{}", listening.addresses[0])).unwrap();
        actix_web::rt::spawn(listening.server);
        Self {
            database,
            db,
            clock,
            url,
            stop: Some(stop),
        }
    }

    pub fn browser(&self) -> Browser {
        Browser::at(self.url.clone())
    }

    /// Path and query of the mailed link.
    pub async fn mailed(&self, address: &str) -> String {
        let id = link::newest_for(&self.db, address).await.unwrap().unwrap();
        let mail = link::mail_for(&self.db, id).await.unwrap().unwrap();
        Url::parse(&mail.url).unwrap()[url::Position::BeforePath..].to_owned()
    }
}

/// Stands for `/graphql`: who asks.
async fn me(request: HttpRequest, identity: Data<Identity>, guard: Data<Guard>) -> HttpResponse {
    let user = async {
        let viewer = guard.viewer(&request).await?;
        account::me(&identity.db.read(&viewer).await?).await
    };
    match user.await {
        Ok(user) => HttpResponse::Ok().body(user.emails[0].address.clone()),
        Err(error) => HttpResponse::Unauthorized().body(error.class()),
    }
}

pub struct Browser {
    pub client: Client,
    pub jar: Arc<Jar>,
    pub url: Url,
}

impl Browser {
    /// One without cookies, that speaks to that server.
    pub fn at(url: Url) -> Self {
        let jar = Arc::new(Jar::default());
        let client = Client::builder()
            .cookie_provider(Arc::clone(&jar))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { client, jar, url }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url.join(path).unwrap())
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        self.request(Method::POST, path)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// Posts a form as one of our own pages does.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let form = self.form(path, fields).header("Origin", OWN);
        form.header("Sec-Fetch-Site", "same-origin").send().await.unwrap()
    }

    pub async fn ask(&self, address: &str) -> Response {
        self.post("/sign-in", &[("email", address), ("return_to", "")])
            .await
    }

    /// Presses the button on the page of a link.
    pub async fn press(&self, link: &str) -> Response {
        let link = self.url.join(link).unwrap();
        let fields: Vec<(String, String)> = link.query_pairs().into_owned().collect();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.post("/sign-in/link", &fields).await
    }

    pub async fn sign_in(&self, server: &Server, address: &str) {
        assert_eq!(self.ask(address).await.status(), StatusCode::SEE_OTHER);
        let signed_in = self.press(&server.mailed(address).await).await;
        assert_eq!(signed_in.status(), StatusCode::SEE_OTHER);
    }

    /// What a front end's script calls.
    pub async fn call(&self, path: &str) -> Response {
        let call = self.request(Method::POST, path).header("Origin", FRONT_END);
        call.header("Sec-Fetch-Site", "same-site").send().await.unwrap()
    }

    pub async fn access_token(&self) -> String {
        let answer = self.call("/session/token").await;
        assert_eq!(answer.status(), StatusCode::OK);
        json(answer).await["accessToken"].as_str().unwrap().to_owned()
    }

    pub async fn me(&self, token: &str) -> (StatusCode, String) {
        let answer = self
            .request(Method::GET, "/me")
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.jar.cookies(&self.url)?;
        let cookies = cookies.to_str().unwrap().to_owned();
        let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
        pairs.find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
    }

    pub fn plant(&self, name: &str, value: &str) {
        self.jar
            .add_cookie_str(&format!("{name}={value}; Path=/; Secure"), &self.url);
    }
}

pub async fn json(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

pub fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}
