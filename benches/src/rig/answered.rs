//! The answers to a load generator in one slice.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::Outcome;
use crate::results::{Generator, HostShare, Latency};

/// Observations of a load generator in a slice.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Each rightly.
    pub requests: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Latencies of all requests.
    pub latency: Latency,
    /// Work of the generator.
    pub generator: Generator,
}

impl Answered {
    /// Returns what the record keeps of an outcome of our own generators.
    pub fn of(outcome: &Outcome, hosts: Vec<HostShare>) -> Self {
        let nanoseconds = |time: Duration| time.as_nanos() as u64;
        Self {
            requests: outcome.requests,
            elapsed: outcome.elapsed,
            latency: latency(&outcome.latency_ns),
            generator: Generator {
                cpu_ns: nanoseconds(outcome.cpu),
                busiest_cpu_ns: nanoseconds(outcome.busiest_cpu),
                unsent: outcome.unsent,
                bytes_sent: outcome.bytes_sent,
                bytes_received: outcome.bytes_received,
                reads: outcome.reads,
                writes: outcome.writes,
                wakeups: outcome.wakeups,
                connects: outcome.connects,
                hosts,
            },
        }
    }
}

/// Returns the counts of a histogram, bucket by bucket.
pub fn latency(histogram: &Histogram<u64>) -> Latency {
    let recorded = histogram.iter_recorded();
    Latency::of(recorded.map(|step| (step.value_iterated_to(), step.count_at_value())))
}
