//! Listening sockets on one address and port, one for each thread.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::start_lock;

/// Binds `count` listening sockets to one address, which the kernel spreads new connections
/// over by a hash of addresses and ports. Returns the address, with a port chosen by the kernel
/// if `addr` has port 0.
///
/// # Errors
/// If another server listens on the address: with SO_REUSEPORT two servers could share it
/// unknowingly.
pub(super) fn bind_all(
    mut addr: SocketAddr,
    backlog: u32,
    count: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let port = addr.port();
    let _lock = (port != 0).then(|| start_lock::lock(&port.to_string()));
    // Without SO_REUSEPORT, a socket cannot be bound to an address that is in use.
    new_socket(addr)?.bind(&addr.into())?;
    let mut listeners = Vec::new();
    for _ in 0..count {
        let socket = new_socket(addr)?;
        socket.set_reuse_port(true)?;
        // Accepted sockets inherit it on Linux, which saves a setsockopt for each.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let listener = TcpListener::from(socket);
        addr = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok((addr, listeners))
}

fn new_socket(addr: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}
