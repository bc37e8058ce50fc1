//! Local addresses of connections.
//!
//! A closed connection keeps its port for a minute (TIME_WAIT), and an address has some 28,000
//! ports towards one server. A run with a new connection per request uses them up in seconds, and
//! the kernel's search for a free port becomes slow long before that. On loopback all of
//! 127.0.0.0/8 is this machine, so all but the first connections of a generator use a number of
//! local addresses in turn.
//!
//! Rejected: SO_LINGER 0, which avoids TIME_WAIT by a reset in place of a FIN. It would spare the
//! server the teardown that is part of its measured work. Towards other addresses the number of
//! ports is fixed, and running out of them is an error of its own (`no_port`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Number of connections with a local address that the kernel chooses, as for any client. A run
/// that keeps its connections open does not need more.
const PLAIN_CONNECTIONS: u64 = 1_000;

/// Number of local addresses. A kernel keeps up to 262,144 connections in TIME_WAIT, which are
/// some 1,000 ports of each address. More addresses would be more peers for the server's kernel.
const ADDRESSES: u64 = 250;

/// Begins the `nth` connection to `server`, counted from 0. It may still be under way.
pub(super) fn connect(server: SocketAddr, nth: u64) -> io::Result<TcpStream> {
    if nth >= PLAIN_CONNECTIONS && is_loopback_v4(server) {
        return connect_from(source_address(nth), server);
    }
    match connect_plainly(server) {
        // Other programs have used up the ports of the address that the kernel chooses.
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && is_loopback_v4(server) => {
            connect_from(source_address(nth), server)
        }
        connected => connected,
    }
}

fn connect_plainly(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn connect_from(source: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

fn is_loopback_v4(server: SocketAddr) -> bool {
    matches!(server.ip(), IpAddr::V4(ip) if ip.is_loopback())
}

/// The addresses in turn: 127.0.1.1 to 127.0.1.250.
fn source_address(nth: u64) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, (1 + nth % ADDRESSES) as u8)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_take_turns() {
        assert_eq!(source_address(0), Ipv4Addr::new(127, 0, 1, 1));
        assert_eq!(source_address(249), Ipv4Addr::new(127, 0, 1, 250));
        assert_eq!(source_address(250), Ipv4Addr::new(127, 0, 1, 1));
    }

    #[test]
    fn calls_from_there_once_many_connections_were_made() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        for (nth, from) in [(0, [127, 0, 0, 1]), (2_000, [127, 0, 1, 1])] {
            let _connection = connect(server, nth).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), IpAddr::from(from));
        }
    }
}
