//! Counters of each core, without locks and locked instructions.
//!
//! Each counter has one writing thread and lies on that core's cache lines; the renderer only
//! reads. Counting takes some 135 instructions if a wake-up brings one request, mostly to read
//! the clock at its end, and 12 a request if 16 are pipelined.

#[cfg(feature = "metrics")]
mod render;

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::{Counter, Counters};
use crate::server::timeouts::TimeoutKind;

/// Counters for [`Config::metrics`](crate::Config::metrics). Clones share the counters.
///
/// ```
/// use pinloop::{Config, Metrics};
///
/// let metrics = Metrics::default();
/// let config = Config { metrics: Some(metrics.clone()), ..Config::default() };
/// # let _ = config;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Locked only when a thread starts and to render.
    cores: Arc<Mutex<Vec<Arc<CoreMetrics>>>>,
    /// Counters of the process, with name and description.
    others: Arc<Mutex<Vec<ProcessCounter>>>,
}

type ProcessCounter = (&'static str, &'static str, Arc<AtomicU64>);

/// Labels of socket errors, in the order of [`CoreMetrics::count_error`].
#[cfg(feature = "metrics")]
const ERROR_KINDS: [&str; ERRORS] = ["reset", "broken_pipe", "timed_out", "other"];

const ERRORS: usize = 4;

/// Number of buckets of request durations. The upper bound of bucket `i` is 1.024 us times 2
/// to the power of `i`; the last bound is 8.6 s.
const BUCKETS: usize = 24;

/// Counters of one core. Aligned to two cache lines, because processors fetch lines in pairs,
/// so that a core's writes never invalidate another core's counters.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreMetrics {
    pub(crate) counters: Counters,
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    /// Number of connections shed at the connection limit.
    pub(crate) shed_at_limit: Counter,
    /// Number of connections shed because no file descriptor was left.
    pub(crate) shed_without_descriptor: Counter,
    /// Idle connections closed to make room.
    pub(crate) evicted: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) timeouts: [Counter; TimeoutKind::NAMES.len()],
    errors: [Counter; ERRORS],
    wakeups: Counter,
    /// Number of responses in the durations.
    recorded: Counter,
    durations: [Counter; BUCKETS],
    /// Number of durations beyond the last bucket.
    durations_beyond: Counter,
    durations_sum_ns: Counter,
    busy_longest_ns: Counter,
}

impl Metrics {
    /// Adds the counters of a core, which only the caller may write.
    pub(crate) fn add_core(&self) -> Arc<CoreMetrics> {
        let core = Arc::new(CoreMetrics::default());
        lock(&self.cores).push(core.clone());
        core
    }

    /// Adds a counter of the whole process: `pinloop_NAME_total`, described by `help`.
    pub fn add_counter(&self, name: &'static str, help: &'static str, counter: Arc<AtomicU64>) {
        lock(&self.others).push((name, help, counter));
    }
}

fn lock<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CoreMetrics {
    /// Counts a socket error.
    pub(crate) fn count_error(&self, kind: io::ErrorKind) {
        let index = match kind {
            io::ErrorKind::ConnectionReset => 0,
            io::ErrorKind::BrokenPipe => 1,
            io::ErrorKind::TimedOut => 2,
            _ => 3,
        };
        self.errors[index].add(1);
    }

    /// Counts a wake-up and its responses.
    ///
    /// Each response gets the duration of the whole wake-up, from the event that completed the
    /// request until all responses are written. Reading the clock for each request would be
    /// more exact, but would cost more than the rest of the counting.
    pub(crate) fn end_wakeup(&self, busy: Duration) {
        self.wakeups.add(1);
        let busy_ns = nanoseconds(busy);
        if busy_ns > self.busy_longest_ns.get() {
            self.busy_longest_ns.set(busy_ns);
        }
        let responses = self.counters.responses_total();
        self.record(busy_ns, responses.saturating_sub(self.recorded.get()));
    }

    /// Records a deferred response, `took` after its request.
    pub(crate) fn record_deferred(&self, took: Duration) {
        self.record(nanoseconds(took), 1);
    }

    fn record(&self, duration_ns: u64, responses: u64) {
        if responses == 0 {
            return;
        }
        let bucket = match duration_ns >> 10 {
            0 => 0,
            units => (u64::BITS - units.leading_zeros()) as usize,
        };
        self.durations.get(bucket).unwrap_or(&self.durations_beyond).add(responses);
        self.durations_sum_ns.add(duration_ns.saturating_mul(responses));
        self.recorded.add(responses);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000) + u64::from(duration.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_response_is_recorded_once_with_its_duration() {
        let core = CoreMetrics::default();
        core.counters.responses[2].add(3);
        core.end_wakeup(Duration::from_nanos(1_500));
        core.counters.responses[4].add(1);
        core.record_deferred(Duration::from_secs(60));
        core.end_wakeup(Duration::from_nanos(10));
        assert_eq!((core.durations[1].get(), core.durations_beyond.get()), (3, 1));
        assert_eq!(core.durations_sum_ns.get(), 3 * 1_500 + 60_000_000_000);
        assert_eq!((core.wakeups.get(), core.busy_longest_ns.get()), (2, 1_500));
    }

    #[test]
    fn buckets_are_powers_of_two() {
        let core = CoreMetrics::default();
        for (ns, bucket) in
            [(0, 0), (1_023, 0), (1_024, 1), (2_047, 1), (2_048, 2), (8_000_000_000, 23)]
        {
            let before = core.durations[bucket].get();
            core.record(ns, 1);
            assert_eq!(core.durations[bucket].get(), before + 1, "{ns}");
        }
    }
}
