//! One slice: a server under load for a moment, and what both ends used.

use std::io;
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::fleet::Member;
use super::process::Process;
use super::regimes::Regime;
use super::usage::{self, Usage};
use crate::load::{Generator, Outcome, Pace, Shape, Stop, Target};
use crate::results::{self, Latency, Sample, Settings};

/// How long a server may take to fall asleep after its last answer, until its
/// usage is read all the same.
const SETTLE_CHECKS: u32 = 50;

/// Between two looks at whether it sleeps.
const SETTLE: Duration = Duration::from_micros(200);

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
        let taken = self.take();
        // A server that has ended explains whatever else went wrong.
        self.process.check().map_err(|ended| ended.to_string())?;
        taken
    }

    fn take(&mut self) -> Result<Sample, String> {
        let generator = self.generator.as_mut().map_err(|reason| reason.clone())?;
        let unreadable = |error: io::Error| format!("its usage cannot be read: {error}");
        let id = self.process.id();

        let steal_before = usage::steal_ticks(self.server_cores).map_err(unreadable)?;
        let before = Usage::of(id).map_err(unreadable)?;
        let outcome = generator.run(Pace::Closed, Stop::After(self.length));
        let outcome = outcome.map_err(|error| error.to_string())?;
        fall_asleep(id).map_err(unreadable)?;
        let used = Usage::of(id).and_then(|now| now.since(&before)).map_err(unreadable)?;
        let steal_after = usage::steal_ticks(self.server_cores).map_err(unreadable)?;

        judge(&outcome)?;
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
            steal_ticks: steal_after.saturating_sub(steal_before),
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

/// A slice with an error, or without an answer, is no figure.
pub(super) fn judge(outcome: &Outcome) -> Result<(), String> {
    let errors = outcome.errors.total();
    if errors > 0 {
        let first = outcome.first_error.as_deref().unwrap_or("of an unknown kind");
        return Err(format!("{errors} errors beside {} answers; {first}", outcome.requests));
    }
    if outcome.requests == 0 {
        return Err("it answered nothing".to_string());
    }
    Ok(())
}

/// Waits until the kernel has booked all of the server's time: when it sleeps.
pub(super) fn fall_asleep(id: u32) -> io::Result<()> {
    for _ in 0..SETTLE_CHECKS {
        thread::sleep(SETTLE);
        if usage::sleeps(id)? {
            break;
        }
    }
    Ok(())
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let recorded = histogram.iter_recorded();
    Latency::of(recorded.map(|step| (step.value_iterated_to(), step.count_at_value())))
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}
