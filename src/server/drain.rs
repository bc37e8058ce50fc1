//! The order of a stop: accept what is in the queue, answer what has arrived, close the idle
//! connections, and cut off the others when the drain timeout has passed.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::event_loop::EventLoop;
use crate::http::Service;

/// How long a connection that has never sent anything keeps a drain waiting: it may have been in
/// the queue of the listener, with its request on the way.
const UNUSED_WAIT: Duration = Duration::from_millis(500);

/// How far a loop has stopped.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// Time of the end; `None` while the loop serves.
    until: Option<Instant>,
}

impl Drain {
    pub(super) fn has_begun(&self) -> bool {
        self.until.is_some()
    }

    /// Returns the time until the drain timeout.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }
}

impl<S: Service> EventLoop<S> {
    pub(super) fn begin_drain(&mut self) {
        let env = &mut self.state.env;
        env.draining = true;
        self.drain.until = Some(env.now + env.config.timeouts.drain);
        self.accept_the_last();
        for key in self.keys() {
            self.wake(key, false);
            if let Some(connection) = self.connections.get_mut(key)
                && connection.is_unused()
            {
                connection.set_timer(key, UNUSED_WAIT, &mut self.wheel);
            }
        }
    }

    /// Reports whether the loop has ended: no connection is left, or the drain timeout has
    /// passed.
    pub(super) fn is_drained(&self) -> bool {
        let now = self.state.env.now;
        self.drain.until.is_some_and(|until| self.connections.is_empty() || now >= until)
    }

    /// Closes the connections that are left. Returns the number of unfinished requests.
    pub(super) fn cut_off(&mut self) -> usize {
        let keys = self.keys();
        let unfinished = self.connections.iter().map(|(_, connection)| connection);
        let cut_off = unfinished.filter(|connection| Connection::is_unfinished(connection)).count();
        keys.into_iter().for_each(|key| self.close(key));
        cut_off
    }
}
