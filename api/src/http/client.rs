//! Where a request comes from: the peer, or what a trusted proxy says of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, USER_AGENT};
use domain::identity::session::ClientInfo;
use domain::network::Network;

use super::identity::{DEVICE, DEVICE_LENGTH, value_of};

/// The client's address. `X-Forwarded-For` is read from its right end, where our own proxies write, and
/// only while those who wrote it are trusted; what stands further left anybody may have made up.
#[must_use]
pub fn address(request: &HttpRequest, trusted: &[Network]) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    behind_proxies(peer, request.headers(), trusted)
}

/// The client, as its session remembers it.
#[must_use]
pub fn info(request: &HttpRequest, trusted: &[Network]) -> ClientInfo {
    let user_agent = request.headers().get(USER_AGENT);
    ClientInfo {
        address: address(request, trusted),
        user_agent: user_agent.and_then(|text| text.to_str().ok()).map(str::to_owned),
        device: value_of(request, DEVICE).filter(|value| value.len() == DEVICE_LENGTH),
    }
}

fn behind_proxies(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let trusts = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    let mut said: Vec<&str> = Vec::new();
    for line in headers.get_all("x-forwarded-for") {
        match line.to_str() {
            Ok(line) => said.extend(line.split(',')),
            Err(_) => said.push(""),
        }
    }
    while trusts(client) {
        match said.pop().and_then(parse) {
            Some(next) => client = next,
            None => break,
        }
    }
    client
}

/// An address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/30", "2001:db8::1"].map(|text| Network::parse(text).unwrap());
        let mut request = TestRequest::default().peer_addr(SocketAddr::new(peer.parse().unwrap(), 1));
        for line in lines {
            request = request.append_header(("X-Forwarded-For", *line));
        }
        address(&request.to_http_request(), &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(client("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_counts() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            client("::ffff:10.0.0.1", &["6.6.6.6, 198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6", "198.51.100.1, 2001:db8::1"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6, 198.51.100.1:4711"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6, 10.0.0.4, 10.0.0.3, 10.0.0.2"]),
            "10.0.0.4"
        );
        assert_eq!(client("10.0.0.1", &["[2001:db8::9]:80"]), "2001:db8::9");
        assert_eq!(client("10.0.0.1", &["[2001:db8::9]"]), "2001:db8::9");
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        assert_eq!(client("10.0.0.1", &["6.6.6.6, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, , 10.0.0.1"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }
}
