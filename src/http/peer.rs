//! The other end of a connection, and the client that stands behind it.

use core::net::IpAddr;

use super::forwarded;
use super::trust::Trust;

/// The other end of a connection: a client, or a trusted proxy in front of clients.
#[derive(Clone, Debug)]
pub struct Peer(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// The address is `None` at the other end of a Unix socket.
    Client(Option<IpAddr>),
    /// Boxed, so that a connection without a proxy takes no more memory.
    Proxy(Box<Proxy>),
}

#[derive(Clone, Debug)]
struct Proxy {
    address: Option<IpAddr>,
    /// Sender of the requests as far as it is known without their headers: `address`, or the
    /// source that the PROXY protocol gives.
    source: Option<IpAddr>,
    trust: Trust,
}

impl From<IpAddr> for Peer {
    /// Returns the peer of a connection without a proxy.
    fn from(address: IpAddr) -> Peer {
        Peer(Kind::Client(Some(address)))
    }
}

impl Peer {
    /// Returns the peer at `address`, which is a proxy if `trust` says so. The peer of a Unix socket
    /// has no address.
    pub fn new(address: Option<IpAddr>, trust: Option<&Trust>) -> Peer {
        match trust.filter(|trust| trust.trusts(address)) {
            None => Peer(Kind::Client(address)),
            Some(trust) => Peer(Kind::Proxy(Box::new(Proxy {
                address,
                source: address,
                trust: trust.clone(),
            }))),
        }
    }

    /// Returns the address of the other end of the connection; `None` for a Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        match &self.0 {
            Kind::Client(address) => *address,
            Kind::Proxy(proxy) => proxy.address,
        }
    }

    /// Reports whether the peer is a trusted proxy.
    pub fn is_proxy(&self) -> bool {
        matches!(self.0, Kind::Proxy(_))
    }

    /// Returns the address of a client that is connected without a proxy; `None` for a proxy, which
    /// has the connections of many clients, and for the peer of a Unix socket.
    pub(crate) fn direct_client(&self) -> Option<IpAddr> {
        self.address().filter(|_| !self.is_proxy())
    }

    /// Notes the source that a trusted proxy has given by the PROXY protocol.
    pub(crate) fn set_source(&mut self, source: IpAddr) {
        if let Kind::Proxy(proxy) = &mut self.0 {
            proxy.source = Some(source.to_canonical());
        }
    }

    /// Returns the name of the header in which this peer names clients; `None` if the headers of
    /// its requests are not to be trusted.
    pub(super) fn trusted_header(&self) -> Option<&'static str> {
        match &self.0 {
            Kind::Proxy(proxy) if proxy.trust.trusts(proxy.source) => {
                Some(proxy.trust.header().name())
            }
            _ => None,
        }
    }

    /// Returns the client of a request, if it has an address. `values` are those of
    /// [`trusted_header`](Self::trusted_header).
    pub(super) fn client<'a>(
        &self,
        values: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> Option<IpAddr> {
        match &self.0 {
            Kind::Client(address) => *address,
            Kind::Proxy(proxy) if self.trusted_header().is_some() => {
                forwarded::client(proxy.source, values, &proxy.trust)
            }
            Kind::Proxy(proxy) => proxy.source,
        }
    }
}
