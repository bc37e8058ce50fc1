//! A stall of the process is not the fault of its clients.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::process::Running;
use crate::support::response::try_read_response;
use crate::support::{GET, read_response};

/// Number of clients: more than the 1,024 events that one poll returns.
const CLIENTS: usize = 1_800;

/// Timeouts of the server in seconds.
const TIMEOUT: u64 = 4;

/// The two halves of a request. The server has read the first half before the stall, and the
/// second half arrives during the stall.
const HALVES: [(&str, &str); 5] = [
    ("", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("GET / HT", "TP/1.1\r\nHost: a\r\n\r\n"),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\nTry ", "POST /echo"),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nTry \r\n",
        "a\r\nPOST /echo\r\n0\r\n\r\n",
    ),
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
];

/// Returns clients that have sent the first half of a request, and a server that is frozen.
fn stall() -> (Running, Vec<TcpStream>) {
    let options = ["--head-timeout", "--body-timeout", "--idle-timeout"];
    let timeout = TIMEOUT.to_string();
    let arguments: Vec<&str> = options.iter().flat_map(|option| [option, &*timeout]).collect();
    for _ in 0..10 {
        let begun = Instant::now();
        let running = Running::start_unpinned(&arguments);
        let mut streams: Vec<TcpStream> = (0..CLIENTS).map(|_| running.connect()).collect();
        for (n, stream) in streams.iter_mut().enumerate() {
            stream.write_all(HALVES[n % HALVES.len()].0.as_bytes()).unwrap();
        }
        for stream in streams.iter_mut().skip(4).step_by(HALVES.len()) {
            read_response(stream);
        }
        let mut last = running.connect();
        last.write_all(GET).unwrap();
        read_response(&mut last);
        running.freeze();
        // On a busy machine, a timeout may have passed before the stall.
        if begun.elapsed() < Duration::from_secs(TIMEOUT) * 3 / 4 {
            return (running, streams);
        }
    }
    panic!("this machine is too busy to connect {CLIENTS} clients within {TIMEOUT} s");
}

/// After SIGSTOP and SIGCONT, 2,976 of 4,000 clients were reset or got 408, although their
/// bytes had arrived in time (issue 13, number 3).
#[test]
fn a_stall_longer_than_a_timeout_costs_no_client_its_response() {
    let (running, mut streams) = stall();
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(HALVES[n % HALVES.len()].1.as_bytes()).unwrap();
    }
    thread::sleep(Duration::from_millis(TIMEOUT * 1_000 + 600));
    running.thaw();
    let mut failed = [0; HALVES.len()];
    for (n, stream) in streams.iter_mut().enumerate() {
        let response = try_read_response(stream);
        let is_served = response.is_some_and(|(head, body)| {
            head.starts_with("HTTP/1.1 200 ") && (body == b"Try POST /echo" || body.is_empty())
        });
        failed[n % HALVES.len()] += usize::from(!is_served);
    }
    assert_eq!(failed, [0; HALVES.len()], "clients that were not served, by kind of request");
}
