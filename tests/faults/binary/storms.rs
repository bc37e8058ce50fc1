//! Many panics and messages at once, with the diagnostics of the binary.

use std::fs::{self, File};
use std::io::Write;
use std::time::Instant;

use signal_hook::consts::SIGTERM;

use super::pipes::full_pipe;
use crate::support::process::Running;
use crate::support::{GET, read_response, wait_until};

/// Number of requests that make the service panic.
const PANICS: u64 = 2_000;

/// Number of warnings. Half of them fit into the queue in memory.
const WARNINGS: usize = 2_048;

/// Sends a request for `path` on a connection of its own; returns the response.
fn ask(running: &Running, path: &str) -> (String, String) {
    let mut stream = running.connect();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let (head, body) = read_response(&mut stream);
    (head, String::from_utf8(body).unwrap())
}

/// Has the service panic. Another client is served in between.
fn storm(running: &Running) {
    let mut polite = running.connect();
    for n in 0..PANICS {
        assert!(ask(running, "/panic").0.starts_with("HTTP/1.1 500 "), "panic {n}");
        if n % 50 == 0 {
            polite.write_all(GET).unwrap();
            assert_eq!(read_response(&mut polite).1, b"served", "after panic {n}");
        }
    }
}

/// Returns the value of a counter.
fn counter(running: &Running, name: &str) -> u64 {
    let (_, text) = ask(running, "/metrics");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// A service that panicked with stderr stuck hung its loop in the panic hook (issue 13, number
/// 1).
#[test]
fn a_panic_storm_with_a_stuck_stderr_blocks_neither_requests_nor_the_stop() {
    let (_reader, writer) = full_pipe();
    let running = Running::start_example_with_stderr("faulty", writer.into());
    storm(&running);
    assert_eq!(counter(&running, "pinloop_panics_total"), PANICS);
    let mut stream = running.connect();
    for _ in 0..WARNINGS {
        stream.write_all(b"GET /warn HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_response(&mut stream).1, b"served");
    }
    // Half of the warnings fit into the queue, and the writer has taken one from it.
    let dropped = counter(&running, "pinloop_log_lines_dropped_total");
    assert!(dropped >= WARNINGS as u64 / 2 - 1, "{dropped} dropped lines");
    drop(stream);
    running.end(SIGTERM);
}

/// Returns the number of panics that a line of the log tells of.
fn panics_in(line: &str) -> u64 {
    let before = |word: &str| {
        let (before, _) = line.split_once(word)?;
        before.rsplit([' ', '(']).next()?.parse::<u64>().ok()
    };
    u64::from(line.contains(" panicked at ")) + before(" more panics").unwrap_or(0)
}

/// Each panic wrote a line, however many there were (issue 13, number 1).
#[test]
fn a_panic_storm_writes_at_most_a_line_a_second_and_counts_the_panics() {
    let path = std::env::temp_dir().join(format!("pinloop-test-{}-storm", std::process::id()));
    let begun = Instant::now();
    let running = Running::start_example_with_stderr("faulty", File::create(&path).unwrap().into());
    storm(&running);
    let mut log = String::new();
    wait_until("the log tells of all panics", || {
        log = fs::read_to_string(&path).unwrap();
        log.lines().map(panics_in).sum::<u64>() >= PANICS
    });
    let most = begun.elapsed().as_secs() + 2;
    assert!(log.lines().count() as u64 <= most, "more than {most} lines: {log}");
    assert_eq!(log.lines().map(panics_in).sum::<u64>(), PANICS, "{log}");
    assert_eq!(counter(&running, "pinloop_log_lines_dropped_total"), 0);
    running.end(SIGTERM);
    fs::remove_file(&path).unwrap();
}
