//! The binary itself: its arguments, its one line, its signals.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::support::process::{BINARY, Running};

#[test]
fn says_where_it_listens_and_ends_well_on_either_signal() {
    for signal in [SIGTERM, SIGINT] {
        let mut running = Running::start(&["--threads", "1", "--no-pin"]);
        assert!(running.line().ends_with(" with 1 thread not pinned\n"), "{}", running.line());
        let mut stream = TcpStream::connect(running.addr()).unwrap();
        stream.write_all(b"GET /data HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("Value: 99\"}"), "{answer}");
        running.signal(signal);
        assert_eq!(running.wait().code(), Some(0));
    }
}

#[test]
fn pins_each_thread_to_its_core() {
    let running = Running::start(&["--threads", "1"]);
    // The line says that it listens; an answer says that the thread has begun.
    let mut stream = TcpStream::connect(running.addr()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let (_, core) = running.line().trim_end().rsplit_once(" on core ").expect("a pinned thread");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.id())).unwrap();
    let allowed: Vec<String> = tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .filter(|status| status.starts_with("Name:\tpinloop-0\n"))
        .map(|status| {
            status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"))
                .unwrap()
                .to_string()
        })
        .collect();
    assert_eq!(allowed, [core]);
}

#[test]
fn an_address_in_use_exits_with_1_and_is_named() {
    let running = Running::start(&["--threads", "1", "--no-pin"]);
    let failed = run(&["--addr", running.addr()]);
    assert_eq!(failed.status.code(), Some(1));
    let message = String::from_utf8_lossy(&failed.stderr);
    assert!(message.contains(&format!("cannot listen on {}", running.addr())), "{message}");
}

#[test]
fn a_flag_that_cannot_be_honoured_exits_with_2_and_says_what_is_allowed() {
    for (arguments, allowed) in [
        (&["--threads", "0"][..], "non-zero"),
        (&["--threads", "5000"], "are allowed, or no-pin"),
        (&["--cores", "4000"], "allowed are 0"),
        (&["--cores", "x"], "such as 0,2-3"),
        (&["--cores", "0,0"], "a core has one thread"),
        (&["--cores", "0", "--no-pin"], "exclude each other"),
        (&["--addr", "nowhere"], "invalid socket address"),
        (&["--max-headers", "1000"], "allowed is 1 to 256"),
        (&["--head-timeout", "-1"], "0.1 to 86400 are allowed"),
        (&["--idle-timeout", "0"], "allowed is 100ms to 86400s"),
        (&["--rate-limit", "10"], "such as 100/s or 6000/m"),
        (&["--rate-limit-burst", "10"], "--rate-limit <RATE>"),
    ] {
        let failed = run(arguments);
        let message = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(allowed), "{arguments:?}: {message}");
    }
}

#[test]
fn an_environment_variable_stands_for_its_option() {
    let failed = Command::new(BINARY).env("PINLOOP_MAX_HEADERS", "0").output().unwrap();
    assert_eq!(failed.status.code(), Some(2));
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the binary runs")
}
