//! The result of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::errors::Errors;

/// Longest latency, in ns: an hour. Longer latencies are counted as this one.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Precision of latencies, in decimal digits: 0.1 %.
const LATENCY_DIGITS: u8 = 3;

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Number of complete answers, whatever their status.
    pub requests: u64,
    /// Number of complete answers by status.
    pub statuses: Statuses,
    /// Number of requests that were lost with their connections.
    pub unanswered: u64,
    /// Number of requests that were due at a fixed rate and found no free connection until the end.
    pub unsent: u64,
    /// Time from the start to the last answer or to the time to stop, whichever is later; or to
    /// the time when the server was found to be gone.
    pub elapsed: Duration,
    /// Latency of every complete answer, in ns, from the start of its request.
    pub latency_ns: Histogram<u64>,
    /// Errors by kind.
    pub errors: Errors,
    /// The first error, as a clause.
    pub first_error: Option<String>,
    /// CPU time of the generator's thread.
    pub cpu: Duration,
    /// Bytes of requests written to sockets.
    pub bytes_sent: u64,
    /// Bytes of answers read from sockets.
    pub bytes_received: u64,
    /// Number of `read` calls on sockets.
    pub reads: u64,
    /// Number of `write` calls on sockets.
    pub writes: u64,
    /// Number of returns from `epoll_wait`.
    pub wakeups: u64,
    /// Number of connections opened in this run, failed ones included.
    pub connects: u64,
    /// Maximum number of unanswered requests: connections times pipeline. 0 if clients arrived,
    /// because their number changed.
    pub in_flight_max: usize,
}

/// Numbers of answers by status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statuses {
    /// Statuses in the order in which they occurred first: nearly always one entry.
    counts: Vec<(u16, u64)>,
}

impl Statuses {
    /// Returns each status that occurred with its number of answers, by status.
    pub fn by_status(&self) -> BTreeMap<u16, u64> {
        self.counts.iter().copied().collect()
    }

    pub(super) fn count(&mut self, status: u16) {
        match self.counts.iter_mut().find(|(counted, _)| *counted == status) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((status, 1)),
        }
    }
}

impl Outcome {
    pub(super) fn new() -> Self {
        Self {
            requests: 0,
            statuses: Statuses::default(),
            unanswered: 0,
            unsent: 0,
            elapsed: Duration::ZERO,
            latency_ns: latencies(),
            errors: Errors::default(),
            first_error: None,
            cpu: Duration::ZERO,
            bytes_sent: 0,
            bytes_received: 0,
            reads: 0,
            writes: 0,
            wakeups: 0,
            connects: 0,
            in_flight_max: 0,
        }
    }

    /// Returns the number of answers that were not errors.
    pub fn succeeded(&self) -> u64 {
        self.requests - self.errors.answers()
    }

    /// Returns the number of answers per second that were not errors.
    pub fn requests_per_second(&self) -> f64 {
        self.succeeded() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Returns the latencies of a closed loop, in ns, corrected for coordinated omission as wrk
    /// does it. The correction adds the latencies of requests that could not be sent while an
    /// answer took at least twice the average time. It hides no pause of the server, but it is an
    /// estimate. A fixed rate does not need it.
    pub fn latency_corrected_ns(&self) -> Histogram<u64> {
        let elapsed_ns = self.elapsed.as_nanos() as f64;
        let interval_ns = elapsed_ns * self.in_flight_max as f64 / self.requests.max(1) as f64;
        self.latency_ns.clone_correct((interval_ns as u64).max(1))
    }

    /// Returns the share of the run's time in which the generator's thread ran, 0 to 1. Near 1 the
    /// generator limits the figures, not the server.
    pub fn generator_load(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS)
        .expect("bounds and digits are within what the histogram allows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correction_adds_what_was_not_sent_during_a_pause() {
        let mut outcome = Outcome::new();
        outcome.latency_ns.record_n(1_000_000, 900).unwrap();
        outcome.latency_ns.record(100_000_000).unwrap();
        outcome.requests = 901;
        outcome.in_flight_max = 1;
        outcome.elapsed = Duration::from_secs(1);
        // One request every 1.11 ms: during the pause of 100 ms there would have been 89 more.
        let corrected = outcome.latency_corrected_ns();
        assert_eq!(corrected.len(), 901 + 89);
        assert!(outcome.latency_ns.value_at_quantile(0.99) < 1_100_000);
        assert!(corrected.value_at_quantile(0.99) > 80_000_000);
    }
}
