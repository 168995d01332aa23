//! Access tokens, and what is tried against them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use domain::identity::account;
use domain::identity::token::Tokens;
use domain::testing::Login;
use domain::{Db, Error};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sqlx::Row;

use super::identity::Setting;

/// The key that signs, taken out of the database as only its root key's holder can.
struct Key {
    id: String,
    public: Vec<u8>,
    private: EncodingKey,
}

async fn key(setting: &Setting) -> Key {
    setting.tokens.key_set().await.unwrap();
    let row = sqlx::query("SELECT id, public_key, private_key, root_key FROM signing_key")
        .fetch_one(&mut setting.admin().await)
        .await
        .unwrap();
    let id: String = row.get("id");
    let field = domain::crypto::Field {
        table: "signing_key",
        column: "private_key",
    };
    let sealed = entity::Ciphertext::from_sealed(row.get("private_key"));
    let keyring = setting.db.keyring();
    let private = keyring
        .open_under_root(row.get("root_key"), field, &id, &sealed)
        .unwrap();
    Key {
        private: EncodingKey::from_ed_der(&private),
        public: row.get("public_key"),
        id,
    }
}

fn header(kid: &str) -> Header {
    Header {
        typ: Some("at+jwt".to_owned()),
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    }
}

fn claims(setting: &Setting) -> Value {
    let now = setting.clock.now().timestamp();
    let id = uuid::Uuid::now_v7();
    json!({
        "iss": "http://localhost:8080", "aud": "personal-crm", "sub": id, "own": id, "sid": id,
        "env": "development", "iat": now, "nbf": now, "exp": now + 600,
    })
}

async fn refused(setting: &Setting, token: &str) -> bool {
    matches!(setting.tokens.verify(token).await, Err(Error::Unauthenticated))
}

#[tokio::test]
async fn a_token_says_what_it_should_and_ends_in_ten_minutes() {
    let setting = Setting::new().await;
    let subject = setting.sign_in("ada@example.org").await.session.subject;
    let token = setting.tokens.issue(&subject).await.unwrap();
    let verified = setting.tokens.verify(&token).await.unwrap();
    assert_eq!(verified.session(), subject.session());
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!(
        (header.alg, header.typ.as_deref()),
        (Algorithm::EdDSA, Some("at+jwt"))
    );
    let keys = serde_json::to_value(setting.tokens.key_set().await.unwrap()).unwrap();
    assert_eq!(keys["keys"][0]["kid"], header.kid.unwrap());
    assert_eq!(keys["keys"][0]["kty"], "OKP");
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
    assert_eq!(keys["keys"][0].as_object().unwrap().len(), 6);
    // Remembered or not, it ends.
    setting.clock.advance(TimeDelta::minutes(10));
    assert!(refused(&setting, &token).await);
}

#[tokio::test]
async fn a_sound_token_of_our_key_is_accepted_and_each_change_of_it_refused() {
    let setting = Setting::new().await;
    let key = key(&setting).await;
    let sound = encode(&header(&key.id), &claims(&setting), &key.private).unwrap();
    setting.tokens.verify(&sound).await.unwrap();
    let now = setting.clock.now().timestamp();
    for (claim, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", json!(["http://localhost:8080"])),
        ("iss", Value::Null),
        ("aud", json!("another")),
        ("aud", json!(["personal-crm", "another"])),
        ("aud", Value::Null),
        ("env", json!("production")),
        ("env", Value::Null),
        ("exp", json!(now - 1)),
        ("exp", json!("never")),
        ("exp", json!(i64::MAX)),
        ("exp", json!(-1)),
        ("exp", Value::Null),
        ("nbf", json!(now + 60)),
        ("nbf", Value::Null),
        ("iat", json!(now + 60)),
        ("exp", json!(now + 13 * 3600)),
        ("iat", json!(now - 13 * 3600)),
        ("sub", json!("root")),
        ("own", Value::Null),
        ("sid", Value::Null),
    ] {
        let mut changed = claims(&setting);
        changed[claim] = value.clone();
        if value.is_null() {
            changed.as_object_mut().unwrap().remove(claim);
        }
        let token = encode(&header(&key.id), &changed, &key.private).unwrap();
        assert!(refused(&setting, &token).await, "{claim}: {value}");
    }
}

#[tokio::test]
async fn no_algorithm_and_no_key_is_read_off_a_token() {
    let setting = Setting::new().await;
    let key = key(&setting).await;
    let body = URL_SAFE_NO_PAD.encode(claims(&setting).to_string());
    for alg in ["none", "None", "NONE", ""] {
        let head = json!({"alg": alg, "typ": "at+jwt", "kid": key.id}).to_string();
        let head = URL_SAFE_NO_PAD.encode(head);
        assert!(refused(&setting, &format!("{head}.{body}.")).await);
        assert!(refused(&setting, &format!("{head}.{body}")).await);
    }
    let x = URL_SAFE_NO_PAD.encode(&key.public);
    for secret in [key.public.as_slice(), x.as_bytes()] {
        let head = Header {
            alg: Algorithm::HS256,
            ..header(&key.id)
        };
        let token = encode(&head, &claims(&setting), &EncodingKey::from_secret(secret)).unwrap();
        assert!(refused(&setting, &token).await);
    }
    let mut untyped = header(&key.id);
    untyped.typ = Some("JWT".to_owned());
    let mut critical = header(&key.id);
    critical.crit = Some(vec!["b64".to_owned()]);
    let mut nameless = header(&key.id);
    nameless.kid = None;
    let mut spelled = header(&key.id);
    spelled.typ = Some("application/at+jwt".to_owned());
    let mut elsewhere = header(&key.id);
    elsewhere.jku = Some("http://127.0.0.1:1/keys".to_owned());
    let mut certified = header(&key.id);
    certified.x5u = Some("http://127.0.0.1:1/certificate".to_owned());
    let mut embedded = header(&key.id);
    let own = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    embedded.jwk = Some(serde_json::from_value(own).unwrap());
    let heads = [
        untyped, critical, nameless, spelled, elsewhere, certified, embedded,
    ];
    let kids = [
        "",
        "unknown",
        "../../etc/passwd",
        "' OR true -- ",
        "AAAAAAAAAAAAAAAA",
    ];
    for head in heads.into_iter().chain(kids.map(header)) {
        let token = encode(&head, &claims(&setting), &key.private).unwrap();
        assert!(refused(&setting, &token).await, "{head:?}");
    }
    let other = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let other = EncodingKey::from_ed_der(other.to_pkcs8().unwrap().as_ref());
    let forged = encode(&header(&key.id), &claims(&setting), &other).unwrap();
    assert!(refused(&setting, &forged).await);
    let sound = encode(&header(&key.id), &claims(&setting), &key.private).unwrap();
    let (signed, signature) = sound.rsplit_once('.').unwrap();
    for broken in [
        "",
        ".",
        "..",
        "a.b.c",
        signed,
        &format!("{signed}.{signature}.x"),
        &"a".repeat(100_000),
    ] {
        assert!(refused(&setting, broken).await);
    }
}

#[tokio::test]
async fn many_that_start_at_once_make_one_key() {
    let setting = Setting::new().await;
    let copies: Vec<Tokens> = (0..6)
        .map(|_| Tokens::new(&setting.db, &setting.config))
        .collect();
    let sets = futures::future::join_all(copies.iter().map(Tokens::key_set)).await;
    for set in sets {
        assert_eq!(set.unwrap().keys.len(), 1);
    }
    let subject = setting.sign_in("ada@example.org").await.session.subject;
    let token = copies[0].issue(&subject).await.unwrap();
    copies[5].verify(&token).await.unwrap();
}

#[tokio::test]
async fn a_key_that_another_process_made_is_learnt_from_the_first_token() {
    let setting = Setting::new().await;
    let subject = setting.sign_in("ada@example.org").await.session.subject;
    let old = setting.tokens.issue(&subject).await.unwrap();
    setting.tokens.verify(&old).await.unwrap();
    // Signed by a key that this process has not read yet; the one before is retired with it.
    sqlx::query("UPDATE signing_key SET retired_at = $1")
        .bind(setting.clock.now())
        .execute(&mut setting.admin().await)
        .await
        .unwrap();
    let other = Tokens::new(&setting.db, &setting.config);
    let new = other.issue(&subject).await.unwrap();
    setting.tokens.verify(&new).await.unwrap();
    assert!(refused(&setting, &old).await);
    assert_eq!(setting.tokens.key_set().await.unwrap().keys.len(), 1);
}

#[tokio::test]
async fn tokens_from_the_command_line_are_for_development() {
    let setting = Setting::new().await;
    let token = account::development_token(&setting.db, &setting.tokens, "demo@example.test")
        .await
        .unwrap();
    setting.clock.advance(TimeDelta::hours(11));
    setting.tokens.verify(&token).await.unwrap();
    setting.clock.advance(TimeDelta::hours(1));
    assert!(refused(&setting, &token).await);

    let strict = setting.database.config(
        Login::Api,
        &[
            ("APP_ENV", "staging"),
            ("PUBLIC_URL", "https://crm.example"),
            ("SMTP_URL", "smtps://mail.example"),
            ("MAIL_FROM", "crm@crm.example"),
        ],
    );
    let db = Db::connect(&strict, "test", setting.clock.clone()).unwrap();
    let refused = account::development_token(&db, &Tokens::new(&db, &strict), "demo@example.test").await;
    assert!(matches!(refused, Err(Error::Forbidden)));
}

#[tokio::test]
async fn a_token_of_another_environment_is_refused_though_database_and_address_are_the_same() {
    let setting = Setting::new().await;
    let staging = setting.database.config(
        Login::Api,
        &[
            ("APP_ENV", "staging"),
            ("PUBLIC_URL", "https://crm.example"),
            ("SMTP_URL", "smtps://mail.example"),
            ("MAIL_FROM", "crm@crm.example"),
        ],
    );
    let here = setting
        .database
        .config(Login::Api, &[("PUBLIC_URL", "https://crm.example")]);
    let db = Db::connect(&staging, "test", setting.clock.clone()).unwrap();
    let (there, here) = (Tokens::new(&db, &staging), Tokens::new(&setting.db, &here));
    let subject = setting.sign_in("ada@example.org").await.session.subject;
    let token = there.issue(&subject).await.unwrap();
    there.verify(&token).await.unwrap();
    assert!(matches!(here.verify(&token).await, Err(Error::Unauthenticated)));
    let token = here.issue(&subject).await.unwrap();
    assert!(matches!(there.verify(&token).await, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn made_up_keys_cost_the_database_little() {
    let setting = Setting::new().await;
    let key = key(&setting).await;
    let before = setting.db.statements();
    let attempts = (0..200).map(|number| {
        let token = encode(
            &header(&format!("AAAAAAAAAAAAA{number:03}")),
            &claims(&setting),
            &key.private,
        );
        let setting = &setting;
        async move { refused(setting, &token.unwrap()).await }
    });
    assert!(
        futures::future::join_all(attempts)
            .await
            .into_iter()
            .all(|refused| refused)
    );
    assert!(setting.db.statements() - before < 10);
}

#[tokio::test]
async fn a_key_written_into_the_table_signs_nothing() {
    let setting = Setting::new().await;
    let key = key(&setting).await;
    let planted = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let public = aws_lc_rs::signature::KeyPair::public_key(&planted)
        .as_ref()
        .to_vec();
    sqlx::query("UPDATE signing_key SET public_key = $1")
        .bind(&public)
        .execute(&mut setting.admin().await)
        .await
        .unwrap();
    let planted = EncodingKey::from_ed_der(planted.to_pkcs8().unwrap().as_ref());
    let forged = encode(&header(&key.id), &claims(&setting), &planted).unwrap();
    let fresh = Tokens::new(&setting.db, &setting.config);
    assert!(matches!(fresh.verify(&forged).await, Err(Error::Unauthenticated)));
    // It makes a key of its own, and works.
    let subject = setting.sign_in("ada@example.org").await.session.subject;
    fresh.verify(&fresh.issue(&subject).await.unwrap()).await.unwrap();
}
