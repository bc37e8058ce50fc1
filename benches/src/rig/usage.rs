//! What the kernel has counted for a process so far, from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

/// What a process has used since it began.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// By thread: the kernel keeps no exact sum with the threads that have ended.
    threads: BTreeMap<u32, Thread>,
    user_ticks: u64,
    system_ticks: u64,
}

/// What a process has used between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Of all threads.
    pub threads: Thread,
    /// CPU time of the thread that used most.
    pub busiest: Duration,
    /// CPU time in user space, in clock ticks.
    pub user_ticks: u64,
    /// CPU time in the kernel, in clock ticks.
    pub system_ticks: u64,
}

/// What a thread has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// CPU time, exact.
    pub cpu: Duration,
    /// Time runnable but waiting for a CPU, exact.
    pub wait: Duration,
    /// Context switches because it had to wait for something else.
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
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(process.join("task"))? {
            let task = task?;
            let id = number(&task.file_name().to_string_lossy())? as u32;
            match Thread::read(&task.path()) {
                Err(error) if has_ended(&error) => {}
                thread => drop(threads.insert(id, thread?)),
            }
        }
        Ok(Self { threads, user_ticks, system_ticks })
    }

    /// What has been added since `earlier`. An error if a thread has ended since:
    /// what it used is not known.
    pub fn since(&self, earlier: &Self) -> io::Result<Used> {
        if let Some(id) = earlier.threads.keys().find(|id| !self.threads.contains_key(id)) {
            return Err(io::Error::other(format!("its thread {id} has ended meanwhile")));
        }
        let mut used = Thread::default();
        let mut busiest = Duration::ZERO;
        for (id, now) in &self.threads {
            let then = earlier.threads.get(id).copied().unwrap_or_default();
            let cpu = now.cpu.saturating_sub(then.cpu);
            busiest = busiest.max(cpu);
            used.cpu += cpu;
            used.wait += now.wait.saturating_sub(then.wait);
            used.voluntary_switches += now.voluntary_switches - then.voluntary_switches;
            used.involuntary_switches += now.involuntary_switches - then.involuntary_switches;
        }
        Ok(Used {
            threads: used,
            busiest,
            user_ticks: self.user_ticks - earlier.user_ticks,
            system_ticks: self.system_ticks - earlier.system_ticks,
        })
    }
}

impl Thread {
    fn read(task: &Path) -> io::Result<Self> {
        let (cpu, wait) = schedstat(&fs::read_to_string(task.join("schedstat"))?)?;
        let status = fs::read_to_string(task.join("status"))?;
        Ok(Self {
            cpu,
            wait,
            voluntary_switches: field(&status, "voluntary_ctxt_switches:")?,
            involuntary_switches: field(&status, "nonvoluntary_ctxt_switches:")?,
        })
    }
}

/// Clock ticks that the hypervisor has taken from `cores` since boot.
pub fn steal_ticks(cores: &[usize]) -> io::Result<u64> {
    steal(&fs::read_to_string("/proc/stat")?, cores)
}

/// What the calling thread has used, to this moment: CPU time, and time runnable but
/// waiting for a CPU.
pub fn of_this_thread() -> io::Result<(Duration, Duration)> {
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    let (_, wait) = schedstat(&fs::read_to_string("/proc/thread-self/schedstat")?)?;
    // The clock is never negative.
    Ok((Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32), wait))
}

/// Whether no thread of the process `pid` runs or could.
pub fn sleeps(pid: u32) -> io::Result<bool> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        match fs::read_to_string(task?.path().join("stat")) {
            Ok(stat) if after_name(&stat)?.starts_with('R') => return Ok(false),
            Err(error) if !has_ended(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(true)
}

/// What reading a thread's files says once the thread is gone.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
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

    fn usage(threads: &[(u32, u64)]) -> Usage {
        let thread =
            |&(id, cpu_ns)| (id, Thread { cpu: Duration::from_nanos(cpu_ns), ..Thread::default() });
        Usage { threads: threads.iter().map(thread).collect(), ..Usage::default() }
    }

    #[test]
    fn new_threads_count_whole_and_ended_ones_are_an_error() {
        let earlier = usage(&[(1, 100), (2, 50)]);
        let used = usage(&[(1, 130), (2, 50), (3, 7)]).since(&earlier).unwrap();
        assert_eq!(used.threads.cpu.as_nanos(), 37);
        assert_eq!(used.busiest.as_nanos(), 30);
        let error = usage(&[(1, 130)]).since(&earlier).unwrap_err();
        assert!(error.to_string().contains("thread 2"), "{error}");
    }

    #[test]
    fn this_process_is_running() {
        assert!(!Usage::of(std::process::id()).unwrap().threads.is_empty());
        assert!(!sleeps(std::process::id()).unwrap());
    }
}
