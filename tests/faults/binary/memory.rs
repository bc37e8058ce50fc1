//! Memory has a bound that fits the machine, and an option.

use std::io::Write;
use std::net::TcpStream;

use crate::support::process::Running;
use crate::support::response::read_head;
use crate::support::{GET, read_response};

/// Buffered bytes had no option, and ended in an OOM kill in a container of 256 MB (issue 13,
/// number 13).
#[test]
fn the_limit_of_buffered_bytes_is_an_option() {
    const MIB: usize = 1024 * 1024;
    let limit = (4 * MIB).to_string();
    let running = Running::start_unpinned(&["--max-buffered-bytes", &limit, "--metrics"]);
    let mut normal = running.connect();
    let echo = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 100 * MIB);
    let mut greedy: Vec<TcpStream> = (0..60).map(|_| running.connect()).collect();
    let piece = vec![b'x'; MIB / 4];
    for stream in &mut greedy {
        stream.set_nonblocking(true).unwrap();
        // The echo is not read, so the server keeps what its socket does not take.
        let _ = stream.write(echo.as_bytes());
        for _ in 0..40 {
            let _ = stream.write(&piece);
        }
        normal.write_all(GET).unwrap();
        assert_eq!(read_response(&mut normal).1, b"Try POST /echo");
    }
    // Twice the limit, for the buffers that are shared and the program itself.
    let used = running.rss_kib();
    assert!(used < 64 * 1024, "{used} KiB resident");
}

/// Bodies that no route uses were collected: 400 clients with 1 MiB each (issue 13, number 13).
#[test]
fn a_body_that_no_route_uses_is_not_collected() {
    const BYTES: usize = 900_000;
    const CLIENTS: usize = 60;
    let running = Running::start_unpinned(&[]);
    let before = running.rss_kib();
    running.reset_peak();
    let requests =
        [("PUT /data", 405), ("POST /nope", 404), ("POST /", 405), ("DELETE /echo", 405)];
    let mut streams: Vec<TcpStream> = (0..CLIENTS).map(|_| running.connect()).collect();
    // All clients are in the middle of their bodies before the first one ends.
    for (n, stream) in streams.iter_mut().enumerate() {
        let (target, _) = requests[n % requests.len()];
        let length = format!("Content-Length: {}", BYTES + 1);
        let head = format!("{target} HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b'x'; BYTES]).unwrap();
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(b"x").unwrap();
        let (target, status) = requests[n % requests.len()];
        let (head, _) = read_response(stream);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
    }
    let grown = running.peak_rss_kib().saturating_sub(before);
    assert!(grown < 20 * 1024, "{grown} KiB for {CLIENTS} bodies of {BYTES} bytes");
}

/// A client that asks before it sends a body learns at once that no route uses it.
#[test]
fn a_body_that_no_route_uses_is_not_asked_for() {
    let running = Running::start_unpinned(&[]);
    for (target, status) in [("PUT /data", 405), ("POST /nope", 404), ("POST /", 405)] {
        let mut stream = running.connect();
        let headers = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 1000000";
        stream.write_all(format!("{target} HTTP/1.1\r\n{headers}\r\n\r\n").as_bytes()).unwrap();
        let head = read_head(&mut stream);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
    }
}
