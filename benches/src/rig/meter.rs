//! CPU time of a server while it is loaded, and in the rest of its life.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::{Outcome, Shape};
use crate::results::{Life, MachineTicks};
use crate::rig::machine_time::MachineTime;
use crate::rig::usage::{Usage, Used};

/// Usage of a server during one load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// By all its processes.
    pub used: Used,
    /// Clock ticks that the hypervisor took from its CPUs.
    pub steal_ticks: u64,
    /// Time that all CPUs of its machine were busy.
    pub machine: MachineTicks,
}

/// Counts of the kernel so far.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Observed {
    /// For a server.
    pub usage: Usage,
    /// Clock ticks that the hypervisor took from the server's CPUs.
    pub steal_ticks: u64,
    /// For the whole machine.
    pub machine: MachineTime,
}

/// A server whose usage can be read: a process of this machine, or one that an agent has started.
pub trait Watched {
    /// Reads what it has used since its start, on `cores`. With `settle` it sleeps first.
    fn observe(&mut self, cores: &[usize], settle: bool) -> io::Result<Observed>;

    /// Fails if it has ended. The error is a sentence for people.
    fn check(&mut self) -> Result<(), String>;
}

/// Accounts for all CPU time of a server, from its start to its end, so that work outside
/// of the measured loads is seen.
#[derive(Debug)]
pub struct Account {
    last: Usage,
    startup: Duration,
    loaded: Duration,
    idle: Duration,
    processes: usize,
    strayed: BTreeSet<usize>,
}

impl Account {
    /// Begins when the server is ready and sleeps: its workers may start after it is ready.
    pub fn open(process: &mut impl Watched) -> io::Result<Self> {
        let last = process.observe(&[], true)?.usage;
        let startup = last.cpu();
        let (loaded, idle) = (Duration::ZERO, Duration::ZERO);
        let processes = last.processes();
        Ok(Self { last, startup, loaded, idle, processes, strayed: BTreeSet::new() })
    }

    /// Meters a load as [`metered`] does. CPU time since the last load counts as idle.
    pub fn metered<T>(
        &mut self,
        process: &mut impl Watched,
        cores: &[usize],
        load: impl FnOnce() -> Result<T, String>,
    ) -> Result<(T, Reading), String> {
        let metered = metered_between(process, cores, load)?;
        let Metered { loaded, before, after, reading } = metered;
        self.idle += before.cpu().saturating_sub(self.last.cpu());
        self.loaded += after.cpu().saturating_sub(before.cpu());
        self.note(after, cores);
        Ok((loaded, reading))
    }

    /// Ends with a last reading.
    pub fn close(mut self, contender: &str, process: &mut impl Watched, cores: &[usize]) -> Life {
        if let Ok(end) = process.observe(cores, false).map(|seen| seen.usage) {
            self.idle += end.cpu().saturating_sub(self.last.cpu());
            self.note(end, cores);
        }
        let nanoseconds = |time: Duration| time.as_nanos() as u64;
        Life {
            contender: contender.to_string(),
            startup_cpu_ns: nanoseconds(self.startup),
            loaded_cpu_ns: nanoseconds(self.loaded),
            idle_cpu_ns: nanoseconds(self.idle),
            processes: self.processes,
            strayed_cpus: self.strayed.into_iter().collect(),
        }
    }

    fn note(&mut self, usage: Usage, cores: &[usize]) {
        self.processes = self.processes.max(usage.processes());
        self.strayed.extend(usage.strayed(cores));
        self.last = usage;
    }
}

/// Reads what `process`, on `cores`, used while `load` loaded it. The errors are
/// sentences for people. A server that has ended explains all other errors.
pub fn metered<T>(
    process: &mut impl Watched,
    cores: &[usize],
    load: impl FnOnce() -> Result<T, String>,
) -> Result<(T, Reading), String> {
    let Metered { loaded, reading, .. } = metered_between(process, cores, load)?;
    Ok((loaded, reading))
}

/// A load with the readings before and after it.
struct Metered<T> {
    loaded: T,
    before: Usage,
    after: Usage,
    reading: Reading,
}

fn metered_between<T>(
    process: &mut impl Watched,
    cores: &[usize],
    load: impl FnOnce() -> Result<T, String>,
) -> Result<Metered<T>, String> {
    let taken = take(process, cores, load);
    process.check()?;
    taken
}

/// Returns an error for a run with errors or without an answer.
pub fn judge(outcome: &Outcome) -> Result<(), String> {
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

/// Fails if the server closed connections that the others keep open. It spares itself work then,
/// and its clients open new ones, which is other work than the regime's.
pub fn judge_connections(outcome: &Outcome, shape: &Shape) -> Result<(), String> {
    let allowed = match shape.requests_per_connection {
        Some(each) => outcome.requests / each + shape.connections as u64,
        None => 0,
    };
    if outcome.connects <= allowed {
        return Ok(());
    }
    Err(format!(
        "it closed connections: {} were opened for {} requests, and {allowed} are enough",
        outcome.connects, outcome.requests
    ))
}

fn take<T>(
    process: &mut impl Watched,
    cores: &[usize],
    load: impl FnOnce() -> Result<T, String>,
) -> Result<Metered<T>, String> {
    let unreadable = |error: io::Error| format!("its usage cannot be read: {error}");
    let before = process.observe(cores, false).map_err(unreadable)?;
    let loaded = load()?;
    let after = process.observe(cores, true).map_err(unreadable)?;
    let reading = Reading {
        used: after.usage.since(&before.usage).map_err(unreadable)?,
        steal_ticks: after.steal_ticks.saturating_sub(before.steal_ticks),
        machine: after.machine.since(&before.machine),
    };
    Ok(Metered { loaded, before: before.usage, after: after.usage, reading })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose counts grow by the same amount from reading to reading.
    struct Growing {
        readings: u64,
    }

    impl Watched for Growing {
        fn observe(&mut self, _: &[usize], settle: bool) -> io::Result<Observed> {
            assert_eq!(settle, self.readings % 2 == 1, "it is to sleep after a load only");
            self.readings += 1;
            let nth = self.readings;
            let machine = serde_json::json!({
                "processes": 100 * nth, "interrupts": 10 * nth, "softirqs": nth, "at_ns": 7 * nth
            });
            let machine = serde_json::from_value(machine)?;
            Ok(Observed { usage: Usage::default(), steal_ticks: 5 * nth * nth, machine })
        }

        fn check(&mut self) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn a_reading_is_what_was_added_during_the_load() {
        let mut server = Growing { readings: 0 };
        for stolen in [15, 35] {
            let ((), reading) = metered(&mut server, &[0], || Ok(())).unwrap();
            let machine = MachineTicks { busy: 111, softirqs: 1, elapsed_ns: 7 };
            assert_eq!((reading.steal_ticks, reading.machine), (stolen, machine));
        }
    }
}
