//! How much of what a caller may do in which time: token buckets, kept in Redis so that all copies of
//! the API count together. When Redis is away each process counts for itself: nobody is locked out, and
//! nobody is let loose.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::{Purpose, mac};
use crate::error::{Error, Result};

/// Redis is given this long to answer.
const PATIENCE: Duration = Duration::from_millis(if cfg!(feature = "testing") {
    // A machine that runs many tests at once may be slow, which is not what they are about.
    3000
} else {
    200
});
/// After it did not, it is left alone for this long, so that not every request waits.
const REST: Duration = Duration::from_secs(1);
/// At most one warning in this time.
const QUIET: Duration = Duration::from_secs(60);
/// How many buckets a process keeps for itself at most.
const LOCAL: usize = 50_000;

macro_rules! buckets {
    ($($(#[$about:meta])* $name:ident = $text:literal, $capacity:literal, $refill:literal per $millis:literal ms;)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Bucket { $($(#[$about])* $name),* }
        impl Bucket {
            /// Every bucket.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            fn rule(self) -> Rule {
                match self {
                    $(Self::$name => Rule { name: $text, capacity: $capacity, refill: $refill, millis: $millis }),*
                }
            }
        }
    };
}

buckets! {
    /// Sign-in mails to one address.
    SignInMailPerAddress = "mail-address", 5, 5 per 900_000 ms;
    /// Sign-in mails that one client asks for.
    SignInMailPerClient = "mail-client", 30, 30 per 1_800_000 ms;
    /// Sign-in links that one client tries.
    LinkAttemptsPerClient = "link-client", 60, 60 per 300_000 ms;
    /// Challenges for an authenticator that one client asks for.
    PasskeyChallengesPerClient = "challenge-client", 60, 60 per 300_000 ms;
    /// Passkeys that one client presents or adds.
    PasskeyAttemptsPerClient = "passkey-client", 60, 60 per 300_000 ms;
    /// Recovery codes that one client tries.
    RecoveryCodesPerClient = "recovery-client", 30, 30 per 900_000 ms;
    /// Recovery codes that are tried for one user.
    RecoveryCodesPerUser = "recovery-user", 20, 20 per 3_600_000 ms;
    /// Sign-ins at providers that one client begins or ends.
    SsoPerClient = "sso-client", 60, 60 per 300_000 ms;
    /// Access tokens that one client fetches.
    RefreshPerClient = "refresh-client", 300, 5 per 1_000 ms;
    /// Refused sign-ins of one account that its trail keeps.
    RefusalsPerUser = "refusals-user", 20, 20 per 3_600_000 ms;
    /// Access tokens and API keys that one client presents and that are none.
    WrongCredentialsPerClient = "credential-client", 300, 2 per 1_000 ms;
    /// The cost of one API key's GraphQL operations.
    GraphqlCostPerKey = "graphql-key", 20_000, 400 per 1_000 ms;
    /// The cost of one user's GraphQL operations, those of their keys too.
    GraphqlCostPerUser = "graphql-user", 50_000, 1_000 per 1_000 ms;
    /// Files that one user uploads.
    UploadsPerUser = "upload-user", 50, 50 per 3_600_000 ms;
}

/// A bucket's size, and how much flows back in which time.
#[derive(Clone, Copy)]
struct Rule {
    name: &'static str,
    capacity: u32,
    refill: u32,
    millis: u32,
}

impl Rule {
    fn per_milli(self) -> f64 {
        f64::from(self.refill) / f64::from(self.millis)
    }

    /// How long until that much has flowed back.
    fn time_for(self, amount: f64) -> TimeDelta {
        #[expect(clippy::cast_possible_truncation, reason = "at most days, in milliseconds")]
        let millis = (amount.max(0.0) / self.per_milli()).ceil() as i64;
        TimeDelta::milliseconds(millis)
    }
}

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What the bucket holds when full.
    pub limit: u32,
    /// What it holds now.
    pub remaining: u32,
    /// When it is full again if nothing more is taken.
    pub reset_at: DateTime<Utc>,
}

/// The buckets. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    redis: ConnectionManager,
    script: redis::Script,
    prefix: String,
    key: Zeroizing<[u8; 32]>,
    /// Whose buckets they are: two databases that share a Redis do not share them.
    database: String,
    clock: Clock,
    local: Mutex<HashMap<[u8; 16], Level>>,
    away: Mutex<Away>,
}

#[derive(Clone, Copy)]
struct Level {
    tokens: f64,
    at: i64,
}

#[derive(Default)]
struct Away {
    until: Option<Instant>,
    warned: Option<Instant>,
}

/// Takes `cost` from the bucket if it holds that much; returns whether, and what it holds in
/// thousandths. Times are the caller's, so that they can be moved; one that is behind takes nothing
/// back. A bucket that would be full again is forgotten.
const TAKE: &str = r"
local capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local now, cost = tonumber(ARGV[3]), tonumber(ARGV[4])
local level = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(level[1]) or capacity, tonumber(level[2]) or now
if now > at then
    tokens = math.min(capacity, tokens + (now - at) * rate)
    at = now
end
local taken = 0
if tokens >= cost then
    tokens = tokens - cost
    taken = 1
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', at))
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - tokens) / rate) + 1000)
return {taken, math.floor(tokens * 1000)}
";

impl Limits {
    /// The buckets of that configuration. Redis is first asked when something is taken, so that it need
    /// not be there at the start.
    ///
    /// # Errors
    /// When `REDIS_URL` can't be used at all, or there is no root key.
    pub fn connect(config: &Config, clock: Clock) -> Result<Self> {
        let url = config.redis_url.expose_secret();
        let client = redis::Client::open(url).map_err(|_| Error::internal("REDIS_URL can't be used"))?;
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(10));
        let redis = ConnectionManager::new_lazy_with_config(client, settings).map_err(Error::internal)?;
        let root = &config.root_keys;
        let key = root
            .derive(root.newest(), Purpose::Limit)
            .ok_or_else(|| Error::internal("no root key"))?;
        let database = url::Url::parse(config.database_url.expose_secret())
            .map(|url| url.path().to_owned())
            .unwrap_or_default();
        Ok(Self(Arc::new(Inner {
            redis,
            script: redis::Script::new(TAKE),
            prefix: format!("crm:{}:limit", config.environment.as_str()),
            key,
            database,
            clock,
            local: Mutex::default(),
            away: Mutex::default(),
        })))
    }

    /// Takes `cost` from the bucket of `key` (an id, or an address, which is kept only as a keyed hash).
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time after which the bucket holds that much; nothing is taken then.
    pub async fn take(&self, bucket: Bucket, key: &str, cost: u32) -> Result<Budget> {
        let inner = &self.0;
        let rule = bucket.rule();
        let digest = inner.digest(rule, key);
        let now = inner.clock.now();
        let cost = f64::from(cost);
        let (taken, tokens) = match inner.take_from_redis(rule, &digest, now, cost).await {
            Some(level) => level,
            None => inner.take_locally(rule, digest, now, cost),
        };
        if !taken {
            let wait = rule.time_for(cost - tokens).to_std().unwrap_or(PATIENCE);
            return Err(Error::RateLimited(wait));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and a u32"
        )]
        let remaining = tokens.max(0.0) as u32;
        Ok(Budget {
            limit: rule.capacity,
            remaining,
            reset_at: now + rule.time_for(f64::from(rule.capacity) - tokens),
        })
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        let mut redis = self.0.redis.clone();
        let command = redis::cmd("PING");
        let asked = command.query_async::<()>(&mut redis);
        tokio::time::timeout(Duration::from_secs(1), asked)
            .await
            .map_err(Error::unavailable)?
            .map_err(Error::unavailable)
    }
}

impl Inner {
    fn digest(&self, rule: Rule, key: &str) -> [u8; 16] {
        let message = [self.database.as_str(), rule.name, key].join("\0");
        let mut digest = [0; 16];
        digest.copy_from_slice(&mac(self.key.as_slice(), message.as_bytes())[..16]);
        digest
    }

    async fn take_from_redis(
        &self,
        rule: Rule,
        digest: &[u8; 16],
        now: DateTime<Utc>,
        cost: f64,
    ) -> Option<(bool, f64)> {
        if self.rests() {
            return None;
        }
        let mut redis = self.redis.clone();
        let mut call = self.script.key(format!(
            "{}:{}:{:032x}",
            self.prefix,
            rule.name,
            u128::from_be_bytes(*digest)
        ));
        call.arg(rule.capacity)
            .arg(rule.per_milli())
            .arg(now.timestamp_millis())
            .arg(cost);
        let asked = call.invoke_async::<(u8, i64)>(&mut redis);
        let failure = match tokio::time::timeout(PATIENCE, asked).await {
            #[expect(clippy::cast_precision_loss, reason = "thousandths of a bucket")]
            Ok(Ok((taken, thousandths))) => return Some((taken == 1, thousandths as f64 / 1000.0)),
            Ok(Err(error)) => error.category().to_owned(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.rest(&failure);
        None
    }

    fn rests(&self) -> bool {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.until.is_some_and(|until| Instant::now() < until)
    }

    fn rest(&self, failure: &str) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.until = Some(Instant::now() + REST);
        if away.warned.is_none_or(|warned| warned.elapsed() >= QUIET) {
            away.warned = Some(Instant::now());
            tracing::warn!(
                failure,
                "Redis is away: limits are counted by each process for itself"
            );
        }
    }

    /// As [`TAKE`].
    fn take_locally(&self, rule: Rule, digest: [u8; 16], now: DateTime<Utc>, cost: f64) -> (bool, f64) {
        let now = now.timestamp_millis();
        let capacity = f64::from(rule.capacity);
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        if local.len() >= LOCAL && !local.contains_key(&digest) {
            // Any time will do: what is forgotten is at worst one bucket's worth, for each of so many.
            local.clear();
        }
        let level = local.entry(digest).or_insert(Level {
            tokens: capacity,
            at: now,
        });
        if now > level.at {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds between two requests")]
            let flowed = (now - level.at) as f64 * rule.per_milli();
            *level = Level {
                tokens: capacity.min(level.tokens + flowed),
                at: now,
            };
        }
        let taken = level.tokens >= cost;
        if taken {
            level.tokens -= cost;
        }
        (taken, level.tokens)
    }
}

/// By what a client is counted: its address, and in IPv6 its network, of which one customer has a whole
/// /64 to choose from.
#[must_use]
pub fn client_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_customer_of_ipv6_is_one_client() {
        let key = |text: &str| client_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::3"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::3"), key("2001:db8:1:3::3"));
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn names_of_buckets_are_unique() {
        let names: std::collections::HashSet<_> =
            Bucket::ALL.iter().map(|bucket| bucket.rule().name).collect();
        assert_eq!(names.len(), Bucket::ALL.len());
    }
}
