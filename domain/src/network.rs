//! Networks of addresses, in the notation of CIDR (RFC 4632, RFC 4291).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// A network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANetwork {
    /// Neither an address nor a network.
    #[error("holds what is neither an IP address nor a network such as 10.0.0.0/8")]
    Malformed,
    /// An address within the network instead of its first.
    #[error("holds a network whose address has bits beyond its length")]
    BeyondLength,
    /// Every address there is.
    #[error("holds a network of all addresses")]
    Everything,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8`, `192.0.2.1` or `2001:db8::1`. What IPv6 says of IPv4 (`::ffff:0:0/96`) is IPv4.
    ///
    /// # Errors
    /// When it is none, or most likely not what was meant.
    pub fn parse(text: &str) -> Result<Self, NotANetwork> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| NotANetwork::Malformed)?,
        };
        if network.trunc() != network {
            return Err(NotANetwork::BeyondLength);
        }
        let network = match (network.addr().to_canonical(), network.prefix_len()) {
            (IpAddr::V4(address), length @ 96..) if network.addr().is_ipv6() => {
                Ipv4Net::new(address, length - 96)
                    .map_err(|_| NotANetwork::Malformed)?
                    .into()
            }
            _ => network,
        };
        match network.prefix_len() {
            0 => Err(NotANetwork::Everything),
            _ => Ok(Self(network)),
        }
    }

    /// Whether the address lies within.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        Network::parse(network)
            .unwrap()
            .contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.0.0.0"),
            ("172.16.0.0/12", "172.31.0.1", "172.32.0.1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.0"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.1"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("10.0.0.0/8", "10.0.0.1", "a00::1"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_none_or_a_slip_is_refused() {
        for text in [
            "",
            "ten",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "/8",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(Network::parse(text), Err(NotANetwork::Malformed), "{text}");
        }
        for text in ["10.0.0.1/8", "fd00::1/8", "0.0.0.1/0"] {
            assert_eq!(Network::parse(text), Err(NotANetwork::BeyondLength), "{text}");
        }
        for text in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
            assert_eq!(Network::parse(text), Err(NotANetwork::Everything), "{text}");
        }
    }
}
