//! The listening sockets of a server: its own, or those of the process before it.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::SockRef;

use super::listener;

/// Listening sockets on one address, for [`start_on`](super::start_on).
#[derive(Debug)]
pub struct Listeners {
    addr: SocketAddr,
    sockets: Vec<TcpListener>,
    /// Another process has the sockets too, so their queues outlive this process.
    are_shared: bool,
}

impl Listeners {
    /// Binds `count` sockets to `addr`, each with a queue of `backlog` connections. Port 0 picks
    /// a free port.
    ///
    /// # Errors
    /// Returns the system's error, for example because another server listens on the address.
    pub fn bind(addr: SocketAddr, backlog: u32, count: usize) -> io::Result<Listeners> {
        let (addr, sockets) = listener::bind_all(addr, backlog, count)?;
        Ok(Listeners { addr, sockets, are_shared: false })
    }

    /// Uses sockets that listen already, from socket activation or from another process. A stop
    /// leaves connections in their queues to the process that has the sockets after this one.
    ///
    /// # Errors
    /// If there is no socket, or they listen on different addresses, or the system refuses an
    /// option.
    pub fn inherit(sockets: Vec<TcpListener>) -> io::Result<Listeners> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let first = sockets.first().ok_or_else(|| wrong("there is no listening socket".into()))?;
        let addr = first.local_addr()?;
        for socket in &sockets {
            let other = socket.local_addr()?;
            if other != addr {
                return Err(wrong(format!("the sockets listen on {addr} and on {other}")));
            }
            socket.set_nonblocking(true)?;
            // Accepted sockets inherit it on Linux.
            SockRef::from(socket).set_tcp_nodelay(true)?;
        }
        Ok(Listeners { addr, sockets, are_shared: true })
    }

    /// Returns the address, with the port that the sockets have.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns duplicates of the sockets, to hand them over to another process. While there are
    /// duplicates, the sockets listen even after the server has stopped.
    ///
    /// # Errors
    /// Returns the system's error if no file descriptor is left.
    pub fn duplicate(&self) -> io::Result<Vec<TcpListener>> {
        self.sockets.iter().map(TcpListener::try_clone).collect()
    }

    /// Returns the number of sockets.
    pub(super) fn count(&self) -> usize {
        self.sockets.len()
    }

    pub(super) fn are_shared(&self) -> bool {
        self.are_shared
    }

    /// Deals the sockets to `threads`. With fewer sockets than threads, some threads share one;
    /// with more, some threads have several.
    pub(super) fn deal(self, threads: usize) -> io::Result<Vec<Vec<TcpListener>>> {
        let mut hands: Vec<Vec<TcpListener>> = (0..threads).map(|_| Vec::new()).collect();
        let count = self.sockets.len();
        for (thread, hand) in hands.iter_mut().enumerate().skip(count) {
            hand.push(self.sockets[thread % count].try_clone()?);
        }
        for (at, socket) in self.sockets.into_iter().enumerate() {
            hands[at % threads].push(socket);
        }
        Ok(hands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(count: usize) -> Listeners {
        Listeners::bind(([127, 0, 0, 1], 0).into(), 16, count).expect("a free port")
    }

    #[test]
    fn each_socket_has_a_thread_and_each_thread_a_socket() {
        for (sockets, threads) in [(1, 1), (1, 3), (2, 3), (4, 2), (5, 2)] {
            let hands = listeners(sockets).deal(threads).unwrap();
            let dealt: usize = hands.iter().map(Vec::len).sum();
            assert_eq!(dealt, sockets.max(threads), "{sockets} sockets, {threads} threads");
            assert!(hands.iter().all(|hand| !hand.is_empty()));
        }
    }

    #[test]
    fn sockets_of_different_addresses_are_refused() {
        let sockets = [listeners(1), listeners(1)].into_iter().flat_map(|each| each.sockets);
        let error = Listeners::inherit(sockets.collect()).unwrap_err().to_string();
        assert!(error.starts_with("the sockets listen on 127.0.0.1:"), "{error}");
        assert!(Listeners::inherit(Vec::new()).is_err());
    }
}
