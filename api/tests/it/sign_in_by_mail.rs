//! The whole sign-in: the form, the worker's mail, its link, the token, `/graphql`, and the end.

use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::{Value, json};
use url::{Position, Url};
use uuid::Uuid;

use crate::browser::{Browser, FRONT_END, header};
use crate::support::TestApp;

/// Where the worker of a test leaves its mail; removed with the value.
pub struct MailDir(PathBuf);

impl MailDir {
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("crm-mail-{}", Uuid::now_v7())))
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// The one mail that is there; it is taken away.
    pub fn take(&self) -> String {
        let mut files: Vec<_> = std::fs::read_dir(&self.0).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let file = files.remove(0).unwrap().path();
        assert_eq!(file.extension().unwrap(), "eml");
        let mail = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(file).unwrap();
        mail
    }
}

impl Drop for MailDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Decodes quoted-printable (RFC 2045, 6.7).
fn decoded(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut pieces = text.split('=');
    let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).unwrap()
}

/// The link in the text part of a mail.
fn link(mail: &str) -> Url {
    let text = mail
        .split("\r\n--")
        .find(|part| part.contains("Content-Type: text/plain"))
        .unwrap();
    assert!(text.contains("Content-Transfer-Encoding: quoted-printable"));
    let text = decoded(text.split_once("\r\n\r\n").unwrap().1);
    let mut links = text.split_whitespace().filter(|word| word.starts_with("http"));
    let link = links.next().unwrap().parse().unwrap();
    assert_eq!(links.next(), None, "one link alone");
    link
}

/// Asks for a link and has the worker mail it; where the link leads on this server.
pub async fn mailed(app: &TestApp, mail: &MailDir, browser: &Browser, address: &str) -> String {
    let sent = browser.ask(address).await;
    assert_eq!(
        (sent.status(), header(&sent, "location")),
        (StatusCode::SEE_OTHER, "/sign-in/sent")
    );
    assert_eq!(app.run_jobs().await, 1);
    let mail = mail.take();
    assert!(mail.contains(&format!("To: {address}\r\n")), "{mail}");
    let link = link(&mail);
    assert_eq!(
        &link[..Position::BeforePath],
        app.config.public_url.origin().ascii_serialization()
    );
    link[Position::BeforePath..].to_owned()
}

/// The status, the challenge, and the body of the answer to that question.
async fn viewer(app: &TestApp, token: &str) -> (StatusCode, String, Value) {
    let request = app.post("/graphql").bearer_auth(token);
    let query = json!({ "query": "{ viewer { email } }" });
    let answer = request.json(&query).send().await.unwrap();
    let challenge = header(&answer, "www-authenticate").to_owned();
    (answer.status(), challenge, answer.json().await.unwrap())
}

#[actix_web::test]
async fn a_mailed_link_signs_in_and_signing_out_ends_the_token_at_once() {
    let mail = MailDir::new();
    let app = TestApp::with(&[("MAIL_DIR", mail.path()), ("FRONTEND_ORIGINS", FRONT_END)]).await;
    let browser = Browser::at(app.url.parse().unwrap());
    let link = mailed(&app, &mail, &browser, "ada@example.test").await;

    for _ in 0..2 {
        let page = browser.get(&link).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers().get("set-cookie"), None);
    }
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 0);
    let signed_in = browser.press(&link).await;
    assert_eq!(
        (signed_in.status(), header(&signed_in, "location")),
        (StatusCode::SEE_OTHER, "/sign-in/done")
    );
    assert_eq!(app.count("SELECT count(*) FROM app_user").await, 1);

    let token = browser.access_token().await;
    let (status, _, answer) = viewer(&app, &token).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        answer,
        json!({ "data": { "viewer": { "email": "ada@example.test" } } })
    );

    let ended = browser.call("/session/end").await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    let (status, challenge, answer) = viewer(&app, &token).await;
    assert_eq!((status, challenge.as_str()), (StatusCode::UNAUTHORIZED, "Bearer"));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    assert!(answer.get("data").is_none(), "{answer}");
    let again = browser.call("/session/token").await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
}
