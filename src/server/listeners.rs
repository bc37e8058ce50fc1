//! The listening sockets of a server: its own, or those of the process before it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use mio::net::{TcpListener, UnixListener};
use socket2::SockRef;

use super::acceptor::Acceptor;
use super::address::Address;
use super::bind;
use super::unix_socket::{SocketFile, UnixSocket};

/// Number of threads that accept connections from one Unix socket, at most. Several, because a
/// service may block one; few, because a connection wakes all of them.
const UNIX_ACCEPTORS_MAX: usize = 4;

/// Listening sockets on one address, for [`start_on`](super::start_on).
#[derive(Debug)]
pub struct Listeners {
    address: Address,
    sockets: Vec<OwnedFd>,
    /// File of a Unix socket that is to be removed at the end.
    file: Option<SocketFile>,
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
        let (addr, sockets) = bind::bind_all(addr, backlog, count)?;
        let sockets = sockets.into_iter().map(OwnedFd::from).collect();
        Ok(Listeners { address: addr.into(), sockets, file: None, are_shared: false })
    }

    /// Binds a Unix socket with a queue of `backlog` connections. The file of a server that has
    /// ended is replaced, and the file is removed when the server stops.
    ///
    /// Up to four threads accept connections, and deal them to all threads as
    /// [`Balance::Connections`](crate::Balance::Connections) says.
    ///
    /// # Errors
    /// If there is another file at the path, or a process listens there, or the system refuses
    /// something.
    pub fn bind_unix(socket: &UnixSocket, backlog: u32) -> io::Result<Listeners> {
        let (own, file) = socket.bind(backlog)?;
        let address = Address::Unix(socket.path.clone());
        Ok(Listeners { address, sockets: vec![own], file: Some(file), are_shared: false })
    }

    /// Uses sockets that listen already, from socket activation or from another process. A stop
    /// leaves connections in their queues to the process that has the sockets after this one, and
    /// so the file of a Unix socket.
    ///
    /// # Errors
    /// If there is no socket, or they listen on different addresses, or the system refuses an
    /// option.
    pub fn inherit<S: Into<OwnedFd>>(sockets: Vec<S>) -> io::Result<Listeners> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let sockets: Vec<OwnedFd> = sockets.into_iter().map(S::into).collect();
        let first = sockets.first().ok_or_else(|| wrong("there is no listening socket".into()))?;
        let address = Address::of(first)?;
        for socket in &sockets {
            let other = Address::of(socket)?;
            if other != address {
                return Err(wrong(format!("the sockets listen on {address} and on {other}")));
            }
            let socket = SockRef::from(socket);
            socket.set_nonblocking(true)?;
            if !address.is_unix() {
                // Accepted sockets inherit it on Linux.
                socket.set_tcp_nodelay(true)?;
            }
        }
        Ok(Listeners { address, sockets, file: None, are_shared: true })
    }

    /// Uses sockets that the process before this one has given up. A stop serves the connections
    /// in their queues, and removes the file of a Unix socket.
    ///
    /// # Errors
    /// Returns the errors of [`inherit`](Listeners::inherit), and the system's error if a Unix
    /// socket has no file any more.
    pub fn take_over<S: Into<OwnedFd>>(sockets: Vec<S>) -> io::Result<Listeners> {
        let inherited = Listeners::inherit(sockets)?;
        let file = match &inherited.address {
            Address::Unix(path) => Some(SocketFile::of(path).map_err(|error| {
                let text = format!("the socket file {} is gone: {error}", path.display());
                io::Error::new(error.kind(), text)
            })?),
            Address::Ip(_) => None,
        };
        Ok(Listeners { file, are_shared: false, ..inherited })
    }

    /// Returns the address, with the port that the sockets have.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns duplicates of the sockets, to hand them over to another process. While there are
    /// duplicates, the sockets listen even after the server has stopped.
    ///
    /// # Errors
    /// Returns the system's error if no file descriptor is left.
    pub fn duplicate(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(OwnedFd::try_clone).collect()
    }

    /// Returns the sockets.
    pub(super) fn sockets(&self) -> &[OwnedFd] {
        &self.sockets
    }

    pub(super) fn are_shared(&self) -> bool {
        self.are_shared
    }

    /// Takes the file of a Unix socket that is to be removed at the end.
    pub(super) fn take_file(&mut self) -> Option<SocketFile> {
        self.file.take()
    }

    /// Deals the sockets to `threads`. With fewer sockets than threads, some threads share one;
    /// with more, some threads have several. A Unix socket goes to a few threads.
    pub(super) fn deal(self, threads: usize) -> io::Result<Vec<Vec<Acceptor>>> {
        let mut hands: Vec<Vec<Acceptor>> = (0..threads).map(|_| Vec::new()).collect();
        let is_unix = self.address.is_unix();
        let acceptor = |socket| acceptor(socket, is_unix);
        let most = if is_unix { UNIX_ACCEPTORS_MAX } else { threads };
        let count = self.sockets.len();
        for (thread, hand) in hands.iter_mut().enumerate().take(most).skip(count) {
            hand.push(acceptor(self.sockets[thread % count].try_clone()?));
        }
        for (at, socket) in self.sockets.into_iter().enumerate() {
            hands[at % threads].push(acceptor(socket));
        }
        Ok(hands)
    }
}

fn acceptor(socket: OwnedFd, is_unix: bool) -> Acceptor {
    match is_unix {
        true => Acceptor::Unix(UnixListener::from_std(socket.into())),
        false => Acceptor::Tcp(TcpListener::from_std(socket.into())),
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
        assert!(Listeners::inherit(Vec::<OwnedFd>::new()).is_err());
    }
}
