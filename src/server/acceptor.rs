//! A listening socket of either kind, and the connections from it.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::{Interest, Registry, Token};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A listening socket that does not block.
pub(super) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    /// Accepts a connection. Returns it with the address of its other end, if it has one.
    pub(super) fn accept(&self) -> io::Result<(TcpStream, Option<IpAddr>)> {
        match self {
            Acceptor::Tcp(listener) => {
                listener.accept().map(|(stream, addr)| (stream, Some(addr.ip())))
            }
            Acceptor::Unix(listener) => {
                listener.accept().map(|(stream, _)| (as_tcp_stream(stream.into()), None))
            }
        }
    }

    /// Reports whether a connection is in the queue.
    pub(super) fn has_connection(&self) -> bool {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        // After a failure, accepting tells.
        poll(&mut fds, PollTimeout::ZERO).map_or(true, |count| count > 0)
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Acceptor::Tcp(listener) => listener,
            Acceptor::Unix(listener) => listener,
        }
    }
}

/// Returns the same socket as the type of all connections. Both kinds of sockets have the same
/// system calls for all that is done with a connection, so that a request costs no choice between
/// two types.
fn as_tcp_stream(stream: UnixStream) -> TcpStream {
    TcpStream::from_std(OwnedFd::from(stream).into())
}

impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Acceptor::Tcp(listener) => listener.as_fd(),
            Acceptor::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Source for Acceptor {
    fn register(&mut self, registry: &Registry, token: Token, of: Interest) -> io::Result<()> {
        self.source().register(registry, token, of)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, of: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, of)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}
