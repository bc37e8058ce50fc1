//! Messages from other threads to an event loop: deferred responses, wake-ups of paused
//! streams, and the order to look at the state that all loops share.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::{Registry, Token, Waker};

use crate::http::{DeferredResponse, ResponseSink};

/// Token of the waker in the poll of its event loop.
pub(super) const WAKER: Token = Token(usize::MAX - 2);

/// The inbox of one event loop.
pub(super) struct Inbox {
    waker: Waker,
    /// Messages with the number of their connection. The lock is taken for deferred responses
    /// and paused streams, and for no other request.
    messages: Mutex<Vec<(u64, Message)>>,
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
        Ok(Inbox { waker: Waker::new(registry, WAKER)?, messages: Mutex::default() })
    }

    /// Wakes the loop.
    pub(super) fn wake_loop(&self) {
        // Fails if the loop has ended, and then there is nothing to wake.
        if let Err(error) = self.waker.wake() {
            log::debug!("an event loop could not be woken: {error}");
        }
    }

    /// Takes all messages.
    pub(super) fn take(&self) -> Vec<(u64, Message)> {
        std::mem::take(&mut self.lock())
    }

    fn push(&self, connection_id: u64, message: Message) {
        let mut messages = self.lock();
        messages.push((connection_id, message));
        let is_first = messages.len() == 1;
        drop(messages);
        // The sender of the first message wakes the loop, which takes them all.
        if is_first {
            self.wake_loop();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Message)>> {
        // A push that panicked has left the Vec whole.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
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
