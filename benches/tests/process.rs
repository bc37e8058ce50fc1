//! Server processes: ready, ended, silent, and never left behind.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use pinloop_bench::rig::machine::allowed_cores;
use pinloop_bench::rig::process::{Process, ProcessError, Readiness};
use pinloop_bench::rig::usage;

const ANNOUNCED: Readiness = Readiness::Announced;

const PATIENCE: Duration = Duration::from_secs(30);

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn a_server_is_ready_when_it_says_its_address() {
    let script = "echo starting; printf 'listening on '; echo 127.0.0.1:4242; exec sleep 600";
    let mut process = start(script, PATIENCE).unwrap();
    assert_eq!(process.address().to_string(), "127.0.0.1:4242");
    assert!(process.check().is_ok());
    assert!(usage::Usage::of(process.id()).is_ok());
}

#[test]
fn a_server_ends_when_it_is_dropped() {
    let process = start("echo listening on 127.0.0.1:1; exec sleep 600", PATIENCE).unwrap();
    let id = process.id();
    drop(process);
    assert!(usage::Usage::of(id).is_err());
}

#[test]
fn a_server_that_is_asked_to_end_has_last_words() {
    let script = "trap 'echo bye; exit' TERM; echo listening on 127.0.0.1:1; \
                  while :; do sleep 0.01; done";
    let process = start(script, PATIENCE).unwrap();
    assert_eq!(process.finish(PATIENCE).unwrap(), "bye\n");
}

#[test]
fn a_server_that_does_not_end_when_asked_is_reported_and_ended() {
    let script = "trap '' TERM; echo listening on 127.0.0.1:1; while :; do sleep 0.01; done";
    let process = start(script, PATIENCE).unwrap();
    let id = process.id();
    let error = process.finish(Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.to_string(), "did not end within 50ms of SIGTERM");
    assert!(usage::Usage::of(id).is_err());
}

#[test]
fn a_server_that_ends_early_is_reported_with_its_last_words() {
    let error = start("echo no such file >&2; exit 3", PATIENCE).unwrap_err();
    assert!(matches!(error, ProcessError::Ended(..)), "{error}");
    let sentence = "ended by itself with exit status: 3; its last words: no such file";
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn a_server_that_says_nothing_is_reported_and_ended() {
    let error = start("exec sleep 600", Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, ProcessError::Silent(..)), "{error}");
}

#[test]
fn a_server_that_writes_much_to_stderr_is_not_blocked() {
    let script = "head -c 1000000 /dev/zero >&2; echo listening on 127.0.0.1:1; exec sleep 600";
    assert!(start(script, PATIENCE).is_ok());
}

#[test]
fn a_command_that_does_not_exist_is_an_error() {
    let cores = allowed_cores().unwrap();
    let error =
        try_start(&mut Command::new("/nowhere/at-all"), &cores, ANNOUNCED, PATIENCE).unwrap_err();
    assert!(matches!(error, ProcessError::Io(_)), "{error}");
}

#[test]
fn a_server_runs_on_the_given_cores_only() {
    let core = *allowed_cores().unwrap().last().unwrap();
    let mine = allowed_cores().unwrap();
    let command = &mut Command::new("sh");
    command.args(["-c", "echo listening on 127.0.0.1:1; exec sleep 600"]);
    let process = try_start(command, &[core], ANNOUNCED, PATIENCE).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    assert!(status.contains(&format!("Cpus_allowed_list:\t{core}\n")), "{status}");
    assert_eq!(allowed_cores().unwrap(), mine, "the starting thread keeps its own");
}

#[test]
fn a_server_that_announces_nothing_is_ready_when_it_accepts() {
    // This test listens in its place, on the port that the script was told.
    let file = std::env::temp_dir().join(format!("pinloop-port-{}", std::process::id()));
    let script = format!("echo $0 > {0}.new; mv {0}.new {0}; exec sleep 600", file.display());
    let listener = {
        let file = file.clone();
        std::thread::spawn(move || {
            loop {
                if let Ok(port) = std::fs::read_to_string(&file) {
                    let port: u16 = port.trim().parse().unwrap();
                    return std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
                }
                std::thread::yield_now();
            }
        })
    };
    let mut command = Command::new("sh");
    command.args(["-c", &script, "{port}"]);
    let cores = allowed_cores().unwrap();
    let process = try_start(&mut command, &cores, Readiness::Accepting, PATIENCE).unwrap();
    let listener = listener.join().unwrap();
    assert_eq!(process.address(), listener.local_addr().unwrap());
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_server_that_never_accepts_is_reported() {
    let mut command = Command::new("sleep");
    command.arg("600");
    let cores = allowed_cores().unwrap();
    let patience = Duration::from_millis(50);
    let error = try_start(&mut command, &cores, Readiness::Accepting, patience).unwrap_err();
    assert!(matches!(error, ProcessError::Deaf(..)), "{error}");
}

#[test]
fn what_a_server_has_started_ends_with_it() {
    let script = "sleep 600 & echo $! >&2; echo listening on 127.0.0.1:1; wait";
    let process = start(script, PATIENCE).unwrap();
    let group = process.id();
    assert_eq!(members_of(group).len(), 2);
    drop(process);
    // A killed process may take a moment to disappear.
    let deadline = Instant::now() + PATIENCE;
    while members_of(group).iter().any(|state| !matches!(state, 'Z' | 'X')) {
        assert!(Instant::now() < deadline, "{:?}", members_of(group));
        std::thread::yield_now();
    }
}

/// States of the processes in a group, as /proc/PID/stat has them.
fn members_of(group: u32) -> Vec<char> {
    let mut states = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Ok(stat) = std::fs::read_to_string(entry.unwrap().path().join("stat")) else {
            continue;
        };
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        if fields.get(2).is_some_and(|pgrp| *pgrp == group.to_string()) {
            states.push(fields[0].chars().next().unwrap());
        }
    }
    states
}

fn start(script: &str, patience: Duration) -> Result<Process, ProcessError> {
    let cores = allowed_cores().unwrap();
    try_start(Command::new("sh").args(["-c", script]), &cores, ANNOUNCED, patience)
}

fn try_start(
    command: &mut Command,
    cores: &[usize],
    readiness: Readiness,
    patience: Duration,
) -> Result<Process, ProcessError> {
    Process::start(command, cores, LOOPBACK, readiness, patience)
}
