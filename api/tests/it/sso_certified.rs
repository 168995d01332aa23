//! The whole flow against a certified OpenID provider (npm oidc-provider, see tests/identity-provider).

use reqwest::cookie::Jar;
use reqwest::{Client, Response, StatusCode};
use std::sync::Arc;
use url::Url;

use crate::browser::{FRONT_END, header};
use crate::sso::{arrived, begin, browser, who};
use crate::support::TestApp;

fn issuer() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests are told where the servers are")]
    let url = std::env::var("TEST_OIDC_URL");
    url.unwrap_or_else(|_| panic!("TEST_OIDC_URL is not set: run the tests with `make test`"))
}

async fn app() -> TestApp {
    TestApp::with(&[
        ("SSO_PROVIDERS", "local"),
        ("FRONTEND_ORIGINS", FRONT_END),
        ("SSO_LOCAL_ISSUER", &issuer()),
        ("SSO_LOCAL_CLIENT_ID", "personal-crm"),
        ("SSO_LOCAL_CLIENT_SECRET", "secret-of-the-tests"),
    ])
    .await
}

/// A person's browser as the provider sees it.
struct Person {
    client: Client,
    email: String,
}

impl Person {
    fn new() -> Self {
        let client = Client::builder()
            .cookie_provider(Arc::new(Jar::default()))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            client,
            email: format!("{}@example.test", uuid::Uuid::now_v7()),
        }
    }

    /// Goes on to where an answer leads.
    async fn follow(&self, answer: &Response) -> Response {
        let to = answer.url().join(header(answer, "location")).unwrap();
        self.client.get(to).send().await.unwrap()
    }

    /// Gives the answer on the provider's page: path and query of where it sends the browser back to.
    async fn answer(&self, authorization: &str, answer: &str, verified: &str) -> String {
        let asked = self.client.get(authorization).send().await.unwrap();
        assert_eq!(asked.status(), StatusCode::SEE_OTHER);
        let page = self.follow(&asked).await;
        assert_eq!(page.status(), StatusCode::OK);
        let fields = [
            ("email", self.email.as_str()),
            ("verified", verified),
            ("answer", answer),
        ];
        let said = self
            .client
            .post(page.url().clone())
            .form(&fields)
            .send()
            .await
            .unwrap();
        let back = self.follow(&said).await;
        assert_eq!(back.status(), StatusCode::SEE_OTHER, "{}", back.url());
        let back = Url::parse(header(&back, "location")).unwrap();
        assert_eq!(
            back[..url::Position::AfterPath],
            *"http://localhost:8080/sign-in/with/local/callback"
        );
        back[url::Position::BeforePath..].to_owned()
    }
}

#[actix_web::test]
async fn a_person_signs_in_while_the_keys_turn() {
    let app = app().await;
    let (person, browser) = (Person::new(), browser(&app));
    let back = person
        .answer(&begin(&browser, "local").await, "yes", "true")
        .await;
    assert!(arrived(&browser.get(&back).await));
    assert_eq!(who(&app, &browser).await, person.email);

    // In the middle of the next sign-in the provider takes other keys.
    let again = self::browser(&app);
    let sent = begin(&again, "local").await;
    let known = person.client.get(sent).send().await.unwrap();
    let back = Url::parse(header(&known, "location")).unwrap();
    let turned = format!("{}/test/rotate", issuer());
    let turned = person.client.post(turned).send().await.unwrap();
    assert_eq!(turned.status(), StatusCode::OK);
    assert!(arrived(&again.get(&back[url::Position::BeforePath..]).await));
    assert_eq!(who(&app, &again).await, person.email);
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 1);
    // Used codes are worth nothing, to us or there.
    assert_eq!(
        again.get(&back[url::Position::BeforePath..]).await.status(),
        StatusCode::GONE
    );
}

#[actix_web::test]
async fn a_code_that_was_used_is_refused_there_too() {
    let app = app().await;
    let (person, browser) = (Person::new(), browser(&app));
    let back = person
        .answer(&begin(&browser, "local").await, "yes", "true")
        .await;
    assert!(arrived(&browser.get(&back).await));
    let used = back.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let next = begin(&browser, "local").await;
    let state = next.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let path = format!(
        "/sign-in/with/local/callback?code={used}&state={state}&iss={}",
        issuer()
    );
    assert_eq!(browser.get(&path).await.status(), StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn a_person_cancels_or_has_not_proved_the_address() {
    let app = app().await;
    let (person, browser) = (Person::new(), browser(&app));
    let back = person.answer(&begin(&browser, "local").await, "no", "true").await;
    let answer = browser.get(&back).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(answer.text().await.unwrap().contains("You said no at local"));
    let back = person
        .answer(&begin(&browser, "local").await, "yes", "false")
        .await;
    let answer = browser.get(&back).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(answer.text().await.unwrap().contains("sign in another way first"));
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 0);
}
