//! Counters of each core, without locks and locked instructions.
//!
//! Each counter has one writing thread and lies on that core's cache lines; the renderer only
//! reads. Counting takes some 135 instructions if a wake-up brings one request, mostly to read
//! the clock at its end, and 12 a request if 16 are pipelined.

#[cfg(feature = "metrics")]
mod process;
#[cfg(feature = "metrics")]
mod render;
#[cfg(feature = "metrics")]
mod text_format;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Figures that are not those of a core.
    others: Arc<Mutex<Vec<Arc<Other>>>>,
    // Without the feature nothing renders the metrics.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    by_core: bool,
}

/// A figure that is not that of a core. Figures with the same name differ in their label.
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
struct Other {
    name: &'static str,
    help: &'static str,
    label: Option<(&'static str, &'static str)>,
    is_counter: bool,
    read: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl std::fmt::Debug for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Other").field("name", &self.name).finish_non_exhaustive()
    }
}

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
    /// Connections opened on this core, those included that another core has accepted.
    pub(crate) accepted: Counter,
    /// Number of accepted connections that another core has got.
    pub(crate) passed: Counter,
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

    /// Returns metrics with a series for each core, which [`render`](Self::render) then labels
    /// `thread`. By default it sums the cores up, because 64 cores make 270 KB of text.
    #[must_use]
    pub fn by_core(self) -> Metrics {
        Metrics { by_core: true, ..self }
    }

    /// Adds a counter of the whole process: `pinloop_NAME_total`, described by `help`.
    pub fn add_counter(&self, name: &'static str, help: &'static str, counter: Arc<AtomicU64>) {
        let read = move || counter.load(Ordering::Relaxed) as f64;
        self.add(Other { name, help, label: None, is_counter: true, read: Box::new(read) });
    }

    /// Adds a counter of the whole process that `read` returns: `pinloop_NAME_total`, described
    /// by `help`. Counters of the same name need the same label with other values.
    pub fn add_counter_of(
        &self,
        name: &'static str,
        help: &'static str,
        label: Option<(&'static str, &'static str)>,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add(Other { name, help, label, is_counter: true, read: Box::new(read) });
    }

    /// Adds a gauge of the whole process that `read` returns: `pinloop_NAME`, described by
    /// `help`. Gauges of the same name need the same label with other values.
    ///
    /// ```
    /// let metrics = pinloop::Metrics::default();
    /// metrics.add_gauge("jobs_waiting", "Jobs in the queue", None, || 3.0);
    /// assert!(metrics.render().contains("pinloop_jobs_waiting 3\n"));
    /// ```
    pub fn add_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        label: Option<(&'static str, &'static str)>,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add(Other { name, help, label, is_counter: false, read: Box::new(read) });
    }

    /// Adds a figure behind those with its name.
    fn add(&self, other: Other) {
        let mut others = lock(&self.others);
        let last = others.iter().rposition(|each| each.name == other.name);
        let at = last.map_or(others.len(), |last| last + 1);
        others.insert(at, Arc::new(other));
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
