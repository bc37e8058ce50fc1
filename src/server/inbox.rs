//! Messages from other threads to an event loop: deferred responses, wake-ups of paused
//! streams, connections that another loop has accepted, and the order to look at the state that
//! all loops share.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Registry, Token, Waker};

use crate::http::{DeferredResponse, Peer, ResponseSink};

/// Token of the waker in the poll of its event loop.
pub(super) const WAKER: Token = Token(usize::MAX - 2);

/// Time after which a loop that has not taken its arrivals is held to be blocked by its service.
/// A loop that is busy wakes every few milliseconds.
const BLOCKED_LEAST: Duration = Duration::from_millis(100);

/// The inbox of one event loop.
pub(super) struct Inbox {
    waker: Waker,
    /// The lock is taken for deferred responses, paused streams and passed connections, and for
    /// no other request.
    queue: Mutex<Queue>,
}

/// The content of an inbox.
#[derive(Default)]
pub(super) struct Queue {
    /// Messages with the number of their connection.
    pub(super) messages: Vec<(u64, Message)>,
    /// Connections that another loop has accepted. They count as open, so that
    /// [`Config::connections_max`](crate::Config::connections_max) is the bound of their number.
    pub(super) arrivals: Vec<Arrival>,
    /// Time at which the first of the arrivals came.
    since: Option<Instant>,
    /// The loop has begun to drain or has ended, and takes no more arrivals.
    is_closed: bool,
}

/// A connection that was accepted. No byte of it has been read.
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) client: Peer,
    /// Number of loops that had no idle connection to close for this one.
    pub(super) tried: usize,
}

impl Arrival {
    pub(super) fn new(stream: TcpStream, client: Peer) -> Arrival {
        Arrival { stream, client, tried: 0 }
    }
}

/// A message to one connection.
pub(super) enum Message {
    /// Deliver a deferred response.
    Respond(DeferredResponse),
    /// Call the paused producer again.
    Resume,
}

impl Inbox {
    pub(super) fn new(registry: &Registry) -> io::Result<Inbox> {
        Ok(Inbox { waker: Waker::new(registry, WAKER)?, queue: Mutex::default() })
    }

    /// Wakes the loop.
    pub(super) fn wake_loop(&self) {
        // Fails if the loop has ended, and then there is nothing to wake.
        if let Err(error) = self.waker.wake() {
            log::debug!("an event loop could not be woken: {error}");
        }
    }

    /// Takes all messages and arrivals.
    pub(super) fn take(&self) -> Queue {
        let mut queue = self.lock();
        let is_closed = queue.is_closed;
        std::mem::replace(&mut *queue, Queue { is_closed, ..Queue::default() })
    }

    /// Reports whether the loop takes connections from other loops.
    pub(super) fn takes_arrivals(&self, now: Instant) -> bool {
        self.lock().takes_arrivals(now)
    }

    /// Passes a connection to the loop. Returns the connection if the loop takes none.
    pub(super) fn pass(&self, arrival: Arrival, now: Instant) -> Result<(), Arrival> {
        let mut queue = self.lock();
        if !queue.takes_arrivals(now) {
            return Err(arrival);
        }
        let was_empty = queue.is_empty();
        queue.since.get_or_insert(now);
        queue.arrivals.push(arrival);
        self.wake_for_the_first(queue, was_empty);
        Ok(())
    }

    /// Takes the last arrivals, and refuses later ones.
    pub(super) fn close(&self) -> Vec<Arrival> {
        let mut queue = self.lock();
        queue.is_closed = true;
        std::mem::take(&mut queue.arrivals)
    }

    fn push(&self, connection_id: u64, message: Message) {
        let mut queue = self.lock();
        let was_empty = queue.is_empty();
        queue.messages.push((connection_id, message));
        self.wake_for_the_first(queue, was_empty);
    }

    /// Wakes the loop if the queue was empty: it takes all that came since.
    fn wake_for_the_first(&self, queue: MutexGuard<'_, Queue>, was_empty: bool) {
        drop(queue);
        if was_empty {
            self.wake_loop();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A push that panicked has left the queue whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.arrivals.is_empty()
    }

    fn takes_arrivals(&self, now: Instant) -> bool {
        let waited = |since| now.saturating_duration_since(since);
        !self.is_closed && self.since.is_none_or(|since| waited(since) < BLOCKED_LEAST)
    }
}

impl ResponseSink for Inbox {
    fn deliver(&self, connection_id: u64, response: DeferredResponse) {
        self.push(connection_id, Message::Respond(response));
    }

    fn wake(&self, connection_id: u64) {
        self.push(connection_id, Message::Resume);
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
