//! One slice: a server under load for a moment, and what both ends used.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::fleet::Member;
use super::meter::{judge, metered};
use super::process::Process;
use super::regimes::Regime;
use crate::load::{Generator, Pace, Shape, Stop, Target};
use crate::results::{self, Latency, Sample, Settings};

/// Digits of a recorded latency: two are better than it is known.
const LATENCY_DIGITS: u8 = 2;

/// A server with its connections in one regime; idle but for its slices.
pub struct Lane<'a> {
    key: String,
    process: &'a mut Process,
    /// Or why there are no connections.
    generator: Result<Generator, String>,
    length: Duration,
    server_cores: &'a [usize],
}

impl<'a> Lane<'a> {
    /// Connects, and loads the server once for the length of a slice, so that
    /// none begins cold.
    pub fn open(member: &'a mut Member, regime: &Regime, settings: &'a Settings) -> Self {
        let target = Target {
            addr: member.process.address(),
            request: regime.request.clone(),
            method_is_head: false,
        };
        let shape = Shape {
            connections: regime.connections,
            pipeline: regime.pipeline,
            requests_per_connection: None,
        };
        let generator = Generator::connect(&target, &shape);
        let mut lane = Self {
            key: member.key.clone(),
            process: &mut member.process,
            generator: generator.map_err(|error| error.to_string()),
            length: Duration::from_millis(settings.slice_ms),
            server_cores: &settings.server_cores,
        };
        if let Err(reason) = lane.slice() {
            lane.generator = Err(reason);
        }
        lane
    }

    /// The contender's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Takes one slice. The error is a sentence for people.
    pub fn slice(&mut self) -> Result<Sample, String> {
        let (generator, length) = (&mut self.generator, self.length);
        let (outcome, reading) = metered(self.process, self.server_cores, || {
            let generator = generator.as_mut().map_err(|reason| reason.clone())?;
            let outcome = generator.run(Pace::Closed, Stop::After(length));
            outcome.map_err(|error| error.to_string())
        })?;
        judge(&outcome)?;
        let used = reading.used;
        Ok(Sample {
            contender: self.key.clone(),
            requests: outcome.requests,
            elapsed_ns: nanoseconds(outcome.elapsed),
            cpu_ns: nanoseconds(used.threads.cpu),
            wait_ns: nanoseconds(used.threads.wait),
            user_ticks: used.user_ticks,
            system_ticks: used.system_ticks,
            voluntary_switches: used.threads.voluntary_switches,
            involuntary_switches: used.threads.involuntary_switches,
            steal_ticks: reading.steal_ticks,
            latency: latency(&outcome.latency_ns),
            generator: results::Generator {
                cpu_ns: nanoseconds(outcome.cpu),
                bytes_sent: outcome.bytes_sent,
                bytes_received: outcome.bytes_received,
                reads: outcome.reads,
                writes: outcome.writes,
                wakeups: outcome.wakeups,
                connects: outcome.connects,
            },
        })
    }
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let mut coarse = Histogram::<u64>::new(LATENCY_DIGITS).expect("0 to 5 digits are allowed");
    for value in histogram.iter_recorded() {
        // It grows as it needs to, and so takes any value.
        let _ = coarse.record_n(value.value_iterated_to(), value.count_at_value());
    }
    let mut latency = Latency::default();
    for value in coarse.iter_recorded() {
        latency.upper_ns.push(value.value_iterated_to());
        latency.counts.push(value.count_at_value());
    }
    latency
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_latencies_are_close_to_the_measured_ones() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for value in [900, 740_000, 740_000, 12_000_000] {
            histogram.record(value).unwrap();
        }
        let latency = latency(&histogram);
        assert_eq!(latency.counts, [1, 2, 1]);
        for (upper, value) in latency.upper_ns.iter().zip([900.0, 740_000.0, 12_000_000.0]) {
            let off = *upper as f64 / value;
            assert!((1.0..1.01).contains(&off), "{upper} for {value}");
        }
    }
}
