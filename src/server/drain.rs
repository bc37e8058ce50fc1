//! The order of a stop: accept what is in the queue, answer what has arrived, close the idle
//! connections, and cut off the others when the drain timeout has passed.

use std::time::{Duration, Instant};

use mio::Registry;

use super::admission::Admission;
use super::connections::Connections;
use crate::http::Service;

/// Time that a drain waits for a connection that has never sent anything: it may have been in the
/// queue of the listener, with its request on the way.
const UNUSED_WAIT: Duration = Duration::from_millis(500);

/// The progress of a stop.
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

    pub(super) fn begin<S: Service>(
        &mut self,
        admission: &mut Admission,
        connections: &mut Connections<S>,
        registry: &Registry,
    ) {
        let env = &mut connections.state.env;
        env.draining = true;
        self.until = Some(env.now + env.config.timeouts.drain);
        admission.accept_the_last(connections, registry);
        for key in connections.keys() {
            connections.wake(key, false);
            if let Some(connection) = connections.slab.get_mut(key)
                && connection.is_unused()
            {
                connection.set_timer(key, UNUSED_WAIT, &mut connections.timers);
            }
        }
    }

    /// Ends the drain now.
    pub(super) fn end(&mut self, now: Instant) {
        self.until = Some(now);
    }

    /// Reports whether the drain has ended: no connection is left, or the drain timeout has
    /// passed.
    pub(super) fn is_over<S: Service>(&self, connections: &Connections<S>) -> bool {
        let now = connections.state.env.now;
        self.until.is_some_and(|until| connections.slab.is_empty() || now >= until)
    }

    /// Closes the connections that are left. Returns the number of unfinished requests.
    pub(super) fn cut_off<S: Service>(&self, connections: &mut Connections<S>) -> usize {
        let unfinished = connections.slab.iter().filter(|(_, each)| each.is_unfinished()).count();
        connections.keys().into_iter().for_each(|key| connections.close(key));
        unfinished
    }
}
