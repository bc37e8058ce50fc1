//! One slice: a server under load for a moment, and what both ends used.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::fleet::Member;
use super::meter::{judge, metered};
use super::process::Process;
use super::regimes::Regime;
use crate::load::{Generator, Pace, Shape, Stop, Target};
use crate::results::{self, Latency, Sample, Settings};

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
    let recorded = histogram.iter_recorded();
    Latency::of(recorded.map(|step| (step.value_iterated_to(), step.count_at_value())))
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}
