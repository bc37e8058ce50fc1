//! Which address a connection calls from.
//!
//! A closed connection keeps its port for a minute (TIME_WAIT), and an address has some 28,000
//! ports towards one server. A run with a new connection per request uses them up in seconds. So
//! on loopback, where all of 127.0.0.0/8 is this machine, each source address serves for
//! [`CONNECTIONS_PER_ADDRESS`] connections and then the next one takes its turn.
//!
//! Rejected: SO_LINGER 0, which avoids TIME_WAIT by a reset instead of a FIN. The server would be
//! spared the teardown that it is measured for. Towards other addresses the ports are what they
//! are; running out of them is counted as an error of its own (`no_port`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// Fewer than the ports that Linux gives out by default (32768 to 60999).
const CONNECTIONS_PER_ADDRESS: u64 = 20_000;

/// Taken in turn: at 50,000 connections a second an address has rested for 100 s when its turn
/// comes again, and TIME_WAIT is 60 s.
const ADDRESSES: u64 = 250;

/// Begins the `nth` connection to `server`, counted from 0. It may still be under way.
pub(super) fn connect(server: SocketAddr, nth: u64) -> io::Result<TcpStream> {
    let Some(source) = source_address(server, nth) else {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        return Ok(stream);
    };
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    match socket.connect(&server.into()) {
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        other => other?,
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// The address to bind to, or `None` where the kernel's own choice is right.
fn source_address(server: SocketAddr, nth: u64) -> Option<Ipv4Addr> {
    let IpAddr::V4(server) = server.ip() else { return None };
    let turn = (nth / CONNECTIONS_PER_ADDRESS) % ADDRESSES;
    (server.is_loopback() && turn > 0).then(|| Ipv4Addr::new(127, 0, 1, turn as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_connections_leave_the_choice_to_the_kernel() {
        let server = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(source_address(server, 0), None);
        assert_eq!(source_address(server, CONNECTIONS_PER_ADDRESS - 1), None);
    }

    #[test]
    fn then_each_address_of_loopback_takes_its_turn() {
        let server = SocketAddr::from(([127, 0, 0, 1], 80));
        let nth = |turn| source_address(server, turn * CONNECTIONS_PER_ADDRESS);
        assert_eq!(nth(1), Some(Ipv4Addr::new(127, 0, 1, 1)));
        assert_eq!(nth(249), Some(Ipv4Addr::new(127, 0, 1, 249)));
        assert_eq!(nth(250), None);
    }

    #[test]
    fn other_servers_are_called_from_where_the_kernel_says() {
        assert_eq!(source_address(SocketAddr::from(([10, 0, 0, 1], 80)), 1 << 40), None);
        assert_eq!(source_address("[::1]:80".parse().unwrap(), 1 << 40), None);
    }
}
