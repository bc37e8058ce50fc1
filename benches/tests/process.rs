//! Server processes: ready, ended, silent, and never left behind.

use std::process::Command;
use std::time::Duration;

use pinloop_bench::measure::machine::allowed_cores;
use pinloop_bench::measure::process::{Process, ProcessError};
use pinloop_bench::measure::usage;

const PATIENCE: Duration = Duration::from_secs(30);

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
    let error = Process::start(&mut Command::new("/nowhere/at-all"), &cores, PATIENCE).unwrap_err();
    assert!(matches!(error, ProcessError::Io(_)), "{error}");
}

#[test]
fn a_server_runs_on_the_given_cores_only() {
    let core = *allowed_cores().unwrap().last().unwrap();
    let mine = allowed_cores().unwrap();
    let command = &mut Command::new("sh");
    command.args(["-c", "echo listening on 127.0.0.1:1; exec sleep 600"]);
    let process = Process::start(command, &[core], PATIENCE).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    assert!(status.contains(&format!("Cpus_allowed_list:\t{core}\n")), "{status}");
    assert_eq!(allowed_cores().unwrap(), mine, "the starting thread keeps its own");
}

fn start(script: &str, patience: Duration) -> Result<Process, ProcessError> {
    let cores = allowed_cores().unwrap();
    Process::start(Command::new("sh").args(["-c", script]), &cores, patience)
}
