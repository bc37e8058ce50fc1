//! Memory has a bound that fits the machine, and an option.

use std::io::Write;
use std::net::TcpStream;

use crate::support::process::Running;
use crate::support::response::{read_head, try_read_response};
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
    let running = Running::start_unpinned(&[]);
    for (target, status) in
        [("PUT /data", 405), ("POST /nope", 404), ("POST /", 405), ("DELETE /echo", 405)]
    {
        for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
            let mut stream = running.connect();
            let head = format!("{target} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            // The response comes without a byte of the body.
            let head = read_head(&mut stream);
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
        }
    }
    let mut stream = running.connect();
    let request = "POST /nope HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    stream.write_all(request.as_bytes()).unwrap();
    let response = try_read_response(&mut stream).expect("a response");
    assert!(response.0.starts_with("HTTP/1.1 404 "), "{}", response.0);
}
