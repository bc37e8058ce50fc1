//! The result of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::encoding;
use super::errors::{Errors, LoadError};
use super::latencies::latencies;

/// The figures of one run: of one thread, or of several threads and machines together
/// ([`Self::merge`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    #[serde(with = "encoding::histogram")]
    pub latency_ns: Histogram<u64>,
    /// Errors by kind.
    pub errors: Errors,
    /// The first error, as a clause.
    pub first_error: Option<String>,
    /// Time from the start to the first error.
    pub first_error_at: Option<Duration>,
    /// Number of threads of the generator.
    pub threads: usize,
    /// CPU time of all threads of the generator.
    pub cpu: Duration,
    /// CPU time of the generator's busiest thread.
    pub busiest_cpu: Duration,
    /// Time that threads of the generator were ready to run and waited for a CPU, summed over the
    /// threads.
    pub wait: Duration,
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<u16, u64>", into = "BTreeMap<u16, u64>")]
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
        self.add(status, 1);
    }

    fn add(&mut self, status: u16, answers: u64) {
        match self.counts.iter_mut().find(|(counted, _)| *counted == status) {
            Some((_, count)) => *count += answers,
            None => self.counts.push((status, answers)),
        }
    }
}

impl PartialEq for Statuses {
    fn eq(&self, other: &Self) -> bool {
        self.by_status() == other.by_status()
    }
}

impl From<BTreeMap<u16, u64>> for Statuses {
    fn from(by_status: BTreeMap<u16, u64>) -> Self {
        Self { counts: by_status.into_iter().collect() }
    }
}

impl From<Statuses> for BTreeMap<u16, u64> {
    fn from(statuses: Statuses) -> Self {
        statuses.by_status()
    }
}

impl Outcome {
    /// Returns an outcome without requests and threads. Merged with another outcome, it changes
    /// nothing.
    pub fn none() -> Self {
        Self {
            requests: 0,
            statuses: Statuses::default(),
            unanswered: 0,
            unsent: 0,
            elapsed: Duration::ZERO,
            latency_ns: latencies(),
            errors: Errors::default(),
            first_error: None,
            first_error_at: None,
            threads: 0,
            cpu: Duration::ZERO,
            busiest_cpu: Duration::ZERO,
            wait: Duration::ZERO,
            bytes_sent: 0,
            bytes_received: 0,
            reads: 0,
            writes: 0,
            wakeups: 0,
            connects: 0,
            in_flight_max: 0,
        }
    }

    /// Adds the figures of a run at the same time, on another thread or another machine. Both
    /// runs start together, so the longer time is the time of both. The order of several merges
    /// does not matter.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        for &(status, answers) in &other.statuses.counts {
            self.statuses.add(status, answers);
        }
        self.unanswered += other.unanswered;
        self.unsent += other.unsent;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.latency_ns += &other.latency_ns;
        self.errors += other.errors;
        self.merge_first_error(other);
        self.threads += other.threads;
        self.cpu += other.cpu;
        self.busiest_cpu = self.busiest_cpu.max(other.busiest_cpu);
        self.wait += other.wait;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.reads += other.reads;
        self.writes += other.writes;
        self.wakeups += other.wakeups;
        self.connects += other.connects;
        self.in_flight_max += other.in_flight_max;
    }

    /// Keeps the earlier of the first errors; of two at the same time the first by name.
    fn merge_first_error(&mut self, other: &Self) {
        let of = |outcome: &Self| (outcome.first_error_at, outcome.first_error.clone());
        if other.first_error.is_some() && (self.first_error.is_none() || of(other) < of(self)) {
            (self.first_error_at, self.first_error) = of(other);
        }
    }

    /// Fails if there were errors and not a single answer.
    pub(super) fn check(self) -> Result<Self, LoadError> {
        if self.requests > 0 || self.errors.total() == 0 {
            return Ok(self);
        }
        let reason = self.first_error.unwrap_or_default();
        Err(LoadError::NoAnswer { reason, errors: self.errors })
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

    /// Returns the share of the run's time in which the generator's busiest thread ran, 0 to 1.
    /// Near 1 the generator limits the figures, not the server.
    pub fn generator_load(&self) -> f64 {
        self.busiest_cpu.as_secs_f64() / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correction_adds_what_was_not_sent_during_a_pause() {
        let mut outcome = Outcome::none();
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

    /// An outcome in which every figure has a value of its own.
    fn outcome(seed: u64) -> Outcome {
        let mut outcome = Outcome::none();
        for nth in 1..=100 {
            outcome.requests += 1;
            outcome.statuses.count(if nth % 10 == 0 { 503 } else { 200 });
            outcome.latency_ns.record(nth * nth * 1_000 * seed).unwrap();
        }
        outcome.unanswered = seed;
        outcome.unsent = 2 * seed;
        outcome.elapsed = Duration::from_nanos(1_000_000_007 + seed);
        outcome.errors = Errors { status: 10, reset: seed, ..Errors::default() };
        outcome.first_error = Some(format!("error of {seed}"));
        outcome.first_error_at = Some(Duration::from_millis(1_000 / seed));
        outcome.threads = 1;
        outcome.cpu = Duration::from_micros(100 * seed + 1);
        outcome.busiest_cpu = outcome.cpu;
        outcome.wait = Duration::from_nanos(77 * seed);
        outcome.bytes_sent = 1_000 * seed;
        outcome.bytes_received = 2_000 * seed;
        outcome.reads = 3 * seed;
        outcome.writes = 4 * seed;
        outcome.wakeups = 5 * seed;
        outcome.connects = 6 * seed;
        outcome.in_flight_max = 7 * seed as usize;
        outcome
    }

    fn merged(outcomes: &[Outcome]) -> Outcome {
        let mut all = Outcome::none();
        outcomes.iter().for_each(|one| all.merge(one));
        all
    }

    #[test]
    fn counts_and_times_of_several_threads_add_up() {
        let all = merged(&[outcome(1), outcome(2), outcome(5)]);
        assert_eq!((all.requests, all.unanswered, all.unsent), (300, 8, 16));
        assert_eq!(all.statuses.by_status(), [(200, 270), (503, 30)].into());
        assert_eq!(all.errors, Errors { status: 30, reset: 8, ..Errors::default() });
        assert_eq!(all.elapsed, Duration::from_nanos(1_000_000_012));
        assert_eq!((all.threads, all.in_flight_max), (3, 56));
        assert_eq!(all.cpu, Duration::from_micros(803));
        assert_eq!(all.busiest_cpu, Duration::from_micros(501));
        assert_eq!(all.wait, Duration::from_nanos(616));
        assert_eq!((all.bytes_sent, all.bytes_received), (8_000, 16_000));
        assert_eq!((all.reads, all.writes, all.wakeups, all.connects), (24, 32, 40, 48));
    }

    #[test]
    fn latencies_of_several_threads_have_the_percentiles_of_one_thread() {
        let mut one = Outcome::none();
        let mut threads = vec![Outcome::none(); 3];
        for nth in 1..=100_000_u64 {
            let latency_ns = nth.wrapping_mul(2_654_435_761) % 50_000_000;
            one.latency_ns.record(latency_ns).unwrap();
            threads[nth as usize % 3].latency_ns.record(latency_ns).unwrap();
        }
        assert_eq!(merged(&threads).latency_ns, one.latency_ns);
    }

    #[test]
    fn the_order_of_merges_does_not_matter() {
        let [a, b, c] = [outcome(1), outcome(2), outcome(5)];
        let all = merged(&[a.clone(), b.clone(), c.clone()]);
        assert_eq!(all, merged(&[c.clone(), a.clone(), b.clone()]));
        assert_eq!(all, merged(&[a, merged(&[b, c])]));
    }

    #[test]
    fn the_earliest_error_is_the_first_one() {
        let all = merged(&[outcome(1), outcome(5), Outcome::none(), outcome(2)]);
        assert_eq!(all.first_error.as_deref(), Some("error of 5"));
        assert_eq!(all.first_error_at, Some(Duration::from_millis(200)));
    }

    #[test]
    fn an_outcome_is_the_same_after_a_way_through_json() {
        for mut outcome in [outcome(1), merged(&[outcome(3), outcome(4)]), Outcome::none()] {
            outcome.latency_ns.saturating_record(u64::MAX);
            outcome.latency_ns.record(0).unwrap();
            let json = serde_json::to_string(&outcome).unwrap();
            let back: Outcome = serde_json::from_str(&json).unwrap();
            assert_eq!(back, outcome);
            assert_eq!(back.latency_ns.max(), outcome.latency_ns.max());
        }
    }
}
