//! What each core has counted, without a lock or a locked instruction: each
//! counter has one thread that writes it, on cache lines of its own, and whoever
//! renders them only reads.
//!
//! What it costs: some 135 instructions where one request comes a wake-up, most of
//! them for reading the clock when the wake-up ends, and 12 a request where 16 are
//! pipelined. A server without metrics pays some 20 for asking whether there are any.

#[cfg(feature = "metrics")]
mod render;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::{Counter, Counters};
use crate::server::timeouts::TimeoutKind;

/// Where a server counters what happens: [`Config::metrics`](crate::Config::metrics).
/// Clones are the same place.
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
    /// Locked when a thread starts, and to render.
    cores: Arc<Mutex<Vec<Arc<CoreMetrics>>>>,
}

/// Failures of a connection by kind: see [`CoreMetrics::count_error`].
#[cfg(feature = "metrics")]
const ERROR_KINDS: [&str; ERRORS] = ["reset", "broken_pipe", "timed_out", "other"];

const ERRORS: usize = 4;

/// Buckets of request durations: up to 1.024 us times 2 to the power of the index,
/// so the last is 8.6 s.
const BUCKETS: usize = 24;

/// One core's counters. Aligned to two cache lines, as processors fetch them in
/// pairs, so that no core's writes take another's line away.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreMetrics {
    pub(crate) counters: Counters,
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    /// At the limit of connections.
    pub(crate) shed_at_limit: Counter,
    /// For want of a file descriptor.
    pub(crate) shed_without_descriptor: Counter,
    /// Idle connections closed to make room.
    pub(crate) evicted: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) timeouts: [Counter; TimeoutKind::NAMES.len()],
    errors: [Counter; ERRORS],
    wakeups: Counter,
    /// Answers whose duration is recorded.
    recorded: Counter,
    durations: [Counter; BUCKETS],
    /// Of those longer than the last bucket.
    durations_beyond: Counter,
    durations_sum_ns: Counter,
    busy_longest_ns: Counter,
}

impl Metrics {
    /// Adds a core; it is the caller's to write.
    pub(crate) fn add_core(&self) -> Arc<CoreMetrics> {
        let core = Arc::new(CoreMetrics::default());
        self.lock().push(core.clone());
        core
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<CoreMetrics>>> {
        self.cores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CoreMetrics {
    /// Counters a connection whose socket failed.
    pub(crate) fn count_error(&self, kind: io::ErrorKind) {
        let index = match kind {
            io::ErrorKind::ConnectionReset => 0,
            io::ErrorKind::BrokenPipe => 1,
            io::ErrorKind::TimedOut => 2,
            _ => 3,
        };
        self.errors[index].add(1);
    }

    /// Counters a wake-up that took so long, and its answers, each of which took as
    /// long: from the wake-up that brought the end of the request until the answers
    /// of all that it brought were written. A clock read for each request would say
    /// more, and cost more than the rest of the counting.
    pub(crate) fn end_wakeup(&self, busy: Duration) {
        self.wakeups.add(1);
        let busy_ns = nanoseconds(busy);
        if busy_ns > self.busy_longest_ns.get() {
            self.busy_longest_ns.set(busy_ns);
        }
        let answered = self.counters.responses_total();
        self.record(busy_ns, answered.saturating_sub(self.recorded.get()));
    }

    /// Records an answer that was deferred, and took so long until it came back.
    pub(crate) fn record_deferred(&self, took: Duration) {
        self.record(nanoseconds(took), 1);
    }

    fn record(&self, duration_ns: u64, answers: u64) {
        if answers == 0 {
            return;
        }
        let bucket = match duration_ns >> 10 {
            0 => 0,
            units => (u64::BITS - units.leading_zeros()) as usize,
        };
        self.durations.get(bucket).unwrap_or(&self.durations_beyond).add(answers);
        self.durations_sum_ns.add(duration_ns.saturating_mul(answers));
        self.recorded.add(answers);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000) + u64::from(duration.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_recorded_once_with_its_duration() {
        let core = CoreMetrics::default();
        core.counters.answers[2].add(3);
        core.end_wakeup(Duration::from_nanos(1_500));
        core.counters.answers[4].add(1);
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
