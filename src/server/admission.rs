//! Listeners, one a thread on the same port, and what becomes of connections
//! that can't be taken.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use log::warn;
use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use super::reserve_fd::ReserveFd;

/// How often at most a shortage of file descriptors is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// A listening socket that shares its port with others: the kernel spreads new
/// connections over them by a hash of their addresses and ports.
pub(super) fn bind(addr: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    let socket =
        Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit it on Linux, which spares a setsockopt for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Whether somebody else listens on `addr`, in which case a socket without
/// SO_REUSEPORT can't be bound to it. With it, two servers would share the port
/// without a word.
pub(super) fn check_free(addr: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())
}

/// A listener in an event loop.
pub(super) struct Listener {
    socket: TcpListener,
    spare: ReserveFd,
    /// There may be connections in the queue.
    ready: bool,
    /// Nothing can be accepted before then.
    paused_until: Option<Instant>,
    logged: Option<Instant>,
}

/// How long accepting pauses when it can't be done.
const PAUSE: Duration = Duration::from_millis(100);

/// What came of accepting.
pub(super) enum Accepted {
    Connection(TcpStream, SocketAddr),
    /// A connection was closed at once for want of a file descriptor.
    Shed,
    /// This one failed, and the next may not.
    Failed,
    /// The queue is empty.
    Empty,
}

impl Listener {
    /// `spares_missing` is shared by the listeners of all threads.
    pub(super) fn new(socket: std::net::TcpListener, spares_missing: Arc<AtomicUsize>) -> Listener {
        Listener {
            socket: TcpListener::from_std(socket),
            spare: ReserveFd::new(spares_missing),
            ready: false,
            paused_until: None,
            logged: None,
        }
    }

    pub(super) fn source(&mut self) -> &mut TcpListener {
        &mut self.socket
    }

    /// The poll has said that there is a connection.
    pub(super) fn set_ready(&mut self) {
        self.ready = true;
    }

    /// Whether there may be connections in the queue.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// How long to wait before accepting: not at all, some time, or until the poll
    /// says so.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let wait =
            self.paused_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        self.ready.then_some(wait)
    }

    /// Leaves connections in the queue for a moment.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_until = Some(now + PAUSE);
    }

    /// Looks into the queue, whatever there was to wait for.
    pub(super) fn resume(&mut self) {
        self.ready = true;
        self.paused_until = None;
    }

    /// Accepts one connection.
    pub(super) fn accept(&mut self, now: Instant) -> Accepted {
        if !self.spare.regain() {
            self.pause(now);
            return Accepted::Empty;
        }
        match self.socket.accept() {
            Ok(_) if self.spare.is_missing_anywhere() => Accepted::Shed,
            Ok((stream, client)) => Accepted::Connection(stream, client),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready = false;
                Accepted::Empty
            }
            Err(error) if is_shortage(&error) => self.shed(now, &error),
            // What went wrong with one connection, such as ECONNABORTED, is its own.
            Err(_) => Accepted::Failed,
        }
    }

    fn shed(&mut self, now: Instant, error: &io::Error) -> Accepted {
        if self.logged.is_none_or(|logged| now - logged >= LOG_INTERVAL) {
            self.logged = Some(now);
            warn!("{error}: closing new connections; raise `ulimit -n` or lower --max-connections");
        }
        self.spare.give_up();
        let accepted = self.socket.accept().map(drop);
        self.spare.regain();
        match accepted.map_err(|error| error.kind()) {
            Ok(()) => Accepted::Shed,
            Err(io::ErrorKind::WouldBlock) => {
                self.ready = false;
                Accepted::Empty
            }
            // Another thread was faster to take the descriptor.
            Err(_) => {
                self.pause(now);
                Accepted::Empty
            }
        }
    }
}

/// EMFILE, ENFILE, ENOBUFS and ENOMEM: a shortage of the process or the system.
fn is_shortage(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | ENOBUFS))
}
