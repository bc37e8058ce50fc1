//! The order of a stop: serve on for a while, accept what is in the queue, wait for one more
//! request on each idle connection, close the idle connections, and cut off the others when the
//! drain timeout has passed.

use std::time::{Duration, Instant};

use log::debug;
use mio::Registry;

use super::admission::Admission;
use super::connections::Connections;
use super::shared::Shared;
use crate::http::Service;
use crate::ops::readiness::Phase;

/// Time that a drain waits for a connection that has never sent anything: it may have been in the
/// queue of the listener, with its request on the way.
const UNUSED_WAIT: Duration = Duration::from_millis(500);

/// The progress of a stop.
#[derive(Debug, Default)]
pub(super) struct Drain {
    step: Step,
}

#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Serving,
    /// Serves until the drain delay has passed.
    Leaving(Instant),
    /// Idle connections may send one more request until the drain grace has passed.
    Grace(Instant),
    /// Connections that are not idle have until the drain timeout has passed.
    Ending(Instant),
}

impl Drain {
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.step, Step::Serving)
    }

    /// Returns the time until the next step.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        match self.step {
            Step::Serving => None,
            Step::Leaving(until) | Step::Grace(until) | Step::Ending(until) => {
                Some(until.saturating_duration_since(now))
            }
        }
    }

    /// Ends the stop now.
    pub(super) fn end(&mut self, now: Instant) {
        self.step = Step::Ending(now);
    }

    /// Takes the steps that are due.
    pub(super) fn go_on<S: Service>(
        &mut self,
        admission: &mut Admission,
        connections: &mut Connections<S>,
        shared: &Shared,
        registry: &Registry,
    ) {
        let env = &connections.state.env;
        let (now, timeouts) = (env.now, env.config.timeouts.clone());
        if let Step::Serving = self.step {
            // After a handover the successor answers the load balancers.
            let is_handed_over = shared.is_handed_over();
            let delay = if is_handed_over { Duration::ZERO } else { timeouts.drain_delay };
            debug!("stopping: serving on for {delay:?}");
            self.step = Step::Leaving(now + delay);
        }
        if let Step::Leaving(until) = self.step
            && now >= until
        {
            shared.readiness.enter(Phase::Draining);
            connections.state.env.draining = true;
            admission.take_the_last_arrivals(connections, registry);
            if !shared.leaves_queue() {
                shared.remove_file();
                admission.accept_the_last(connections, registry);
            }
            admission.close(registry);
            let count = connections.slab.len();
            let grace = timeouts.drain_grace;
            debug!("stopping: accepting ended; {count} connections have {grace:?}");
            self.step = Step::Grace(now + grace);
        }
        if let Step::Grace(until) = self.step
            && now >= until
        {
            close_idle(connections);
            let count = connections.slab.len();
            let drain = timeouts.drain;
            debug!("stopping: idle connections closed; {count} others have {drain:?}");
            self.step = Step::Ending(now + drain);
        }
    }

    /// Reports whether the stop is over: no connection is left, or the drain timeout has passed.
    pub(super) fn is_over<S: Service>(&self, connections: &Connections<S>) -> bool {
        match self.step {
            Step::Serving | Step::Leaving(_) => false,
            Step::Grace(_) => connections.slab.is_empty(),
            Step::Ending(until) => {
                connections.slab.is_empty() || connections.state.env.now >= until
            }
        }
    }

    /// Closes the connections that are left. Returns the number of unfinished requests.
    pub(super) fn cut_off<S: Service>(&self, connections: &mut Connections<S>) -> usize {
        let unfinished = connections.slab.iter().filter(|(_, each)| each.is_unfinished()).count();
        debug!("stopping: over; {unfinished} unfinished requests are cut off");
        connections.keys().into_iter().for_each(|key| connections.close(key));
        unfinished
    }
}

/// Closes the connections that are idle, and has the others close once they are.
fn close_idle<S: Service>(connections: &mut Connections<S>) {
    connections.state.env.closes_idle = true;
    for key in connections.keys() {
        connections.wake(key, false);
        if let Some(connection) = connections.slab.get_mut(key)
            && connection.is_unused()
        {
            connection.set_timer(key, UNUSED_WAIT, &mut connections.timers);
        }
    }
}
