//! A listening socket in an event loop, and the file descriptor that it keeps in reserve.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use log::warn;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::acceptor::Acceptor;

/// Token of the listener in the poll of its event loop.
pub(super) const LISTENER: Token = Token(usize::MAX - 1);

/// Shortest interval between two log lines about a shortage of file descriptors.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Pause of accepting after a shortage, and while a full server has no idle connection to close.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener in an event loop.
pub(super) struct Listener {
    socket: Acceptor,
    reserve: ReserveFd,
    /// There may be connections in the queue.
    is_ready: bool,
    /// Nothing is accepted until then.
    pause: Option<Pause>,
    logged: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    Until(Instant),
    /// Or until [`Listener::resume_if_waiting`], because the server is full.
    UntilRoom(Instant),
}

/// The result of accepting.
pub(super) enum Accepted {
    /// A connection, and the address of its other end if it has one.
    Connection(TcpStream, Option<IpAddr>),
    /// A connection was closed at once because no file descriptor was left.
    Shed,
    /// This connection failed. The next one may not.
    Failed,
    /// The queue is empty.
    Empty,
}

impl Listener {
    /// Registers a listener. `reserves_missing` is shared by the listeners of all threads.
    ///
    /// # Errors
    /// If no file descriptor is left for a connection.
    pub(super) fn new(
        mut socket: Acceptor,
        registry: &Registry,
        reserves_missing: Arc<AtomicUsize>,
    ) -> io::Result<Listener> {
        let reserve = ReserveFd::new(&socket, reserves_missing)?;
        // A server that cannot hold a single connection does not start.
        drop(socket.as_fd().try_clone_to_owned()?);
        registry.register(&mut socket, LISTENER, Interest::READABLE)?;
        Ok(Listener { socket, reserve, is_ready: false, pause: None, logged: None })
    }

    /// Leaves the poll. Closing alone does not suffice, because another process or thread may
    /// have the same socket.
    pub(super) fn leave(mut self, registry: &Registry) {
        if let Err(error) = registry.deregister(&mut self.socket) {
            log::debug!("a listener could not leave epoll: {error}");
        }
    }

    /// Notes that the poll has announced a connection.
    pub(super) fn set_ready(&mut self) {
        self.is_ready = true;
    }

    /// Reports whether there may be connections in the queue that can be accepted at some time
    /// or now.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Returns the time to wait before accepting, or `None` to wait for an event.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        match self.pause {
            _ if !self.is_ready => None,
            None => Some(Duration::ZERO),
            Some(Pause::Until(until) | Pause::UntilRoom(until)) => {
                Some(until.saturating_duration_since(now))
            }
        }
    }

    /// Leaves connections in the queue until one of the open connections closes. Looks again after
    /// [`PAUSE`], because a connection may have become idle.
    pub(super) fn wait_for_room(&mut self, now: Instant) {
        self.is_ready = self.is_ready && self.socket.has_connection();
        self.pause = self.is_ready.then_some(Pause::UntilRoom(now + PAUSE));
    }

    /// Looks into the queue now, also during a pause.
    pub(super) fn resume(&mut self) {
        self.is_ready = true;
        self.pause = None;
    }

    /// Does the same as [`resume`](Self::resume) if connections in the queue wait for room.
    pub(super) fn resume_if_waiting(&mut self) {
        if matches!(self.pause, Some(Pause::UntilRoom(_))) {
            self.resume();
        }
    }

    /// Accepts one connection.
    pub(super) fn accept(&mut self, now: Instant) -> Accepted {
        self.pause = None;
        if !self.reserve.regain(&self.socket) {
            return self.give_up_for_now(now);
        }
        match self.socket.accept() {
            Ok(_) if self.reserve.is_missing_anywhere() => Accepted::Shed,
            Ok((stream, client)) => Accepted::Connection(stream, client),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_ready = false;
                Accepted::Empty
            }
            Err(error) if is_shortage(&error) => self.shed(now, &error),
            // An error such as ECONNABORTED concerns one connection.
            Err(_) => Accepted::Failed,
        }
    }

    /// Accepts and closes one connection by means of the reserved descriptor.
    fn shed(&mut self, now: Instant, error: &io::Error) -> Accepted {
        if self.logged.is_none_or(|logged| now - logged >= LOG_INTERVAL) {
            self.logged = Some(now);
            warn!("{error}: closing new connections; raise `ulimit -n` or lower --max-connections");
        }
        self.reserve.give_up();
        let accepted = self.socket.accept().map(drop);
        self.reserve.regain(&self.socket);
        match accepted.map_err(|error| error.kind()) {
            Ok(()) => Accepted::Shed,
            Err(io::ErrorKind::WouldBlock) => {
                self.is_ready = false;
                Accepted::Empty
            }
            // Another thread was faster to take the descriptor.
            Err(_) => self.give_up_for_now(now),
        }
    }

    fn give_up_for_now(&mut self, now: Instant) -> Accepted {
        self.pause = Some(Pause::Until(now + PAUSE));
        Accepted::Empty
    }
}

/// Reports whether the process or the system is short of something: EMFILE, ENFILE, ENOBUFS or
/// ENOMEM.
fn is_shortage(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | ENOBUFS))
}

/// A file descriptor of one thread, held for the moment when no other is left.
///
/// Giving it up makes room to accept a connection and close it, which empties the queue of the
/// listener. A queue that cannot be emptied would either keep the loop spinning or be forgotten
/// by an edge-triggered poll.
#[derive(Debug)]
struct ReserveFd {
    descriptor: Option<std::os::fd::OwnedFd>,
    /// Number of threads that are without their reserve.
    missing: Arc<AtomicUsize>,
}

impl ReserveFd {
    /// Reserves a duplicate of `descriptor`, which needs neither a file nor a device.
    fn new(descriptor: &impl AsFd, missing: Arc<AtomicUsize>) -> io::Result<ReserveFd> {
        let descriptor = Some(descriptor.as_fd().try_clone_to_owned()?);
        Ok(ReserveFd { descriptor, missing })
    }

    /// Makes room for one descriptor.
    fn give_up(&mut self) {
        if let Some(descriptor) = self.descriptor.take() {
            // First, so that a thread that gets the descriptor finds the reserve missing.
            self.missing.fetch_add(1, Ordering::SeqCst);
            drop(descriptor);
        }
    }

    /// Reserves a descriptor unless one is reserved; reports whether there is one.
    fn regain(&mut self, descriptor: &impl AsFd) -> bool {
        if self.descriptor.is_none() {
            self.descriptor = descriptor.as_fd().try_clone_to_owned().ok();
            self.missing.fetch_sub(usize::from(self.descriptor.is_some()), Ordering::SeqCst);
        }
        self.descriptor.is_some()
    }

    /// Reports whether any thread is without its reserve. A free descriptor is then that
    /// reserve, and a connection that has got it has to give it back.
    fn is_missing_anywhere(&self) -> bool {
        self.missing.load(Ordering::SeqCst) > 0
    }
}

impl Drop for ReserveFd {
    fn drop(&mut self) {
        if self.descriptor.is_none() {
            self.missing.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_know_if_any_of_them_is_without_its_reserve() {
        let missing = Arc::new(AtomicUsize::new(0));
        let source = io::stdin();
        let reserve = || ReserveFd::new(&source, missing.clone()).expect("a descriptor is left");
        let (mut one, mut other) = (reserve(), reserve());
        assert!(!one.is_missing_anywhere());
        other.give_up();
        other.give_up();
        one.give_up();
        assert!(one.regain(&source) && one.is_missing_anywhere());
        assert!(other.regain(&source) && !one.is_missing_anywhere());
        other.give_up();
        drop(other);
        assert!(!one.is_missing_anywhere());
    }
}
