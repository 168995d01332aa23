//! The mail with a sign-in link: what people receive, and what becomes of it when the server will not
//! have it.

use chrono::DateTime;
use domain::identity::link::SignInMail;
use lettre::Message;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use uuid::Uuid;
use worker::mail::{Mailer, sign_in_link};
use worker::{Context, Failure};

use crate::support::{Rig, eventually};

pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

fn message(ctx: &Context, link_id: Uuid, address: &str) -> Message {
    let mail = SignInMail {
        address: address.to_owned(),
        url: "https://crm.example.test/login/email?link=1&token=ab<c".to_owned(),
        adds: false,
        expires_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
    };
    sign_in_link::message(&ctx.config, link_id, &mail).unwrap()
}

const LINK: Uuid = Uuid::from_u128(0x0198_f000_0000_7000_8000_0000_0000_0001);

#[tokio::test]
async fn the_mail_reads_as_agreed_and_is_the_same_each_time() {
    let rig = Rig::with(&[("MAIL_FROM", "Personal CRM <crm@example.test>")]).await;
    let once = message(&rig.ctx, LINK, "ada@example.test").formatted();
    assert_eq!(once, message(&rig.ctx, LINK, "ada@example.test").formatted());
    insta::assert_snapshot!(String::from_utf8(once).unwrap().replace("\r\n", "\n"));
}

#[tokio::test]
async fn the_mail_that_adds_an_address_says_so() {
    let rig = Rig::with(&[("MAIL_FROM", "Personal CRM <crm@example.test>")]).await;
    let mail = SignInMail {
        address: "ada@example.test".to_owned(),
        url: "https://crm.example.test/settings/sign-in/email?id=1".to_owned(),
        adds: true,
        expires_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
    };
    let mail = sign_in_link::message(&rig.ctx.config, LINK, &mail).unwrap();
    let mail = String::from_utf8(mail.formatted()).unwrap().replace("=\r\n", "");
    assert!(
        mail.contains("Subject: Your link to add this address\r\n"),
        "{mail}"
    );
    assert!(
        mail.contains("without this mail the address is not added"),
        "{mail}"
    );
    assert!(!mail.contains("to sign in"), "{mail}");
}

#[tokio::test]
async fn without_a_server_mail_goes_into_files_named_by_the_message() {
    let rig = Rig::new().await;
    let message = message(&rig.ctx, LINK, "ada@example.test");
    for _ in 0..2 {
        rig.ctx.mailer.send(&message).await.unwrap();
    }
    let files: Vec<_> = std::fs::read_dir(&rig.mail_dir)
        .unwrap()
        .map(|file| file.unwrap())
        .collect();
    assert_eq!(files.len(), 1, "a second copy replaces the first");
    assert_eq!(
        files[0].file_name().to_str().unwrap(),
        format!("{LINK}@localhost.eml")
    );
    assert_eq!(std::fs::read(files[0].path()).unwrap(), message.formatted());
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_for_good_and_not_quoted() {
    let rig = Rig::new().await;
    let mail = SignInMail {
        address: "ada at example".to_owned(),
        url: "https://crm.example.test/".to_owned(),
        adds: false,
        expires_at: DateTime::UNIX_EPOCH,
    };
    let refused = sign_in_link::message(&rig.ctx.config, LINK, &mail).err().unwrap();
    assert!(matches!(refused, Failure::Permanent(_)));
    assert!(!refused.to_string().contains("ada"), "{refused}");
}

#[tokio::test]
async fn a_real_server_receives_it() {
    let rig = Rig::with(&[("SMTP_URL", &variable("TEST_SMTP_URL"))]).await;
    let link = Uuid::now_v7();
    let address = format!("{link}@example.test");
    rig.ctx
        .mailer
        .send(&message(&rig.ctx, link, &address))
        .await
        .unwrap();
    let mailbox = format!("{}/email", variable("TEST_SMTP_API"));
    let received = eventually("the mail", async || {
        let mails: Vec<serde_json::Value> = reqwest::get(&mailbox).await.ok()?.json().await.ok()?;
        mails.into_iter().find(|mail| mail["to"][0]["address"] == address)
    })
    .await;
    assert_eq!(received["subject"], "Your sign-in link");
    assert_eq!(received["headers"]["message-id"], format!("<{link}@localhost>"));
    assert_eq!(received["headers"]["auto-submitted"], "auto-generated");
    assert!(received["text"].as_str().unwrap().contains("link=1&token=ab<c"));
    assert!(
        !received["html"].as_str().unwrap().contains("token=ab<c"),
        "escaped"
    );
}

/// A server that greets, and then answers the recipient with `answer`, or nothing at all.
async fn server(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 test\r\n").await.ok();
                while let Ok(Some(line)) = lines.next_line().await {
                    let reply = match (line.get(..4).unwrap_or_default(), answer) {
                        ("RCPT", Some(answer)) => answer,
                        ("RCPT", None) => std::future::pending().await,
                        _ => "250 ok",
                    };
                    write.write_all(format!("{reply}\r\n").as_bytes()).await.ok();
                }
            });
        }
    });
    url
}

async fn send_to(url: &str) -> Failure {
    let rig = Rig::with(&[("SMTP_URL", url)]).await;
    assert!(matches!(rig.ctx.mailer, Mailer::Smtp(_)));
    let message = message(&rig.ctx, LINK, "ada@example.test");
    rig.ctx.mailer.send(&message).await.err().unwrap()
}

#[tokio::test]
async fn a_refusal_for_now_is_tried_again() {
    let failure = send_to(&server(Some("451 4.3.0 <ada@example.test>: try later")).await).await;
    assert!(matches!(failure, Failure::Retry(_)), "{failure}");
    assert!(
        failure.to_string().contains("451") && !failure.to_string().contains("ada"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_refusal_for_good_is_not_tried_again() {
    let failure = send_to(&server(Some("550 5.1.1 <ada@example.test>: no such user")).await).await;
    assert!(matches!(failure, Failure::Permanent(_)), "{failure}");
    assert!(
        failure.to_string().contains("550") && !failure.to_string().contains("ada"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_refused_login_of_ours_is_tried_again() {
    let failure = send_to(&server(Some("530 5.7.0 Authentication required")).await).await;
    assert!(matches!(failure, Failure::Retry(_)), "{failure}");
}

#[tokio::test]
async fn a_server_that_is_silent_or_away_is_tried_again() {
    let silent = send_to(&server(None).await).await;
    assert!(
        matches!(silent, Failure::Retry(_)) && silent.to_string().contains("in time"),
        "{silent}"
    );
    let away = send_to("smtp://127.0.0.1:1").await;
    assert!(matches!(away, Failure::Retry(_)), "{away}");
}
