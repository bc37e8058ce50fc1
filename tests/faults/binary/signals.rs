//! Signals, and the exit status after them.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::support::process::Running;
use crate::support::{GET, read_response, wait_until};

/// Returns a connection with an unfinished request, which the server has read.
fn unfinished(running: &Running) -> TcpStream {
    let mut stream = running.connect();
    let begun = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe";
    stream.write_all(&[GET, begun].concat()).unwrap();
    read_response(&mut stream);
    stream
}

/// Returns a file for the messages of a server, and its path.
fn messages(name: &str) -> (File, PathBuf) {
    let path = std::env::temp_dir().join(format!("pinloop-test-{}-{name}", std::process::id()));
    (File::create(&path).unwrap(), path)
}

fn wait_for_drain(running: &Running) {
    wait_until("the server drains", || TcpStream::connect(running.addr()).is_err());
}

/// A second signal had no effect while the server drained (issue 13, number 11).
#[test]
fn a_second_signal_ends_a_drain_at_once_and_says_how_many_requests_were_cut() {
    for (first, second) in
        [(SIGTERM, SIGTERM), (SIGINT, SIGINT), (SIGTERM, SIGINT), (SIGINT, SIGTERM)]
    {
        let (stderr, path) = messages("second");
        let mut running = Running::start_with_stderr(stderr, &["--drain-timeout", "3600"]);
        let _stuck: Vec<TcpStream> = (0..7).map(|_| unfinished(&running)).collect();
        running.signal(first);
        wait_for_drain(&running);
        running.signal(second);
        assert_eq!(running.wait_patiently().code(), Some(1), "{first}, then {second}");
        let message = fs::read_to_string(&path).unwrap();
        assert!(message.contains("cut off 7 unfinished requests"), "{message}");
        fs::remove_file(&path).unwrap();
    }
}

/// A service that blocks its thread does not keep the process from ending at a second signal.
#[test]
fn a_second_signal_ends_a_server_whose_thread_is_busy() {
    let (stderr, path) = messages("busy");
    let arguments = ["--drain-timeout", "3600", "--work", "1000000000"];
    let mut running = Running::start_with_stderr(stderr, &arguments);
    let mut stream = running.connect();
    stream.write_all(b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let ticks = running.cpu_ticks();
    wait_until("the thread is busy", || running.cpu_ticks() > ticks + 10);
    running.signal(SIGTERM);
    running.signal(SIGINT);
    assert_eq!(running.wait_patiently().code(), Some(1));
    let message = fs::read_to_string(&path).unwrap();
    assert!(message.contains("a second signal"), "{message}");
    fs::remove_file(&path).unwrap();
}

/// A drain that its timeout cut off exited with 0 (issue 13, number 11).
#[test]
fn a_drain_that_is_cut_off_exits_with_1_and_says_how_many_requests_were_cut() {
    let (stderr, path) = messages("cut");
    let arguments = ["--drain-timeout", "0.3"];
    let mut running = Running::start_with_stderr(stderr, &arguments);
    let _stuck: Vec<TcpStream> = (0..7).map(|_| unfinished(&running)).collect();
    running.signal(SIGTERM);
    assert_eq!(running.wait_patiently().code(), Some(1));
    let message = fs::read_to_string(&path).unwrap();
    assert!(message.contains('7'), "the number of requests that were cut off: {message}");
    fs::remove_file(&path).unwrap();
}

/// SIGHUP without an access log killed the server (issue 13, number 11).
#[test]
fn sighup_without_an_access_log_does_nothing() {
    let running = Running::start_unpinned(&[]);
    let mut stream = running.connect();
    for _ in 0..3 {
        running.signal(SIGHUP);
        stream.write_all(GET).unwrap();
        assert_eq!(read_response(&mut stream).1, b"Try POST /echo");
    }
    drop(stream);
    running.end(SIGTERM);
}
