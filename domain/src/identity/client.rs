//! Whether a user has signed in from a device and a network before.

use std::net::IpAddr;

use super::session::{ClientInfo, UserRef};
use crate::crypto::sha256;
use crate::db::Tx;
use crate::error::Result;

/// What a client was to its user before this sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquaintance {
    /// Nothing was known of this user's clients: they are new themselves.
    First,
    /// Device and network are known.
    Known,
    /// The device or the network is new.
    New,
}

/// Remembers a client, and says what it was before.
pub(super) async fn meet(tx: &Tx, of: UserRef, client: &ClientInfo) -> Result<Acquaintance> {
    let mut kinds = vec!["network".to_owned()];
    let mut hashes = vec![hash(of, network(client.address).as_bytes())];
    if let Some(device) = &client.device {
        kinds.push("device".to_owned());
        hashes.push(hash(of, device.as_bytes()));
    }
    let of_this = kinds.len();
    let row = tx
        .query_one_row(
            "WITH before AS ( \
                 SELECT kind, hash FROM known_client WHERE owner_id = $1 AND user_id = $2 \
             ), seen AS ( \
                 INSERT INTO known_client (owner_id, user_id, kind, hash, last_seen_at) \
                 SELECT $1, $2, k, h, $3 FROM unnest($4::text[], $5::bytea[]) c (k, h) \
                 ON CONFLICT (owner_id, user_id, kind, hash) DO UPDATE SET last_seen_at = excluded.last_seen_at \
             ) \
             SELECT count(*) AS before, \
                 count(*) FILTER (WHERE (kind, hash) IN (SELECT * FROM unnest($4::text[], $5::bytea[]))) AS known FROM before",
            [
                of.owner.into(),
                of.user.into(),
                tx.now().into(),
                kinds.into(),
                hashes.into(),
            ],
        )
        .await?;
    let Some(row) = row else {
        return Ok(Acquaintance::First);
    };
    let (before, known): (i64, i64) = (row.try_get("", "before")?, row.try_get("", "known")?);
    Ok(match (before, usize::try_from(known).unwrap_or_default()) {
        (0, _) => Acquaintance::First,
        (_, known) if known == of_this && client.device.is_some() => Acquaintance::Known,
        _ => Acquaintance::New,
    })
}

fn hash(of: UserRef, value: &[u8]) -> Vec<u8> {
    sha256(&[of.user.as_bytes().as_slice(), value].concat()).to_vec()
}

/// The network of an address, about as large as what a provider has in one country: a person's own
/// addresses change within it, and somebody else's are mostly outside.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            format!("{a}.{}/12", b & 0xf0)
        }
        IpAddr::V6(address) => {
            let [a, b, ..] = address.segments();
            format!("{a:x}:{:x}::/24", b & 0xff00)
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("203.0.113.9"), of("203.15.0.1"));
        assert_ne!(of("203.0.113.9"), of("203.16.0.1"));
        assert_eq!(of("::ffff:203.0.113.9"), of("203.0.113.9"));
        assert_eq!(of("2001:db8::1"), of("2001:dff::1"));
        assert_ne!(of("2001:db8::1"), of("2001:e00::1"));
    }
}
