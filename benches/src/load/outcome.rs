//! What a run hands back.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::errors::Errors;

/// Latencies above it are counted as it: an hour, in ns, the longest that a request can wait.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Precision of latencies, in decimal digits: 0.1 %.
const LATENCY_DIGITS: u8 = 3;

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Answers received whole, whatever their status: what the server has done.
    pub requests: u64,
    /// The same, by status.
    pub statuses: Statuses,
    /// Requests that were sent, or should have been, on connections that then failed.
    pub unanswered: u64,
    /// Requests that a rate made due, and for which no connection was free before the end.
    pub unsent: u64,
    /// From the start to the last answer, or to the time to stop if that was later, or to when
    /// the server was found to be gone.
    pub elapsed: Duration,
    /// Of every answer, in ns, from when its request started.
    pub latency_ns: Histogram<u64>,
    /// What went wrong, by kind.
    pub errors: Errors,
    /// The first thing that went wrong, as a clause.
    pub first_error: Option<String>,
    /// CPU time of the generator's thread.
    pub cpu: Duration,
    /// Bytes of requests written to sockets.
    pub bytes_sent: u64,
    /// Bytes of answers read from sockets.
    pub bytes_received: u64,
    /// Calls of `read` on sockets.
    pub reads: u64,
    /// Calls of `write` on sockets.
    pub writes: u64,
    /// Returns from `epoll_wait`.
    pub wakeups: u64,
    /// Connections opened, or tried, in this run.
    pub connects: u64,
    /// How many requests could be unanswered at once: connections times pipeline. 0 where clients
    /// arrived, and so their number changed.
    pub in_flight_max: usize,
}

/// Numbers of answers by status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statuses {
    /// In the order in which they occurred first: nearly always one entry.
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

    /// The latencies of a closed loop, in ns, with those added that requests would have had that
    /// could not be sent while an answer took twice as long as the average, or longer. wrk calls
    /// that latency; it hides no pause of the server, but is an estimate. At a rate there is no
    /// need for it.
    pub fn latency_corrected_ns(&self) -> Histogram<u64> {
        let elapsed_ns = self.elapsed.as_nanos() as f64;
        let interval_ns = elapsed_ns * self.in_flight_max as f64 / self.requests.max(1) as f64;
        self.latency_ns.clone_correct((interval_ns as u64).max(1))
    }

    /// The part of the run's time in which the generator's thread ran, 0 to 1. Near 1 the
    /// generator is what limits the figures, and not the server.
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
