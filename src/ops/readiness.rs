//! The phase of a server's life, which `/readyz` and the metrics show.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A phase in the life of a server. A server passes through them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// Accepts connections and answers requests.
    Serving,
    /// Still serves, and tells load balancers to send clients elsewhere: see
    /// [`Timeouts::drain_delay`](crate::Timeouts::drain_delay).
    Leaving,
    /// Accepts no connection and ends.
    Draining,
}

/// The phase of one server, for [`Config::readiness`](crate::Config::readiness). Clones share
/// it. A server never goes back to an earlier phase.
///
/// ```
/// use pinloop::{Config, Readiness};
///
/// let readiness = Readiness::default();
/// let config = Config { readiness: readiness.clone(), ..Config::default() };
/// assert!(readiness.is_ready());
/// # let _ = config;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Returns the present phase.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Leaving,
            _ => Phase::Draining,
        }
    }

    /// Reports whether new clients are welcome.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Serving
    }

    /// Enters a phase, unless the server is in a later one.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.fetch_max(phase as u8, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_never_goes_back_to_an_earlier_phase() {
        let readiness = Readiness::default();
        assert!(readiness.is_ready());
        readiness.enter(Phase::Draining);
        readiness.enter(Phase::Leaving);
        assert_eq!(readiness.phase(), Phase::Draining);
    }
}
