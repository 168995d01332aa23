//! Rate limits: with Redis, with an emptied one, and without.

use chrono::TimeDelta;
use domain::clock::Clock;
use domain::limit::{Bucket, Limits};
use domain::testing::{Login, TestDatabase};
use domain::{Config, Error};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

fn test_redis() -> String {
    std::env::var("TEST_REDIS_URL").unwrap_or_else(|_| panic!("TEST_REDIS_URL is not set"))
}

/// Buckets are by database, so that a made-up name is a test's own.
fn config(redis: &str) -> Config {
    let pairs = [
        ("APP_ENV", "development".to_owned()),
        (
            "DATABASE_URL",
            format!("postgres://localhost/{}", uuid::Uuid::now_v7()),
        ),
        ("REDIS_URL", redis.to_owned()),
        (
            "ROOT_KEYS",
            "test:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=".to_owned(),
        ),
        ("PUBLIC_URL", "http://localhost:8080".to_owned()),
    ];
    Config::read(|name| {
        pairs
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.clone())
    })
    .unwrap()
}

async fn taken(limits: &Limits, key: &str, tries: u32) -> usize {
    let mut taken = 0;
    for _ in 0..tries {
        taken += usize::from(limits.take(Bucket::SignInMailPerAddress, key, 1).await.is_ok());
    }
    taken
}

async fn behaves(limits: &Limits, clock: &Clock) {
    let first = limits.take(Bucket::SignInMailPerAddress, "a", 1).await.unwrap();
    assert_eq!((first.limit, first.remaining), (5, 4));
    assert!(first.reset_at > clock.now());
    assert_eq!(taken(limits, "a", 10).await, 4);
    assert_eq!(taken(limits, "b", 10).await, 5);
    let Err(Error::RateLimited(wait)) = limits.take(Bucket::SignInMailPerAddress, "a", 2).await else {
        unreachable!("the bucket is empty")
    };
    assert!(wait.as_secs() > 180 && wait.as_secs() <= 360, "{wait:?}");
    // One flows back in three minutes; never more than the bucket holds.
    clock.advance(TimeDelta::seconds(181));
    assert_eq!(taken(limits, "a", 3).await, 1);
    clock.advance(TimeDelta::days(1));
    assert_eq!(taken(limits, "a", 10).await, 5);
    let dear = limits.take(Bucket::GraphqlCostPerUser, "a", 50_001).await;
    assert!(matches!(dear, Err(Error::RateLimited(_))));
    let budget = limits
        .take(Bucket::GraphqlCostPerUser, "a", 50_000)
        .await
        .unwrap();
    assert_eq!(budget.remaining, 0);
}

#[tokio::test]
async fn with_redis_all_copies_count_together() {
    let (config, clock) = (config(&test_redis()), Clock::system());
    let limits = Limits::connect(&config, clock.clone()).unwrap();
    limits.ping().await.unwrap();
    behaves(&limits, &clock).await;
    let other = Limits::connect(&config, clock).unwrap();
    assert_eq!(taken(&other, "c", 3).await + taken(&limits, "c", 10).await, 5);
    let all =
        futures::future::join_all((0..20).map(|_| limits.take(Bucket::SignInMailPerAddress, "d", 1))).await;
    assert_eq!(all.iter().filter(|result| result.is_ok()).count(), 5);
}

#[tokio::test]
async fn without_redis_each_counts_for_itself() {
    let clock = Clock::system();
    let limits = Limits::connect(&config("redis://127.0.0.1:1"), clock.clone()).unwrap();
    assert!(matches!(limits.ping().await, Err(Error::Unavailable(_))));
    behaves(&limits, &clock).await;
}

#[tokio::test]
async fn an_emptied_redis_begins_again_and_names_nobody() {
    // A numbered database of its own, which it empties.
    let url = format!("{}/9", test_redis().trim_end_matches('/'));
    let limits = Limits::connect(&config(&url), Clock::system()).unwrap();
    assert_eq!(taken(&limits, "ada@example.org", 10).await, 5);
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(!keys.is_empty());
    assert!(
        keys.iter()
            .all(|key| key.starts_with("crm:development:limit:") && !key.contains("ada"))
    );
    redis::cmd("FLUSHDB")
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
    redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
    assert_eq!(taken(&limits, "ada@example.org", 10).await, 5);
}

#[tokio::test]
async fn databases_that_share_a_redis_do_not_share_buckets() {
    let database = TestDatabase::new().await;
    let ours = Limits::connect(&database.config(Login::Api, &[]), Clock::system()).unwrap();
    let theirs = Limits::connect(&config(&test_redis()), Clock::system()).unwrap();
    assert_eq!(taken(&ours, "a", 10).await, 5);
    assert_eq!(taken(&theirs, "a", 10).await, 5);
}

/// Stands between the limits and Redis; with it stopped, Redis is away. A mute one takes what is sent and
/// answers nothing.
async fn way_to_redis(address: &str, mute: bool) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let redis = url::Url::parse(&test_redis()).unwrap();
    let redis = format!("{}:{}", redis.host_str().unwrap(), redis.port().unwrap_or(6379));
    let way = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((mut ours, _)) = listener.accept().await {
            let redis = redis.clone();
            open.spawn(async move {
                if mute {
                    tokio::io::copy(&mut ours, &mut tokio::io::sink()).await.ok();
                } else {
                    let mut theirs = TcpStream::connect(redis).await.unwrap();
                    tokio::io::copy_bidirectional(&mut ours, &mut theirs).await.ok();
                }
            });
        }
    });
    (address, way)
}

/// The test's Redis, with its password, reached another way.
fn redis_at(address: &str) -> String {
    let mut url = url::Url::parse(&test_redis()).unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    url.set_host(Some(host)).unwrap();
    url.set_port(port.parse().ok()).unwrap();
    url.into()
}

async fn left(limits: &Limits, cost: u32) -> u32 {
    limits
        .take(Bucket::UploadsPerUser, "a", cost)
        .await
        .unwrap()
        .remaining
}

#[tokio::test]
async fn a_redis_that_went_counts_again_when_it_is_back() {
    let (address, way) = way_to_redis("127.0.0.1:0", false).await;
    let limits = Limits::connect(&config(&redis_at(&address)), Clock::system()).unwrap();
    assert_eq!(left(&limits, 10).await, 40);
    way.abort();
    way.await.ok();
    // A bucket of the process's own, which is full. The connection may still be there for a moment.
    let mut seen = 40;
    for _ in 0..100 {
        seen = left(&limits, 0).await;
        if seen == 50 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(seen, 50);
    assert_eq!(left(&limits, 20).await, 30);
    let (_, way) = way_to_redis(&address, false).await;
    let mut seen = 30;
    for _ in 0..100 {
        if seen == 40 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        seen = left(&limits, 0).await;
    }
    assert_eq!(seen, 40);
    way.abort();
}

#[tokio::test]
async fn a_mute_redis_holds_nobody_up() {
    let (address, way) = way_to_redis("127.0.0.1:0", true).await;
    let limits = Limits::connect(&config(&redis_at(&address)), Clock::system()).unwrap();
    assert_eq!(taken(&limits, "a", 10).await, 5);
    way.abort();
}
