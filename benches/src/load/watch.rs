//! Progress of a run, interval by interval.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::clock::Used;
use super::encoding::histogram;
use super::errors::{Errors, Fault};
use super::latencies::latencies;
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
    /// CPU time of all threads of the generator, in ns.
    pub generator_cpu_ns: u64,
    /// CPU time of its busiest thread, in ns.
    pub generator_busiest_cpu_ns: u64,
    /// Time that its threads were ready to run and waited for a CPU, in ns.
    pub generator_wait_ns: u64,
}

impl Snapshot {
    /// Returns the number of answers per second that were not errors.
    pub fn requests_per_second(&self) -> f64 {
        (self.requests - self.errors.answers()) as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

type Tell<'a> = dyn FnMut(&Interval) -> ControlFlow<()> + 'a;

/// Function that is called for each interval of a run. It ends the run by returning `Break`.
pub struct Watch<'a> {
    every_ns: u64,
    tell: Box<Tell<'a>>,
    /// Start of the run, in ns.
    started: u64,
    next_at: u64,
    /// CPU and waiting time of the thread at the beginning of the current interval.
    used: Used,
    current: Interval,
}

/// Counts of an interval of a run, on one thread or on several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// Number of whole intervals that have passed at its end; `u64::MAX` at the end of the run.
    pub(super) nth: u64,
    /// Its beginning and its end, in ns since the start of the run.
    pub(super) from: u64,
    pub(super) to: u64,
    /// Number of clients at its end.
    pub(super) clients: usize,
    pub(super) requests: u64,
    pub(super) errors: Errors,
    #[serde(with = "histogram")]
    pub(super) latency_ns: Histogram<u64>,
    /// Used by all threads.
    pub(super) used: Used,
    /// CPU time of the busiest thread.
    pub(super) busiest_cpu: Duration,
}

impl Interval {
    /// An interval without answers that begins at `from`, in ns since the start of the run.
    pub(super) fn begin(from: u64) -> Self {
        Self {
            nth: 0,
            from,
            to: from,
            clients: 0,
            requests: 0,
            errors: Errors::default(),
            latency_ns: latencies(),
            used: Used::default(),
            busiest_cpu: Duration::ZERO,
        }
    }

    /// Adds the counts of another thread or of a later interval. Clients and times are apart.
    pub(super) fn add_counts(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.latency_ns += &other.latency_ns;
        self.used.cpu += other.used.cpu;
        self.used.wait += other.used.wait;
        self.busiest_cpu = self.busiest_cpu.max(other.busiest_cpu);
    }

    /// Returns its figures.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            at_seconds: Duration::from_nanos(self.to).as_secs_f64(),
            seconds: Duration::from_nanos(self.to - self.from).as_secs_f64(),
            clients: self.clients,
            requests: self.requests,
            p50_ns: self.latency_ns.value_at_quantile(0.5),
            p99_ns: self.latency_ns.value_at_quantile(0.99),
            errors: self.errors,
            generator_cpu_ns: as_ns(self.used.cpu),
            generator_busiest_cpu_ns: as_ns(self.busiest_cpu),
            generator_wait_ns: as_ns(self.used.wait),
        }
    }
}

impl<'a> Watch<'a> {
    /// Calls `tell` each time that `every` has passed, and once at the end of the run.
    pub fn new(every: Duration, tell: &'a mut dyn FnMut(&Snapshot) -> ControlFlow<()>) -> Self {
        Self::of_intervals(as_ns(every).max(1), move |interval| tell(&interval.snapshot()))
    }

    /// Calls `tell` each time that `every_ns` has passed, and once at the end of the run, with counts
    /// that can be merged with those of other machines.
    pub fn of_intervals(
        every_ns: u64,
        tell: impl FnMut(&Interval) -> ControlFlow<()> + 'a,
    ) -> Self {
        Self {
            every_ns,
            tell: Box::new(tell),
            started: 0,
            next_at: 0,
            used: Used::default(),
            current: Interval::begin(0),
        }
    }

    /// Returns the length of an interval, in ns.
    pub(super) fn every_ns(&self) -> u64 {
        self.every_ns
    }

    /// Begins the first interval, of a run that begins at `now`. `used` is what the
    /// thread had used before it.
    pub(super) fn begin(&mut self, now: u64, used: Used) {
        self.started = now;
        self.next_at = now.saturating_add(self.every_ns);
        self.used = used;
    }

    pub(super) fn next_at(&self) -> u64 {
        self.next_at
    }

    pub(super) fn count_answer(&mut self, latency_ns: u64) {
        self.current.requests += 1;
        self.current.latency_ns.saturating_record(latency_ns);
    }

    pub(super) fn count_error(&mut self, fault: &Fault) {
        self.current.errors.count(fault);
    }

    /// Ends an interval at `now`. Intervals end at multiples of their length, so that those of
    /// several threads end together.
    pub(super) fn tell(&mut self, now: u64, clients: usize) -> ControlFlow<()> {
        let passed = (now - self.started) / self.every_ns;
        self.next_at = self.started.saturating_add((passed + 1).saturating_mul(self.every_ns));
        self.end(passed, now, clients)
    }

    /// Ends the last interval at `now`.
    pub(super) fn finish(&mut self, now: u64, clients: usize) {
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) = self.end(u64::MAX, now, clients);
    }

    /// Hands over an interval of all threads.
    pub(super) fn tell_merged(&mut self, interval: &Interval) -> ControlFlow<()> {
        (self.tell)(interval)
    }

    fn end(&mut self, nth: u64, now: u64, clients: usize) -> ControlFlow<()> {
        let used = Used::so_far();
        let to = now - self.started;
        let mut ended = std::mem::replace(&mut self.current, Interval::begin(to));
        ended.nth = nth;
        ended.to = to;
        ended.clients = clients;
        ended.used = used.since(self.used);
        ended.busiest_cpu = ended.used.cpu;
        self.used = used;
        (self.tell)(&ended)
    }
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("every_ns", &self.every_ns).finish_non_exhaustive()
    }
}
