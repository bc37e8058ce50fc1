//! The proxies that are trusted to name their clients.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The proxies that are trusted to name the client of a request.
///
/// ```
/// use pinloop::{ClientHeader, Trust};
///
/// let trust = Trust::new("10.0.0.0/8,2001:db8::/32".parse()?, ClientHeader::XForwardedFor);
/// assert!(trust.contains("10.1.2.3".parse().unwrap()));
/// assert!(!trust.contains("192.0.2.1".parse().unwrap()));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trust(Arc<(Networks, ClientHeader)>);

/// A list of networks, such as `10.0.0.0/8,2001:db8::/32`. The word `unix` in the list stands for
/// all peers of Unix sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    networks: Vec<IpNet>,
    has_unix: bool,
}

/// Word for the peers of Unix sockets.
const UNIX: &str = "unix";

/// The header in which a trusted proxy names the client. A proxy sets one of them and passes the
/// other one on as the client has sent it, so only one can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum ClientHeader {
    /// `X-Forwarded-For`, the habit of nginx, HAProxy, Envoy and the clouds.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ClientHeader {
    /// Returns the name of the header in lower case.
    pub fn name(self) -> &'static str {
        match self {
            ClientHeader::XForwardedFor => "x-forwarded-for",
            ClientHeader::Forwarded => "forwarded",
        }
    }
}

impl Trust {
    /// Trusts `networks` to name their clients in `header`.
    pub fn new(networks: Networks, header: ClientHeader) -> Trust {
        Trust(Arc::new((networks, header)))
    }

    /// Reports whether `address` is that of a trusted proxy. An IPv4 address in IPv6, such as
    /// `::ffff:10.0.0.1`, is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.0.networks.iter().any(|network| network.contains(&address))
    }

    /// Reports whether a peer is a trusted proxy. The peer of a Unix socket has no address.
    pub(super) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.0.0.has_unix, |address| self.contains(address))
    }

    /// Returns the header that names the client.
    pub fn header(&self) -> ClientHeader {
        self.0.1
    }
}

impl FromStr for Networks {
    type Err = String;

    /// Parses networks, addresses and the word `unix`, with commas between them. nginx's `unix:` is
    /// the same word. The error says which values are allowed.
    fn from_str(list: &str) -> Result<Networks, String> {
        const WRONG: &str = "allowed is a list of networks such as 10.0.0.0/8,2001:db8::/32, and \
                             unix for Unix sockets";
        let is_unix = |text: &&str| text.trim().trim_end_matches(':') == UNIX;
        let network = |text: &str| {
            let text = text.trim();
            let network = match text.parse::<IpAddr>() {
                Ok(address) => IpNet::from(address.to_canonical()),
                Err(_) => text.parse().map_err(|_| WRONG.to_string())?,
            };
            // A slip: the prefix is shorter than what was meant, or the address is not that of
            // the network.
            match network.trunc() {
                whole if whole == network => Ok(canonical(network)),
                whole => Err(format!("{text} has bits behind its prefix; {whole} has none")),
            }
        };
        let (unix, others): (Vec<&str>, Vec<&str>) = list.split(',').partition(is_unix);
        let networks = others.into_iter().map(network).collect::<Result<_, _>>()?;
        Ok(Networks { networks, has_unix: !unix.is_empty() })
    }
}

/// Returns the network of IPv4 that an IPv6 network such as `::ffff:10.0.0.0/104` stands for. Other
/// networks are returned as they are.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let mapped = |network: Ipv6Net| {
        let address = network.addr().to_ipv4_mapped()?;
        let bits = network.prefix_len().checked_sub(MAPPED_BITS)?;
        Ipv4Net::new(address, bits).ok().map(IpNet::V4)
    };
    match network {
        IpNet::V6(v6) => mapped(v6).unwrap_or(network),
        IpNet::V4(_) => network,
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unix = self.has_unix.then(|| UNIX.to_string());
        let all: Vec<String> = self.networks.iter().map(IpNet::to_string).chain(unix).collect();
        f.write_str(&all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_checked() {
        let parse = |text: &str| text.parse::<Networks>();
        assert_eq!(parse("10.0.0.0/8, ::1").unwrap().to_string(), "10.0.0.0/8,::1/128");
        assert_eq!(parse("unix:, 10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8,unix");
        assert_eq!(parse("unix").unwrap().to_string(), "unix");
        for wrong in [
            "",
            ",",
            "unix:/run",
            "unix,",
            "10.0.0.0/33",
            "10.0.0",
            "10.0.0.0/8,",
            "all",
            "10.0.0.0/-1",
        ] {
            assert!(parse(wrong).unwrap_err().starts_with("allowed is a list"), "{wrong}");
        }
        let slip = parse("10.0.0.1/8").unwrap_err();
        assert_eq!(slip, "10.0.0.1/8 has bits behind its prefix; 10.0.0.0/8 has none");
    }

    #[test]
    fn the_peers_of_unix_sockets_are_trusted_by_their_word_only() {
        let trusts = |list: &str| {
            let trust = Trust::new(list.parse().unwrap(), ClientHeader::default());
            (trust.trusts(None), trust.contains("192.0.2.7".parse().unwrap()))
        };
        assert_eq!(trusts("0.0.0.0/0,::/0"), (false, true));
        assert_eq!(trusts("unix"), (true, false));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_the_ipv4_address() {
        let trust = Trust::new("192.0.2.0/24".parse().unwrap(), ClientHeader::default());
        assert!(trust.contains("::ffff:192.0.2.7".parse().unwrap()));
        assert!(!trust.contains("::192.0.2.7".parse().unwrap()));
    }

    /// Such a network contained no address, because the addresses of peers are IPv4 ones.
    #[test]
    fn a_network_of_ipv4_in_ipv6_is_the_ipv4_network() {
        for (list, canonical) in [
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            let networks: Networks = list.parse().unwrap();
            assert_eq!(networks.to_string(), canonical);
            let trust = Trust::new(networks, ClientHeader::default());
            assert!(trust.contains("192.0.2.7".parse().unwrap()), "{list}");
        }
        assert_eq!("::/64".parse::<Networks>().unwrap().to_string(), "::/64");
    }
}
