//! Nothing tells whether an address has an account: neither what is answered (see [`crate::sign_in`]) nor how
//! long it takes.

use std::time::{Duration, Instant};

use domain::identity::account::development_token;
use domain::identity::token::Tokens;
use domain::testing::Login;
use reqwest::StatusCode;

use crate::browser::{OWN, Server};

/// How many addresses of each kind are asked for.
const EACH: usize = 60;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Asks as a client of its own, since one client is mailed only so often, and takes the time.
async fn ask(server: &Server, client: usize, address: &str) -> Duration {
    let browser = server.browser();
    let form = browser
        .form("/sign-in", &[("email", address), ("return_to", "")])
        .header("Origin", OWN)
        .header("X-Forwarded-For", format!("198.51.100.{client}"));
    let begin = Instant::now();
    let answer = form.send().await.unwrap();
    let time = begin.elapsed();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    time
}

#[actix_web::test]
async fn known_and_unknown_addresses_take_the_same_time() {
    let server = Server::start(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let tokens = Tokens::new(&server.db, &server.database.config(Login::Api, &[]));
    for n in 0..EACH {
        development_token(&server.db, &tokens, &format!("known{n}@example.org"))
            .await
            .unwrap();
    }
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    ask(&server, 254, "warm@example.org").await;
    // By turns, so that whatever else the machine does slows both.
    for n in 0..EACH {
        known.push(ask(&server, n + 1, &format!("known{n}@example.org")).await);
        unknown.push(ask(&server, n + 1, &format!("other{n}@example.org")).await);
    }
    let (known, unknown) = (median(known), median(unknown));
    let (less, more) = (known.min(unknown), known.max(unknown));
    // Generous, for a machine that runs many tests at once. A difference that an answer is made of (an account
    // read and its mail written, or not) is a multiple.
    assert!(more < less * 2, "known {known:?}, unknown {unknown:?}");
}

#[actix_web::test]
async fn a_link_of_a_known_address_is_refused_like_one_that_nobody_has() {
    let server = Server::start(&[]).await;
    let browser = server.browser();
    browser.sign_in(&server, "known@example.org").await;
    let mut answers = Vec::new();
    for address in ["known@example.org", "unknown@example.org"] {
        let (asking, other) = (server.browser(), server.browser());
        asking.ask(address).await;
        let link = server.mailed(address).await;
        let wrong = format!("{}token={}", link.split_once("token=").unwrap().0, "A".repeat(43));
        let mut of = Vec::new();
        for (browser, link) in [
            (&asking, &wrong),
            (&other, &link),
            (&asking, &link),
            (&asking, &link),
        ] {
            let answer = browser.press(link).await;
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            of.push((status, text));
        }
        answers.push(of);
    }
    assert_eq!(answers[0], answers[1]);
    let statuses: Vec<u16> = answers[0].iter().map(|answer| answer.0.as_u16()).collect();
    assert_eq!(statuses, [410, 403, 303, 410]);
}
