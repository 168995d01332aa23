//! The mails that tell a user of a change to their account: what they receive, and what nobody can smuggle in.

use chrono::DateTime;
use domain::identity::audit::{Event, Kind, Notice};
use domain::jobs::SendAccountNotice;
use uuid::Uuid;
use worker::mail::account_notice;

use crate::mail::variable;
use crate::support::{Rig, eventually};

const EVENT: Uuid = Uuid::from_u128(0x0198_f000_0000_7000_8000_0000_0000_0002);

fn notice(kind: Kind) -> Notice {
    let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    Notice {
        addresses: vec!["ada@example.test".to_owned()],
        kind,
        at,
        method: None,
        detail: None,
        address: Some("192.0.2.7".to_owned()),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".to_owned()),
        delete_after: None,
    }
}

fn mail(rig: &Rig, notice: &Notice) -> String {
    let mut messages = account_notice::messages(&rig.ctx.config, EVENT, notice).unwrap();
    assert_eq!(messages.len(), 1);
    String::from_utf8(messages.remove(0).formatted())
        .unwrap()
        .replace("\r\n", "\n")
}

#[tokio::test]
async fn the_mails_read_as_agreed_and_are_the_same_each_time() {
    let rig = Rig::with(&[("MAIL_FROM", "Personal CRM <crm@example.test>")]).await;
    let mut new_device = notice(Kind::SignedInAnew);
    new_device.method = Some("email_link".to_owned());
    let once = mail(&rig, &new_device);
    assert_eq!(once, mail(&rig, &new_device));
    insta::assert_snapshot!("a_new_device", once);

    let mut deletion = notice(Kind::DeletionRequested);
    deletion.delete_after = DateTime::from_timestamp(1_790_604_800, 0);
    insta::assert_snapshot!("a_deletion", mail(&rig, &deletion));

    let mut key = notice(Kind::ApiKeyCreated);
    key.detail = Some("Zapier, für „uns“".to_owned());
    insta::assert_snapshot!("an_api_key", mail(&rig, &key));
}

#[tokio::test]
async fn each_kind_that_is_mailed_has_a_subject_of_its_own() {
    let rig = Rig::new().await;
    let subjects: Vec<String> = Kind::ALL
        .iter()
        .filter(|kind| kind.is_mailed())
        .map(|kind| {
            let mail = mail(&rig, &notice(*kind));
            let subject = mail
                .lines()
                .find_map(|line| line.strip_prefix("Subject: "))
                .unwrap();
            format!("{}: {subject}", kind.as_str())
        })
        .collect();
    insta::assert_snapshot!("subjects", subjects.join("\n"));
}

#[tokio::test]
async fn no_name_forges_a_header_a_line_or_markup() {
    let rig = Rig::new().await;
    let mut forged = notice(Kind::ApiKeyCreated);
    forged.detail = Some("<a href=\"https://evil.example\">x</a>\u{202e} & \"co\"".to_owned());
    forged.user_agent = Some("<script>alert(1)</script>".to_owned());
    let mail = mail(&rig, &forged);
    let (headers, body) = mail.split_once("\n\n").unwrap();
    assert!(!headers.contains("evil"));
    let html = body
        .rsplit("Content-Type: text/html")
        .next()
        .unwrap()
        .replace("=\n", "");
    assert!(
        !html.contains("<script")
            && !html.contains("<a href=3D\"https://evil")
            && html.contains("&#60;script"),
        "{html}"
    );

    // What is written down is one line already.
    let event = format!(
        "{:?}",
        Event::new(Kind::ApiKeyCreated).about("a\r\nBcc: eve@evil.example\u{2028}b\u{202e}c\0")
    );
    assert!(event.contains("a  Bcc: eve@evil.example b c "), "{event}");
    // Should a row hold another, no header comes of it.
    forged.detail = Some("x\r\nBcc: eve@evil.example\r\n\r\n".to_owned());
    let mail = self::mail(&rig, &forged);
    assert!(!mail.split_once("\n\n").unwrap().0.contains("Bcc"));
}

#[tokio::test]
async fn an_address_that_was_removed_hears_of_it_and_not_of_the_others() {
    let rig = Rig::new().await;
    let mut removed = notice(Kind::EmailRemoved);
    removed.addresses = ["ada@example.test", "no address", "old@example.test"]
        .map(str::to_owned)
        .to_vec();
    removed.detail = Some("old@example.test".to_owned());
    let mails = account_notice::messages(&rig.ctx.config, EVENT, &removed).unwrap();
    let to: Vec<Vec<String>> = mails
        .iter()
        .map(|mail| mail.envelope().to().iter().map(ToString::to_string).collect())
        .collect();
    assert_eq!(to, [["ada@example.test"], ["old@example.test"]]);
    let ids: std::collections::HashSet<_> = mails
        .iter()
        .map(|mail| mail.headers().get_raw("Message-ID").unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 2);
    let to_the_old = String::from_utf8(mails[1].formatted()).unwrap();
    assert!(!to_the_old.contains("ada@"));
    removed.addresses.clear();
    assert!(
        account_notice::messages(&rig.ctx.config, EVENT, &removed)
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_real_server_receives_it() {
    let rig = Rig::with(&[("SMTP_URL", &variable("TEST_SMTP_URL"))]).await;
    let address = format!("{}@example.test", Uuid::now_v7());
    sqlx::query(
        "WITH o AS (INSERT INTO owner (id) VALUES (gen_random_uuid()) RETURNING id), \
             u AS (INSERT INTO app_user (owner_id, id, created_at) SELECT id, gen_random_uuid(), now() FROM o RETURNING *), \
             m AS (INSERT INTO user_email (owner_id, id, user_id, address, canonical, verified_at, created_at) \
                 SELECT owner_id, gen_random_uuid(), id, $1, $1, now(), now() FROM u) \
         INSERT INTO audit_event (owner_id, id, user_id, at, kind, method) \
         SELECT owner_id, $2, id, now(), 'sign_in.new_client', 'passkey' FROM u",
    )
    .bind(&address)
    .bind(EVENT)
    .execute(&rig.admin)
    .await
    .unwrap();
    for event_id in [EVENT, Uuid::now_v7()] {
        rig.enqueue(&SendAccountNotice { event_id }).await;
    }
    assert_eq!(worker::drain(&rig.ctx).await, 2);
    let done = rig.jobs("send-account-notice").await;
    assert!(
        done.iter().all(|job| job.status == "Done"),
        "also of an event that is gone: {done:?}"
    );
    let mailbox = format!("{}/email", variable("TEST_SMTP_API"));
    let received = eventually("the mail", async || {
        let mails: Vec<serde_json::Value> = reqwest::get(&mailbox).await.ok()?.json().await.ok()?;
        mails.into_iter().find(|mail| mail["to"][0]["address"] == address)
    })
    .await;
    assert_eq!(received["subject"], "A sign-in from a new device or network");
    assert_eq!(received["headers"]["auto-submitted"], "auto-generated");
    let text = received["text"].as_str().unwrap();
    assert!(
        text.contains("How: a passkey") && text.contains("http://localhost:8080/settings"),
        "{text}"
    );
}
