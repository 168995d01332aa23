//! The keys that sign access tokens: how they follow one another, and how one ends at once.

use chrono::TimeDelta;
use domain::identity::keys::{self, KeyInfo, State, Which};
use domain::identity::session::{self, Subject};
use domain::identity::token::Tokens;
use domain::{Db, Error};

use super::identity::Setting;

const DAYS: u16 = 30;
/// Longer than a developer's token.
const AFTER_ALL_TOKENS: TimeDelta = TimeDelta::hours(13);

async fn rotate(db: &Db) -> keys::Rotated {
    keys::rotate(db, DAYS).await.unwrap()
}

async fn retire(setting: &Setting, which: Which) -> keys::Retired {
    keys::retire(&setting.db, &which).await.unwrap()
}

async fn states(setting: &Setting) -> Vec<State> {
    let keys: Vec<KeyInfo> = keys::list(&setting.db).await.unwrap();
    keys.iter().map(|key| key.state).collect()
}

/// Another copy of the API, which knows nothing yet.
fn copy(setting: &Setting) -> Tokens {
    Tokens::new(&setting.db, &setting.config)
}

async fn published(setting: &Setting) -> Vec<String> {
    let set = serde_json::to_value(copy(setting).key_set().await.unwrap()).unwrap();
    let keys = set["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

async fn subject(setting: &Setting) -> Subject {
    setting.sign_in("ada@example.org").await.session.subject
}

#[tokio::test]
async fn a_key_is_published_a_day_ahead_signs_a_month_and_outlives_its_tokens() {
    let setting = Setting::new().await;
    let subject = subject(&setting).await;
    let first = kid(&setting.tokens.issue(&subject).await.unwrap());

    setting.clock.advance(TimeDelta::days(30) - TimeDelta::minutes(1));
    assert_eq!(rotate(&setting.db).await, keys::Rotated::default());
    setting.clock.advance(TimeDelta::minutes(1));
    let second = rotate(&setting.db).await.made.unwrap();
    assert_eq!(
        rotate(&setting.db).await,
        keys::Rotated::default(),
        "once is enough"
    );
    assert_eq!(published(&setting).await, [second.clone(), first.clone()]);
    assert_eq!(states(&setting).await, [State::Signs, State::Published]);

    setting.clock.advance(TimeDelta::days(1) - TimeDelta::minutes(1));
    let last = setting.tokens.issue(&subject).await.unwrap();
    assert_eq!(kid(&last), first);
    setting.clock.advance(TimeDelta::minutes(1));
    let new = setting.tokens.issue(&subject).await.unwrap();
    assert_eq!(kid(&new), second);
    assert_eq!(states(&setting).await, [State::Verifies, State::Signs]);
    for tokens in [&setting.tokens, &copy(&setting)] {
        tokens.verify(&last).await.unwrap();
        tokens.verify(&new).await.unwrap();
    }

    setting.clock.advance(AFTER_ALL_TOKENS);
    assert_eq!(published(&setting).await, std::slice::from_ref(&second));
    assert_eq!(rotate(&setting.db).await.destroyed, [first]);
    assert_eq!(states(&setting).await, [State::Signs]);

    setting
        .clock
        .advance(TimeDelta::days(30) - TimeDelta::days(1) - AFTER_ALL_TOKENS);
    assert!(
        rotate(&setting.db).await.made.is_some(),
        "a month after the one before was made"
    );
}

#[tokio::test]
async fn a_developers_token_lives_as_long_as_it_says() {
    let setting = Setting::new().await;
    keys::rotate(&setting.db, DAYS).await.unwrap();
    setting.clock.advance(TimeDelta::days(30));
    rotate(&setting.db).await;
    setting.clock.advance(TimeDelta::days(1) - TimeDelta::minutes(1));
    let token =
        domain::identity::account::development_token(&setting.db, &setting.tokens, "demo@example.test");
    let token = token.await.unwrap();
    setting
        .clock
        .advance(TimeDelta::hours(12) - TimeDelta::minutes(1));
    rotate(&setting.db).await;
    copy(&setting).verify(&token).await.unwrap();
}

#[tokio::test]
async fn many_workers_at_once_make_one_key() {
    let setting = Setting::new().await;
    let made = |all: Vec<keys::Rotated>| all.iter().filter(|one| one.made.is_some()).count();
    let all = || futures::future::join_all((0..5).map(|_| rotate(&setting.db)));
    assert_eq!(made(all().await), 1, "the first");
    setting.clock.advance(TimeDelta::days(30));
    assert_eq!(made(all().await), 1, "the next");
    assert_eq!(states(&setting).await, [State::Signs, State::Published]);
}

#[tokio::test]
async fn what_does_not_open_holds_nothing_up_and_goes_in_the_end() {
    let setting = Setting::new().await;
    rotate(&setting.db).await;
    setting.clock.advance(TimeDelta::days(30));
    let lost = rotate(&setting.db).await.made.unwrap();
    // Its root key is gone before it ever signed.
    sqlx::query("UPDATE signing_key SET root_key = 'gone' WHERE id = $1")
        .bind(&lost)
        .execute(&mut setting.admin().await)
        .await
        .unwrap();
    assert_eq!(states(&setting).await, [State::Signs, State::Unusable]);
    assert!(
        rotate(&setting.db).await.made.is_some(),
        "the newest that opens is old"
    );
    assert_eq!(
        states(&setting).await,
        [State::Signs, State::Unusable, State::Published]
    );
    setting.clock.advance(TimeDelta::days(2));
    assert!(
        !rotate(&setting.db).await.destroyed.contains(&lost),
        "another process may know it"
    );
    setting.clock.advance(TimeDelta::days(60));
    assert!(rotate(&setting.db).await.destroyed.contains(&lost));
}

#[tokio::test]
async fn a_leaked_key_is_retired_at_once_and_sessions_stay() {
    let setting = Setting::new().await;
    let signed_in = setting.sign_in("ada@example.org").await;
    let subject = signed_in.session.subject;
    let other = copy(&setting);
    let leaked = other.issue(&subject).await.unwrap();
    setting.tokens.verify(&leaked).await.unwrap();

    let retired = retire(&setting, Which::Current).await;
    assert_eq!(retired.gone, [kid(&leaked)]);
    assert_eq!(published(&setting).await, std::slice::from_ref(&retired.signs));
    // This copy still has the old key in memory, and signs nothing with it.
    let next = other.issue(&subject).await.unwrap();
    assert_eq!(kid(&next), retired.signs);
    for tokens in [&other, &copy(&setting)] {
        assert!(matches!(
            tokens.verify(&leaked).await,
            Err(Error::Unauthenticated)
        ));
        tokens.verify(&next).await.unwrap();
    }
    // The copy that has heard nothing learns the new key from its first token, and with it that the old is gone.
    setting.tokens.verify(&next).await.unwrap();
    assert!(matches!(
        setting.tokens.verify(&leaked).await,
        Err(Error::Unauthenticated)
    ));
    session::refresh(
        &setting.db,
        &signed_in.session.refresh_token.to_cookie(),
        &super::identity::client(),
    )
    .await
    .unwrap();
    let rows: Vec<String> = sqlx::query_scalar("SELECT id FROM signing_key")
        .fetch_all(&mut setting.admin().await)
        .await
        .unwrap();
    assert_eq!(rows, [retired.signs], "its private half is gone");
}

#[tokio::test]
async fn a_published_key_takes_over_from_a_leaked_one() {
    let setting = Setting::new().await;
    let first = rotate(&setting.db).await.made.unwrap();
    setting.clock.advance(TimeDelta::days(30));
    let second = rotate(&setting.db).await.made.unwrap();
    let subject = subject(&setting).await;
    copy(&setting).key_set().await.unwrap();
    let retired = retire(&setting, Which::Id(first.clone())).await;
    assert_eq!((retired.gone, retired.signs), (vec![first], second.clone()));
    assert_eq!(kid(&setting.tokens.issue(&subject).await.unwrap()), second);
    assert_eq!(states(&setting).await, [State::Signs]);
}

#[tokio::test]
async fn a_leaked_key_that_does_not_sign_is_retired_alone() {
    let setting = Setting::new().await;
    let first = rotate(&setting.db).await.made.unwrap();
    setting.clock.advance(TimeDelta::days(30));
    let second = rotate(&setting.db).await.made.unwrap();
    let retired = retire(&setting, Which::Id(second.clone())).await;
    assert_eq!((retired.gone, retired.signs), (vec![second], first));
    let left = keys::list(&setting.db).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].retired_at, None, "nothing follows it any more");
    assert!(
        rotate(&setting.db).await.made.is_some(),
        "the next one comes with the next look"
    );

    let unknown = keys::retire(&setting.db, &Which::Id("x".to_owned())).await;
    assert!(matches!(unknown, Err(Error::NotFound)));
    let all = retire(&setting, Which::All).await;
    assert_eq!(all.gone.len(), 2);
    assert_eq!(published(&setting).await, [all.signs]);
    let fresh = Setting::new().await;
    assert!(retire(&fresh, Which::All).await.gone.is_empty());
}

#[tokio::test]
async fn a_retired_keys_row_is_not_believed_by_a_process_that_read_it_before() {
    let setting = Setting::new().await;
    let subject = subject(&setting).await;
    setting.clock.advance(TimeDelta::days(31));
    rotate(&setting.db).await;
    setting.clock.advance(TimeDelta::days(1) - TimeDelta::minutes(1));
    setting.tokens.issue(&subject).await.unwrap();
    // Not read again since.
    setting.clock.advance(AFTER_ALL_TOKENS + TimeDelta::minutes(1));
    let set = serde_json::to_value(setting.tokens.key_set().await.unwrap()).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 1);
}
