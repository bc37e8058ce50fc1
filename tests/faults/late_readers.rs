//! Clients that send a whole body before they read anything, such as `fetch`.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use pinloop::{Config, Server};

use crate::support::probe::Probe;
use crate::support::response::{header, split_head};
use crate::support::{connect, read_response, serve, serve_app, stop};

/// Timeouts that no test waits for.
const NEVER: Duration = Duration::from_secs(3_600);

/// Starts a server that may buffer `bytes` in memory.
fn serve_patiently(buffered_bytes_max: usize) -> Server {
    let mut config = Config { buffered_bytes_max, ..Config::default() };
    config.timeouts.body = NEVER;
    config.timeouts.write = NEVER;
    serve_app(config)
}

/// Sends a body of `bytes` to `/echo` and reads only then. Returns the response; an error ends
/// it.
fn echo_late(server: &Server, bytes: usize) -> Vec<u8> {
    let mut stream = connect(server);
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let body = body(bytes);
    let mut rest = &body[..];
    while let Ok(written @ 1..) = stream.write(rest) {
        rest = &rest[written..];
    }
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    response
}

/// Returns a body that shows whether its parts are in order.
fn body(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect()
}

fn is_whole(response: &[u8], bytes: usize) -> bool {
    let (head, echo) = split_head(response);
    head.starts_with(b"HTTP/1.1 200 ") && echo == body(bytes)
}

const MIB: usize = 1024 * 1024;

/// `fetch` of 20 MB failed after 60 s, because both sides waited for the other to read. The
/// limit of buffered bytes says which sizes work (issue 13, number 20).
#[test]
fn more_memory_lets_larger_echoes_reach_a_client_that_reads_late() {
    for bytes in [20 * MIB, 40 * MIB] {
        let server = serve_patiently(8 * bytes + 8 * MIB);
        assert!(is_whole(&echo_late(&server, bytes), bytes), "{bytes} bytes");
        stop(server);
    }
}

/// The documentation says which sizes work for clients that read late (issue 13, number 20).
#[test]
fn an_echo_that_fits_in_the_buffers_reaches_a_client_that_reads_late() {
    let server = serve_patiently(16 * MIB);
    for bytes in [1, 10_000, 100_000, 1_000_000] {
        assert!(is_whole(&echo_late(&server, bytes), bytes), "{bytes} bytes");
    }
    stop(server);
}

/// An echo that is too large for the memory fails when the client has stalled, and not after the
/// timeouts of slow clients (issue 13, number 20).
#[test]
fn an_echo_that_does_not_fit_fails_without_a_timeout() {
    const BYTES: usize = 40 * MIB;
    let server = serve_patiently(16 * MIB);
    let stopper = server.stopper();
    let (ended, end) = std::sync::mpsc::channel();
    let client = thread::spawn(move || {
        let response = echo_late(&server, BYTES);
        ended.send(response).expect("the test waits");
        server
    });
    let response = end.recv_timeout(crate::support::PATIENCE);
    stopper.stop();
    let response = response.expect("the echo or an error, and no wait for a timeout");
    // A response that has begun says how long it is, so that the client sees the cut.
    let (head, _) = split_head(&response);
    let head = String::from_utf8_lossy(head).into_owned();
    let is_cut_visibly = head.is_empty() || header(&head, "content-length").is_some();
    assert!(is_cut_visibly, "{head}");
    stop(client.join().unwrap());
}

/// Clients that read late take at most their share: none is cut off for want of memory, and
/// other requests find memory (issue 13, number 20).
#[test]
fn clients_that_read_late_leave_memory_to_others() {
    const LATE: usize = 20;
    let mut config = Config { buffered_bytes_max: 64 * MIB, ..Config::default() };
    config.timeouts.stall = NEVER;
    let server = serve(config, |_| Probe);
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 40 * MIB);
    let mut late: Vec<TcpStream> = (0..LATE).map(|_| connect(&server)).collect();
    for stream in &mut late {
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    let piece = vec![b'x'; 64 * 1024];
    // Until the server has had the time to take too much.
    for _ in 0..400 {
        for (n, stream) in late.iter_mut().enumerate() {
            let full = loop {
                if let Err(error) = stream.write(&piece) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::WouldBlock, "client {n} was cut off: {full}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let mut other = connect(&server);
    let length = 1_000_000;
    let head = format!("POST /show HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    other.write_all(&[head.as_bytes(), &vec![b'x'; length]].concat()).unwrap();
    let (head, _) = read_response(&mut other);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    drop(late);
    stop(server);
}
