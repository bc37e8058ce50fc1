//! The binary: its options, its start line, its exit status and its signals.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
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
    let running = Running::start(&["--threads", "1", "--pin"]);
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
fn a_wrong_option_exits_with_2_and_says_what_is_allowed() {
    for (arguments, allowed) in [
        (&["--threads", "0"][..], "'0' for '--threads <N>': allowed is 1 to 1024"),
        (&["--threads", "1024"], "are allowed, or no-pin"),
        (&["--cores", "4000"], "0"),
        (&["--cores", "x"], "such as 0,2-3"),
        (&["--cores", "0,0"], "0,0"),
        (&["--cores", "0", "--no-pin"], "no-pin"),
        (&["--addr", "nowhere"], "such as 127.0.0.1:8080"),
        (&["--max-headers", "1000"], "allowed is 1 to 256"),
        (&["--head-timeout", "-1"], "allowed is 0.1 to 86400 seconds"),
        (&["--idle-timeout", "0"], "allowed is 0.1 to 86400 seconds"),
        (&["--rate-limit", "10"], "such as 100/s or 6000/m"),
        (&["--rate-limit-burst", "10"], "needs '--rate-limit <RATE>'"),
        (&["--access-log-format", "json"], "needs '--access-log <FILE|->'"),
    ] {
        let message = refused(Command::new(BINARY).args(arguments));
        assert!(message.contains(allowed), "{arguments:?}: {message}");
    }
}

#[test]
fn an_error_in_the_environment_names_the_variable() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let variables: Vec<_> =
        help.split("[env: ").skip(1).map(|rest| rest.split_once('=').unwrap().0).collect();
    assert!(variables.len() > 20, "{help}");
    for variable in variables {
        for wrong in ["", "\u{1}"] {
            // Any other text is the name of a file.
            let is_path =
                ["ACCESS_LOG", "CONFIG", "TAKEOVER"].map(|name| format!("PINLOOP_{name}"));
            if is_path.contains(&variable.to_string()) && wrong == "\u{1}" {
                continue;
            }
            let message = refused(Command::new(BINARY).env(variable, wrong));
            assert!(message.contains(&format!("(from {variable})")), "{message}");
        }
    }
    let not_utf8 = OsStr::from_bytes(b"\xff");
    let message = refused(Command::new(BINARY).env("PINLOOP_WORK", not_utf8));
    assert!(message.contains("(from PINLOOP_WORK)"), "{message}");
    let message = refused(Command::new(BINARY).env("PINLOOP_RATE_LIMIT_BURST", "1"));
    assert!(message.contains("(from PINLOOP_RATE_LIMIT_BURST)' needs"), "{message}");
}

#[test]
fn the_command_line_comes_before_the_environment() {
    let message = refused(Command::new(BINARY).env("PINLOOP_WORK", "x").args(["--cores", "x"]));
    assert!(message.contains("--cores"), "{message}");
    let message = refused(Command::new(BINARY).env("PINLOOP_CORES", "0").args(["--cores", "4000"]));
    assert!(message.contains("4000"), "{message}");
}

#[test]
fn the_manual_and_the_completions_are_printed() {
    for arguments in [&["--man"][..], &["--completions", "bash"]] {
        let output = run(arguments);
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().replace('\\', "").contains("--cores"));
    }
}

/// Runs a command line that must be refused and returns its message.
fn refused(command: &mut Command) -> String {
    let failed = command.output().expect("the binary runs");
    let message = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(2), "{command:?}: {message}");
    message
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the binary runs")
}
