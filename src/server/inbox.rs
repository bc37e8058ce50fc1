//! What other threads bring to an event loop: the order to stop, and answers that
//! were deferred.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::{Registry, Waker};

use super::event_loop::WAKER;
use crate::http::{DeferredResponse, ResponseSink};

/// The post of one event loop.
pub(super) struct Inbox {
    waker: Waker,
    /// Answers with the address of their connection. Its lock is taken for a
    /// deferred answer, and for no other.
    answers: Mutex<Vec<(u64, DeferredResponse)>>,
}

impl Inbox {
    pub(super) fn new(registry: &Registry) -> io::Result<Inbox> {
        Ok(Inbox { waker: Waker::new(registry, WAKER)?, answers: Mutex::default() })
    }

    /// Wakes the loop.
    pub(super) fn wake(&self) {
        // Fails where the loop has ended, and then there is nobody to wake.
        if let Err(error) = self.waker.wake() {
            log::debug!("an event loop could not be woken: {error}");
        }
    }

    /// Takes the answers that have come.
    pub(super) fn take(&self) -> Vec<(u64, DeferredResponse)> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, DeferredResponse)>> {
        // A push that panicked has left the Vec whole.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResponseSink for Inbox {
    fn deliver(&self, address: u64, answer: DeferredResponse) {
        let mut answers = self.lock();
        answers.push((address, answer));
        let is_first = answers.len() == 1;
        drop(answers);
        // Whoever came first has woken the loop, and it takes them all.
        if is_first {
            self.wake();
        }
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
