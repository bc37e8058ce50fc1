//! Defaults fit the place: CPUs, pins and descriptors.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::faults::{has_program, is_root, skip};
use crate::support::process::{BINARY, Running};
use crate::support::wait_until;

fn cpus() -> usize {
    thread::available_parallelism().expect("the number of CPUs").get()
}

/// With fewer threads than CPUs, two servers pinned to the same CPU and shared it: 3,500
/// instead of 11,000 requests/s (issue 13, number 17).
#[test]
fn fewer_threads_than_cpus_are_not_pinned_unless_asked_to() {
    if cpus() < 2 {
        return skip("this machine has one CPU");
    }
    let unpinned = Running::start(&["--threads", "1"]);
    assert!(unpinned.line().contains("not pinned"), "{}", unpinned.line());
    let all = Running::start(&[]);
    assert!(all.line().contains(&format!("with {} threads", cpus())), "{}", all.line());
    assert!(!all.line().contains("not pinned"), "{}", all.line());
    let first = all.line().rsplit(' ').next().and_then(|list| list.trim().split(',').next());
    let pinned = Running::start(&["--threads", "1", "--cores", first.expect("a CPU")]);
    assert!(!pinned.line().contains("not pinned"), "{}", pinned.line());
}

/// A folder of the cgroup file system, which is removed at the end.
struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes a group with half a CPU, if this machine allows it.
    fn with_half_a_cpu() -> Option<Cgroup> {
        let root = PathBuf::from("/sys/fs/cgroup");
        let name = format!("pinloop-test-{}", std::process::id());
        let is_second = root.join("cgroup.controllers").exists();
        let parent = if is_second { root } else { root.join("cpu") };
        let quotas: &[(&str, &str)] = match is_second {
            true => &[("cpu.max", "50000 100000")],
            false => &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")],
        };
        if !parent.join("cgroup.procs").exists() {
            return None;
        }
        let group = Cgroup(parent.join(name));
        fs::create_dir(&group.0).ok()?;
        quotas
            .iter()
            .all(|(file, quota)| {
                let path = group.0.join(file);
                path.exists() && fs::write(path, quota).is_ok()
            })
            .then_some(group)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// With 0.5 CPU from the cgroup, the server started two threads: p99 was 32 to 49 ms, and 21 to
/// 25 ms with one (issue 13, number 17).
#[test]
fn the_cpu_quota_of_the_cgroup_limits_the_threads() {
    let Some(group) = Cgroup::with_half_a_cpu() else {
        return skip("no cgroup with a CPU quota can be made here");
    };
    let script = format!("echo $$ > {}/cgroup.procs; exec \"$0\" \"$@\"", group.0.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script, BINARY, "--addr", "127.0.0.1:0"]);
    let running = Running::from(&mut command);
    let line = running.line().to_string();
    // An empty group can be removed.
    drop(running);
    assert!(line.contains("with 1 thread "), "{line}");
}

/// Starts the server between a soft and a hard limit of descriptors.
fn start_between(soft: u32, hard: u32, stderr: Stdio) -> Child {
    let mut command = Command::new("prlimit");
    command.args([&format!("--nofile={soft}:{hard}"), BINARY, "--threads", "1", "--no-pin"]);
    command.args(["--addr", "127.0.0.1:0", "--max-connections", "2000"]);
    command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("prlimit runs")
}

fn start_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

/// The soft limit of descriptors stayed too low for the connections that are allowed (issue
/// 13, number 9).
#[test]
fn the_soft_limit_of_descriptors_is_raised_to_what_is_needed() {
    if !is_root() && !has_program("prlimit") {
        return skip("prlimit is not installed");
    }
    let mut child = start_between(100, 4_096, Stdio::inherit());
    assert!(start_line(&mut child).contains("listening"));
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: u32 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!((2_000..=4_096).contains(&soft), "the soft limit is {soft}");
}

/// If the hard limit is too low, one warning says how many connections fit (issue 13, number
/// 9).
#[test]
fn one_warning_says_how_many_connections_fit() {
    let path = std::env::temp_dir().join(format!("pinloop-test-{}-nofile", std::process::id()));
    let mut child = start_between(100, 100, File::create(&path).unwrap().into());
    assert!(start_line(&mut child).contains("listening"));
    // Another thread writes the warning.
    let mut message = String::new();
    wait_until("there is a warning", || {
        message = fs::read_to_string(&path).unwrap();
        message.ends_with('\n')
    });
    child.kill().unwrap();
    child.wait().unwrap();
    message = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let lines: Vec<&str> = message.lines().collect();
    let numbers = message.split(|each: char| !each.is_ascii_digit());
    let fit: Vec<u32> = numbers.filter_map(|text| text.parse().ok()).collect();
    assert_eq!(lines.len(), 1, "{message}");
    assert!(fit.iter().any(|fit| (50..100).contains(fit)), "{message}");
}
