//! Time that all CPUs of a machine were busy, from `/proc/stat`.
//!
//! The kernel counts it in clock ticks, so a difference is good over many slices and not over one.
//! It has what a process's CPU time has not: the network card's interrupts, and the softirqs behind
//! them, which receive packets and often run between processes or in a thread of the kernel.

use std::fs;
use std::io;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::results::MachineTicks;

/// Busy time of all CPUs since boot, in clock ticks, and the time of the reading.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct MachineTime {
    /// In processes: user space and kernel, niced or not.
    processes: u64,
    /// In interrupts.
    interrupts: u64,
    /// In softirqs.
    softirqs: u64,
    /// Monotonic clock of the machine, in ns.
    at_ns: u64,
}

impl MachineTime {
    /// Reads it.
    pub fn now() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let clock = clock_gettime(ClockId::Monotonic);
        // The clock is never negative.
        let at_ns = clock.tv_sec as u64 * 1_000_000_000 + clock.tv_nsec as u64;
        let read = parse(&stat).ok_or_else(|| io::Error::other("/proc/stat is not as expected"))?;
        Ok(Self { at_ns, ..read })
    }

    /// Returns what has been added since `earlier`.
    pub fn since(&self, earlier: &Self) -> MachineTicks {
        let processes = self.processes.saturating_sub(earlier.processes);
        let interrupts = self.interrupts.saturating_sub(earlier.interrupts);
        let softirqs = self.softirqs.saturating_sub(earlier.softirqs);
        let elapsed_ns = self.at_ns.saturating_sub(earlier.at_ns);
        MachineTicks { busy: processes + interrupts + softirqs, softirqs, elapsed_ns }
    }
}

/// The first line: `cpu user nice system idle iowait irq softirq steal …`.
fn parse(stat: &str) -> Option<MachineTime> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields = line.split_ascii_whitespace().map(|field| field.parse().ok());
    let fields = fields.collect::<Option<Vec<u64>>>()?;
    let &[user, nice, system, _idle, _iowait, interrupts, softirqs, ..] = fields.as_slice() else {
        return None;
    };
    Some(MachineTime { processes: user + nice + system, interrupts, softirqs, at_ns: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_has_neither_idle_nor_stolen_time() {
        let before = parse("cpu  100 10 200 9000 50 3 40 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
        let after = parse("cpu  110 11 220 9900 60 5 45 99 0 0\n");
        let ticks = after.unwrap().since(&before.unwrap());
        assert_eq!(ticks, MachineTicks { busy: 10 + 1 + 20 + 2 + 5, softirqs: 5, elapsed_ns: 0 });
        assert_eq!(parse("cpu  1 2 3"), None);
    }

    /// The kernel counts the time of virtual machines in `user` and `nice` too.
    #[test]
    fn the_time_of_guests_is_counted_once() {
        let before = parse("cpu  100 10 200 9000 50 3 40 7 80 5\n").unwrap();
        let after = parse("cpu  150 20 200 9900 60 3 40 99 120 15\n").unwrap();
        assert_eq!(after.since(&before).busy, 50 + 10);
    }

    /// The kernel's counters of idle time and of waiting for disks may go back, and a count of a
    /// CPU that goes away may too.
    #[test]
    fn counters_that_go_back_take_nothing_off_the_others() {
        let before = parse("cpu  100 10 200 9000 50 3 40 7 0 0\n").unwrap();
        let after = parse("cpu  130 10 200 8000 20 3 39 7 0 0\n").unwrap();
        let ticks = after.since(&before);
        assert_eq!((ticks.busy, ticks.softirqs), (30, 0));
    }

    #[test]
    fn a_difference_has_the_time_between_its_readings() {
        let (first, second) = (MachineTime::now().unwrap(), MachineTime::now().unwrap());
        assert!(second.at_ns > first.at_ns, "{first:?} {second:?}");
        let at = |at_ns| MachineTime { at_ns, ..MachineTime::default() };
        assert_eq!(at(90).since(&at(20)).elapsed_ns, 70);
    }
}
