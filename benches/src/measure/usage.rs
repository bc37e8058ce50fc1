//! What the kernel has counted for a process so far, from /proc.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Sums over all threads of a process since it began. Threads that have ended
/// are missing from `cpu` and `wait`; servers start theirs once and keep them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, exact.
    pub cpu: Duration,
    /// Time runnable but waiting for a CPU, exact.
    pub wait: Duration,
    /// CPU time in user space, in clock ticks.
    pub user_ticks: u64,
    /// CPU time in the kernel, in clock ticks.
    pub system_ticks: u64,
    /// Context switches because a thread had to wait.
    pub voluntary_switches: u64,
    /// Context switches because another thread got the CPU.
    pub involuntary_switches: u64,
}

impl Usage {
    /// Of the process `pid`. Exact while its threads sleep: the kernel books a
    /// running thread's time at its next tick or switch.
    pub fn of(pid: u32) -> io::Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let (user_ticks, system_ticks) = cpu_ticks(&fs::read_to_string(process.join("stat"))?)?;
        let mut usage = Self { user_ticks, system_ticks, ..Self::default() };
        for task in fs::read_dir(process.join("task"))? {
            let task = task?.path();
            let (cpu, wait) = schedstat(&fs::read_to_string(task.join("schedstat"))?)?;
            let status = fs::read_to_string(task.join("status"))?;
            usage.cpu += cpu;
            usage.wait += wait;
            usage.voluntary_switches += field(&status, "voluntary_ctxt_switches:")?;
            usage.involuntary_switches += field(&status, "nonvoluntary_ctxt_switches:")?;
        }
        Ok(usage)
    }

    /// What has been added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            wait: self.wait.saturating_sub(earlier.wait),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(earlier.involuntary_switches),
        }
    }
}

/// Clock ticks that the hypervisor has taken from `cores` since boot.
pub fn steal_ticks(cores: &[usize]) -> io::Result<u64> {
    steal(&fs::read_to_string("/proc/stat")?, cores)
}

/// Whether no thread of the process `pid` runs or could.
pub fn sleeps(pid: u32) -> io::Result<bool> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("stat"))?;
        if after_name(&stat)?.starts_with('R') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `run_ns wait_ns slices`
fn schedstat(text: &str) -> io::Result<(Duration, Duration)> {
    let mut nanoseconds = text.split_ascii_whitespace().map(number);
    let mut next = || nanoseconds.next().unwrap_or_else(|| Err(malformed("schedstat")));
    Ok((Duration::from_nanos(next()?), Duration::from_nanos(next()?)))
}

/// Fields 14 and 15 of /proc/PID/stat.
fn cpu_ticks(stat: &str) -> io::Result<(u64, u64)> {
    let mut fields = after_name(stat)?.split_ascii_whitespace().skip(11).map(number);
    let mut next = || fields.next().unwrap_or_else(|| Err(malformed("stat")));
    Ok((next()?, next()?))
}

/// From the state on; the name before it is in brackets and may hold anything.
fn after_name(stat: &str) -> io::Result<&str> {
    let (_, rest) = stat.rsplit_once(") ").ok_or_else(|| malformed("stat"))?;
    Ok(rest)
}

fn field(status: &str, name: &str) -> io::Result<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    number(value.ok_or_else(|| malformed("status"))?.trim())
}

/// The eighth number of the lines `cpuN`.
fn steal(stat: &str, cores: &[usize]) -> io::Result<u64> {
    let mut ticks = 0;
    for line in stat.lines() {
        let mut fields = line.split_ascii_whitespace();
        let core = fields.next().and_then(|name| name.strip_prefix("cpu")?.parse().ok());
        if core.is_some_and(|core| cores.contains(&core)) {
            ticks += number(fields.nth(7).ok_or_else(|| malformed("stat"))?)?;
        }
    }
    Ok(ticks)
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| malformed(text))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc: {what:?} is not as expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_of_proc() {
        let (cpu, wait) = schedstat("30049680 2849499 72\n").unwrap();
        assert_eq!((cpu.as_nanos(), wait.as_nanos()), (30_049_680, 2_849_499));

        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 5 6 7 8 111 222 9 10 20 0 1 0";
        assert_eq!(cpu_ticks(stat).unwrap(), (111, 222));

        let status = "Name:\tx\nvoluntary_ctxt_switches:\t65\nnonvoluntary_ctxt_switches:\t16\n";
        assert_eq!(field(status, "voluntary_ctxt_switches:").unwrap(), 65);
        assert_eq!(field(status, "nonvoluntary_ctxt_switches:").unwrap(), 16);

        let stat =
            "cpu  9 9 9 9 9 9 9 99 0 0\ncpu0 1 1 1 1 1 1 1 40 0 0\ncpu1 1 1 1 1 1 1 1 2 0 0\n";
        assert_eq!(steal(stat, &[0]).unwrap(), 40);
        assert_eq!(steal(stat, &[0, 1]).unwrap(), 42);
    }

    #[test]
    fn cut_off_text_is_an_error() {
        assert!(schedstat("30049680").is_err());
        assert!(cpu_ticks("42 (a) S 1").is_err());
        assert!(field("Name:\tx\n", "voluntary_ctxt_switches:").is_err());
    }

    #[test]
    fn this_process_has_used_some_cpu_and_is_running() {
        let before = Usage::of(std::process::id()).unwrap();
        while Usage::of(std::process::id()).unwrap().since(&before).cpu.is_zero() {
            std::hint::spin_loop();
        }
        assert!(!sleeps(std::process::id()).unwrap());
    }
}
