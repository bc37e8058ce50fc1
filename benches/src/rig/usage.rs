//! The kernel's counts for a server: the whole tree of its processes.
//!
//! CPU time comes from the CPU clock of each process, which counts in nanoseconds and
//! includes threads that have ended. Children that ended and were waited for are in
//! their parent's `cutime` and `cstime`. So neither a thread for each request nor a
//! helper process escapes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::load::cpu_list;

/// Usage of a tree of processes since it began.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Usage {
    processes: BTreeMap<u32, OneProcess>,
    /// CPU time of the processes that this one adopted and waited for.
    waited_for: Duration,
}

/// Usage of a tree of processes between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// CPU time, in user space and in the kernel.
    pub cpu: Duration,
    /// CPU time in user space, in clock ticks.
    pub user_ticks: u64,
    /// CPU time in the kernel, in clock ticks.
    pub system_ticks: u64,
    /// Counts of all threads.
    pub threads: Thread,
    /// CPU time of the thread that used most.
    pub busiest: Duration,
}

/// One process of the tree.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct OneProcess {
    cpu: Duration,
    /// CPU time of the children that were waited for, in clock ticks.
    waited_for_ticks: u64,
    user_ticks: u64,
    system_ticks: u64,
    threads: BTreeMap<u32, Thread>,
    /// CPUs that its threads may run on.
    allowed_cpus: BTreeSet<usize>,
}

/// Counts of a thread. Those of a thread that has ended are lost.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Thread {
    /// CPU time; 0 if the kernel does not count it.
    pub cpu: Duration,
    /// Time runnable but waiting for a CPU; 0 if the kernel does not count it.
    pub wait: Duration,
    /// Context switches because it had to wait for something else.
    pub voluntary_switches: u64,
    /// Context switches because another thread got the CPU.
    pub involuntary_switches: u64,
}

impl Usage {
    /// Reads the process `root` and all its descendants. An error if `root` is gone.
    pub fn of(root: u32) -> io::Result<Self> {
        Self::of_tree(&[root], Duration::ZERO)
    }

    /// Reads the processes `roots` and all their descendants. All but the first may be
    /// gone; `waited_for` is the CPU time of those that were waited for here.
    pub(crate) fn of_tree(roots: &[u32], waited_for: Duration) -> io::Result<Self> {
        let mut usage = Self { waited_for, ..Self::default() };
        for id in tree(roots) {
            match OneProcess::read(id) {
                Ok(process) => drop(usage.processes.insert(id, process)),
                Err(error) if is_gone(&error) && Some(&id) != roots.first() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(usage)
    }

    /// Returns the CPU time of the whole tree since its start.
    pub fn cpu(&self) -> Duration {
        let alive: Duration = self.processes.values().map(OneProcess::cpu_with_children).sum();
        alive + self.waited_for
    }

    /// Returns the number of processes.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Returns the CPUs apart from `cores` that a thread of the tree may run on.
    pub fn strayed(&self, cores: &[usize]) -> Vec<usize> {
        let allowed: BTreeSet<usize> =
            self.processes.values().flat_map(|process| &process.allowed_cpus).copied().collect();
        allowed.into_iter().filter(|cpu| !cores.contains(cpu)).collect()
    }

    /// Returns what has been added since `earlier`. An error if a process has ended
    /// without being waited for, because its CPU time is not known then.
    pub fn since(&self, earlier: &Self) -> io::Result<Used> {
        let mut used = Used { cpu: self.cpu().saturating_sub(earlier.cpu()), ..Used::default() };
        for (id, now) in &self.processes {
            let before = earlier.processes.get(id);
            let then = before.cloned().unwrap_or_default();
            used.user_ticks += now.user_ticks.saturating_sub(then.user_ticks);
            used.system_ticks += now.system_ticks.saturating_sub(then.system_ticks);
            for (id, thread) in &now.threads {
                let then = then.threads.get(id).copied().unwrap_or_default();
                used.busiest = used.busiest.max(thread.cpu.saturating_sub(then.cpu));
                used.threads.add(thread, &then);
            }
        }
        self.must_account_for_the_ended(earlier)?;
        Ok(used)
    }

    /// Compares the CPU time of the processes that have ended since `earlier` with what
    /// their parents got for waiting. Each process may lose a tick to rounding.
    fn must_account_for_the_ended(&self, earlier: &Self) -> io::Result<()> {
        let ended = earlier.processes.iter().filter(|(id, _)| !self.processes.contains_key(id));
        let (ids, lost): (Vec<&u32>, Vec<Duration>) =
            ended.map(|(id, process)| (id, process.cpu_with_children())).unzip();
        let waited_for = |usage: &Self| {
            let ticks = usage.processes.values().map(|process| process.waited_for_ticks).sum();
            of_ticks(ticks) + usage.waited_for
        };
        let waited_for = waited_for(self).saturating_sub(waited_for(earlier));
        let rounding = of_ticks(2 * ids.len() as u64);
        match ids.first() {
            Some(id) if waited_for + rounding < lost.iter().sum() => {
                Err(io::Error::other(format!(
                    "its process {id} has ended, its parent has not waited for it, and its CPU time \
                 is not known"
                )))
            }
            _ => Ok(()),
        }
    }
}

impl OneProcess {
    fn read(id: u32) -> io::Result<Self> {
        let directory = PathBuf::from(format!("/proc/{id}"));
        let clock = clock_getcpuclockid(Pid::from_raw(id as i32))?.now()?;
        let stat = Stat::read(&fs::read_to_string(directory.join("stat"))?)?;
        let mut process = Self {
            cpu: Duration::from(clock),
            waited_for_ticks: stat.waited_for_user_ticks + stat.waited_for_system_ticks,
            user_ticks: stat.user_ticks + stat.waited_for_user_ticks,
            system_ticks: stat.system_ticks + stat.waited_for_system_ticks,
            ..Self::default()
        };
        for task in fs::read_dir(directory.join("task"))? {
            let task = task?;
            let id = number(&task.file_name().to_string_lossy())? as u32;
            match Thread::read(&task.path()) {
                Err(error) if is_gone(&error) => {}
                read => {
                    let (thread, allowed) = read?;
                    process.threads.insert(id, thread);
                    process.allowed_cpus.extend(allowed);
                }
            }
        }
        Ok(process)
    }

    fn cpu_with_children(&self) -> Duration {
        self.cpu + of_ticks(self.waited_for_ticks)
    }
}

impl Thread {
    /// With the CPUs that it may run on.
    fn read(task: &Path) -> io::Result<(Self, Vec<usize>)> {
        let (cpu, wait) = match fs::read_to_string(task.join("schedstat")) {
            Err(error) if is_gone(&error) && task.exists() => Default::default(),
            text => schedstat(&text?)?,
        };
        let status = fs::read_to_string(task.join("status"))?;
        let thread = Self {
            cpu,
            wait,
            voluntary_switches: number(field(&status, "voluntary_ctxt_switches:")?)?,
            involuntary_switches: number(field(&status, "nonvoluntary_ctxt_switches:")?)?,
        };
        let allowed = cpu_list(field(&status, "Cpus_allowed_list:")?);
        Ok((thread, allowed.ok_or_else(|| malformed("status"))?))
    }

    fn add(&mut self, now: &Self, then: &Self) {
        self.cpu += now.cpu.saturating_sub(then.cpu);
        self.wait += now.wait.saturating_sub(then.wait);
        self.voluntary_switches += now.voluntary_switches.saturating_sub(then.voluntary_switches);
        self.involuntary_switches +=
            now.involuntary_switches.saturating_sub(then.involuntary_switches);
    }
}

/// Fields of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: char,
    /// Process group.
    pub(crate) group: u32,
    user_ticks: u64,
    system_ticks: u64,
    waited_for_user_ticks: u64,
    waited_for_system_ticks: u64,
}

impl Stat {
    pub(crate) fn of(id: u32) -> io::Result<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{id}/stat"))?)
    }

    fn read(text: &str) -> io::Result<Self> {
        // The name before the state is in brackets and may hold anything.
        let (_, rest) = text.rsplit_once(") ").ok_or_else(|| malformed("stat"))?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let at = |place: usize| fields.get(place).copied().ok_or_else(|| malformed("stat"));
        let count = |place: usize| number(at(place)?);
        Ok(Self {
            state: at(0)?.chars().next().unwrap_or('?'),
            group: count(2)? as u32,
            user_ticks: count(11)?,
            system_ticks: count(12)?,
            waited_for_user_ticks: count(13)?,
            waited_for_system_ticks: count(14)?,
        })
    }
}

/// Returns the processes `roots` and all their descendants.
pub(crate) fn tree(roots: &[u32]) -> Vec<u32> {
    let mut found: Vec<u32> = roots.to_vec();
    let mut at = 0;
    while let Some(&id) = found.get(at) {
        let new = children(id).into_iter().filter(|id| !found.contains(id));
        found.extend(new.collect::<Vec<_>>());
        at += 1;
    }
    found
}

/// Returns the children of a process; none if it is gone.
pub(crate) fn children(id: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    let lists = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    let words = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Returns the threads of a process; none if it is gone.
pub(crate) fn threads(id: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    tasks.flatten().filter_map(|task| task.file_name().to_string_lossy().parse().ok()).collect()
}

/// Returns the clock ticks that the hypervisor has taken from `cores` since boot.
pub fn steal_ticks(cores: &[usize]) -> io::Result<u64> {
    steal(&fs::read_to_string("/proc/stat")?, cores)
}

/// Returns what the calling thread has used: CPU time, and time runnable but waiting
/// for a CPU.
pub fn of_this_thread() -> io::Result<(Duration, Duration)> {
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    let wait = match fs::read_to_string("/proc/thread-self/schedstat") {
        Ok(text) => schedstat(&text)?.1,
        Err(_) => Duration::ZERO,
    };
    // The clock is never negative.
    Ok((Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32), wait))
}

/// Reports whether no thread of these processes runs or could.
pub(crate) fn sleep(ids: &[u32]) -> io::Result<bool> {
    for id in ids {
        let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { continue };
        for task in tasks {
            match fs::read_to_string(task?.path().join("stat")) {
                Ok(stat) if Stat::read(&stat)?.state == 'R' => return Ok(false),
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(true)
}

/// Returns the CPU time of a process that has ended and was not yet waited for, with its
/// own children.
pub(crate) fn of_the_ended(id: u32) -> io::Result<Duration> {
    Ok(OneProcess::read(id)?.cpu_with_children())
}

/// Reports whether a process is gone, or a zombie.
pub(crate) fn has_ended(id: u32) -> bool {
    !Stat::of(id).is_ok_and(|stat| stat.state != 'Z')
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_nanos(ticks * (1_000_000_000 / clock_ticks_per_second().max(1)))
}

/// Reports whether reading failed because the process or thread is gone.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::ESRCH as i32)
        || error.raw_os_error() == Some(Errno::EINVAL as i32)
}

/// Parses `run_ns wait_ns slices`.
fn schedstat(text: &str) -> io::Result<(Duration, Duration)> {
    let mut nanoseconds = text.split_ascii_whitespace().map(number);
    let mut next = || nanoseconds.next().unwrap_or_else(|| Err(malformed("schedstat")));
    Ok((Duration::from_nanos(next()?), Duration::from_nanos(next()?)))
}

fn field<'a>(status: &'a str, name: &str) -> io::Result<&'a str> {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(value.ok_or_else(|| malformed("status"))?.trim())
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
    use crate::rig::machine;

    #[test]
    fn reads_the_fields_of_proc() {
        let (cpu, wait) = schedstat("30049680 2849499 72\n").unwrap();
        assert_eq!((cpu.as_nanos(), wait.as_nanos()), (30_049_680, 2_849_499));

        let stat = "42 (a) b) S 1 40 42 0 -1 4194560 5 6 7 8 111 222 9 10 20 0 1 0";
        let stat = Stat::read(stat).unwrap();
        assert_eq!((stat.state, stat.group), ('S', 40));
        assert_eq!((stat.user_ticks, stat.system_ticks), (111, 222));
        assert_eq!((stat.waited_for_user_ticks, stat.waited_for_system_ticks), (9, 10));

        let status = "Name:\tx\nvoluntary_ctxt_switches:\t65\nnonvoluntary_ctxt_switches:\t16\n";
        assert_eq!(field(status, "voluntary_ctxt_switches:").unwrap(), "65");
        assert_eq!(field(status, "nonvoluntary_ctxt_switches:").unwrap(), "16");

        let stat =
            "cpu  9 9 9 9 9 9 9 99 0 0\ncpu0 1 1 1 1 1 1 1 40 0 0\ncpu1 1 1 1 1 1 1 1 2 0 0\n";
        assert_eq!(steal(stat, &[0]).unwrap(), 40);
        assert_eq!(steal(stat, &[0, 1]).unwrap(), 42);
    }

    #[test]
    fn cut_off_text_is_an_error() {
        assert!(schedstat("30049680").is_err());
        assert!(Stat::read("42 (a) S 1").is_err());
        assert!(field("Name:\tx\n", "voluntary_ctxt_switches:").is_err());
    }

    fn usage(processes: &[(u32, u64, u64)]) -> Usage {
        let process = |&(id, cpu_ms, waited_for_ticks)| {
            let cpu = Duration::from_millis(cpu_ms);
            (id, OneProcess { cpu, waited_for_ticks, ..OneProcess::default() })
        };
        Usage { processes: processes.iter().map(process).collect(), ..Usage::default() }
    }

    #[test]
    fn a_child_counts_while_it_lives_and_after_it_was_waited_for() {
        let earlier = usage(&[(1, 100, 0), (2, 500, 0)]);
        let with_another = usage(&[(1, 130, 0), (2, 500, 0), (3, 7, 0)]);
        assert_eq!(with_another.since(&earlier).unwrap().cpu.as_millis(), 37);
        let ticks = 600 * clock_ticks_per_second() / 1000;
        let waited_for = usage(&[(1, 130, ticks)]).since(&earlier).unwrap();
        assert_eq!(waited_for.cpu.as_millis(), 130);
    }

    #[test]
    fn the_busiest_thread_is_that_of_the_time_between_and_not_of_all_its_life() {
        let usage = |cpu_ms: [u64; 3]| {
            let thread =
                |cpu_ms| Thread { cpu: Duration::from_millis(cpu_ms), ..Thread::default() };
            let threads = (10..13).zip(cpu_ms.map(thread)).collect();
            let cpu = Duration::from_millis(cpu_ms.iter().sum());
            let process = OneProcess { cpu, threads, ..OneProcess::default() };
            Usage { processes: [(1, process)].into(), ..Usage::default() }
        };
        // The first one was busy before, and the third one begins.
        let used = usage([905, 130, 70]).since(&usage([900, 100, 0])).unwrap();
        assert_eq!((used.busiest.as_millis(), used.threads.cpu.as_millis()), (70, 105));
        assert_eq!(used.cpu.as_millis(), 105);
    }

    #[test]
    fn a_child_that_ended_without_being_waited_for_is_an_error() {
        let earlier = usage(&[(1, 100, 0), (2, 500, 0)]);
        let error = usage(&[(1, 130, 0)]).since(&earlier).unwrap_err();
        assert!(error.to_string().contains("process 2"), "{error}");
    }

    #[test]
    fn this_process_is_running_on_the_cpus_that_it_may_use() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.cpu() > Duration::ZERO);
        assert!(!sleep(&[std::process::id()]).unwrap());
        let allowed = machine::allowed_cores().unwrap();
        assert!(usage.strayed(&allowed).is_empty());
        assert_eq!(usage.strayed(&[]), allowed);
    }
}
