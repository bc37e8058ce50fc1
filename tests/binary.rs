//! The binary: its options, its start line, its exit status and its signals.

use std::fs;
use std::process::{Command, Output};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::support::process::{BINARY, Running};
use crate::support::talk_on;

#[test]
fn prints_its_address_and_exits_with_0_on_either_signal() {
    for signal in [SIGTERM, SIGINT] {
        let running = Running::start(&["--threads", "1", "--no-pin"]);
        assert!(running.line().ends_with(" with 1 thread not pinned\n"), "{}", running.line());
        let request = b"GET /data HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let output = talk_on(&mut running.connect(), request);
        assert!(output.ends_with("Value: 99\"}"), "{output}");
        running.end(signal);
    }
}

#[test]
fn pins_each_thread_to_its_core() {
    let running = Running::start(&["--threads", "1"]);
    // The server may listen before its thread is pinned. A response means that it is.
    talk_on(&mut running.connect(), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (_, core) = running.line().trim_end().rsplit_once(" on core ").expect("a pinned thread");
    let tasks = fs::read_dir(format!("/proc/{}/task", running.id())).unwrap();
    let statuses = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
    let allowed: Vec<String> = statuses
        .map(Result::unwrap)
        .filter(|status| status.starts_with("Name:\tpinloop-0\n"))
        .map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
            line.expect("the allowed CPUs").to_string()
        })
        .collect();
    assert_eq!(allowed, [core]);
}

#[test]
fn an_address_in_use_exits_with_1_and_is_named() {
    let running = Running::start(&["--threads", "1", "--no-pin"]);
    let addr = running.addr().to_string();
    let failed = run(&["--addr", &addr]);
    assert_eq!(failed.status.code(), Some(1));
    let message = String::from_utf8_lossy(&failed.stderr);
    assert!(message.contains(&addr), "{message}");
}

/// Each message names the option and says what is allowed.
#[test]
fn an_impossible_value_exits_with_2_and_says_what_is_allowed() {
    for (arguments, words) in [
        (&["--threads", "0"][..], &["--threads"][..]),
        (&["--threads", "5000"], &["5000", "allowed"]),
        (&["--threads", "1000"], &["1000", "no-pin"]),
        (&["--cores", "4000"], &["4000", " 0"]),
        (&["--cores", "x"], &["--cores", "0,2-3"]),
        (&["--cores", "0,0"], &["core", "0"]),
        (&["--cores", "0", "--no-pin"], &["cores", "no-pin"]),
        (&["--addr", "nowhere"], &["--addr", "nowhere"]),
        (&["--max-headers", "1000"], &["headers", "allowed", "1", "256"]),
        (&["--head-timeout", "-1"], &["--head-timeout", "allowed", "0.1", "86400"]),
        (&["--idle-timeout", "0"], &["idle-timeout", "allowed", "86400"]),
        (&["--rate-limit", "10"], &["--rate-limit", "100/s"]),
        (&["--rate-limit-burst", "10"], &["--rate-limit"]),
    ] {
        let failed = run(arguments);
        let message = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(2), "{arguments:?}: {message}");
        for word in words {
            assert!(message.contains(word), "{arguments:?} does not mention {word}: {message}");
        }
        assert!(failed.stdout.is_empty(), "{arguments:?} must not print a start line");
    }
}

#[test]
fn an_unknown_option_exits_with_2_and_is_named() {
    for arguments in [&["--no-such-option"][..], &["--threads"], &["argument"]] {
        let failed = run(arguments);
        let message = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(arguments[0]), "{arguments:?}: {message}");
    }
}

#[test]
fn help_and_version_go_to_stdout_and_exit_with_0() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8_lossy(&help.stdout);
    for option in ["--addr", "--threads", "--max-connections", "--access-log", "--idle-timeout"] {
        assert!(text.contains(option), "the help does not mention {option}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_environment_variable_replaces_its_option() {
    let failed = Command::new(BINARY).env("PINLOOP_MAX_HEADERS", "0").output().unwrap();
    assert_eq!(failed.status.code(), Some(2));
    let message = String::from_utf8_lossy(&failed.stderr).to_lowercase();
    assert!(message.contains("headers"), "{message}");
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the binary runs")
}
