//! Progress of a run, interval by interval.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::errors::Errors;
use super::outcome::{Outcome, latencies};
use super::pace::as_ns;

/// An interval of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its end, in seconds since the start of the run.
    pub at_seconds: f64,
    /// Its length, in seconds.
    pub seconds: f64,
    /// Number of clients at its end: connections, open or to be opened.
    pub clients: usize,
    /// Number of answers received in it.
    pub requests: u64,
    /// Median latency of these answers, in ns; 0 without answers.
    pub p50_ns: u64,
    /// 99th percentile of latency, in ns; 0 without answers.
    pub p99_ns: u64,
    /// Errors in it.
    pub errors: Errors,
}

impl Snapshot {
    /// Returns the number of answers per second that were not errors.
    pub fn requests_per_second(&self) -> f64 {
        (self.requests - self.errors.answers()) as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// Function that is called for each interval of a run. It ends the run by returning `Break`.
pub struct Watch<'a> {
    every_ns: u64,
    tell: &'a mut dyn FnMut(&Snapshot) -> ControlFlow<()>,
    since: Since,
}

/// Counts at the beginning of the current interval.
struct Since {
    at: u64,
    requests: u64,
    errors: Errors,
    latency_ns: Histogram<u64>,
}

impl<'a> Watch<'a> {
    /// Calls `tell` each time that `every` has passed, and once at the end of the run.
    pub fn new(every: Duration, tell: &'a mut dyn FnMut(&Snapshot) -> ControlFlow<()>) -> Self {
        let since =
            Since { at: 0, requests: 0, errors: Errors::default(), latency_ns: latencies() };
        Self { every_ns: as_ns(every).max(1), tell, since }
    }

    pub(super) fn begin(&mut self, now: u64) {
        self.since.at = now;
    }

    pub(super) fn next_at(&self) -> u64 {
        self.since.at.saturating_add(self.every_ns)
    }

    pub(super) fn count_answer(&mut self, latency_ns: u64) {
        self.since.latency_ns.saturating_record(latency_ns);
    }

    /// Ends an interval at `now`, of a run that began at `started`.
    pub(super) fn tell(
        &mut self,
        now: u64,
        started: u64,
        clients: usize,
        outcome: &Outcome,
    ) -> ControlFlow<()> {
        let since = &mut self.since;
        let snapshot = Snapshot {
            at_seconds: Duration::from_nanos(now - started).as_secs_f64(),
            seconds: Duration::from_nanos(now - since.at).as_secs_f64(),
            clients,
            requests: outcome.requests - since.requests,
            p50_ns: since.latency_ns.value_at_quantile(0.5),
            p99_ns: since.latency_ns.value_at_quantile(0.99),
            errors: outcome.errors - since.errors,
        };
        since.at = now;
        since.requests = outcome.requests;
        since.errors = outcome.errors;
        since.latency_ns.reset();
        (self.tell)(&snapshot)
    }
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("every_ns", &self.every_ns).finish_non_exhaustive()
    }
}
