//! Time that all CPUs of a machine were busy, from `/proc/stat`.
//!
//! The kernel counts it in clock ticks, so a difference is good over many slices and not over one.
//! It has what a process's CPU time has not: the network card's interrupts, and the softirqs behind
//! them, which receive packets and often run between processes or in a thread of the kernel.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::results::MachineTicks;

/// Busy time of all CPUs since boot, in clock ticks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct MachineTime {
    /// In processes: user space and kernel, niced or not.
    processes: u64,
    /// In interrupts.
    interrupts: u64,
    /// In softirqs.
    softirqs: u64,
}

impl MachineTime {
    /// Reads it.
    pub fn now() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        parse(&stat).ok_or_else(|| io::Error::other("/proc/stat is not as expected"))
    }

    /// Returns what has been added since `earlier`.
    pub fn since(&self, earlier: &Self) -> MachineTicks {
        let processes = self.processes.saturating_sub(earlier.processes);
        let interrupts = self.interrupts.saturating_sub(earlier.interrupts);
        let softirqs = self.softirqs.saturating_sub(earlier.softirqs);
        MachineTicks { busy: processes + interrupts + softirqs, softirqs }
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
    Some(MachineTime { processes: user + nice + system, interrupts, softirqs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_has_neither_idle_nor_stolen_time() {
        let before = parse("cpu  100 10 200 9000 50 3 40 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
        let after = parse("cpu  110 11 220 9900 60 5 45 99 0 0\n");
        let ticks = after.unwrap().since(&before.unwrap());
        assert_eq!(ticks, MachineTicks { busy: 10 + 1 + 20 + 2 + 5, softirqs: 5 });
        assert_eq!(parse("cpu  1 2 3"), None);
        assert!(MachineTime::now().is_ok());
    }
}
