//! Content of any size, in memory that does not grow with it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::support::process::Running;

/// A chunk with its framing, as it is sent and as it is echoed.
const CHUNK_HEAD: &[u8] = b"10000\r\n";
const CHUNK_BYTES: usize = 0x10000;

/// More than a server may grow by, in KiB.
const GROWTH_KIB: u64 = 1024;

#[test]
fn an_echo_of_any_length_runs_in_little_memory() {
    let running = warm();
    assert_flat(&running, || {
        let length = 256 * 1024 * 1024;
        let head = format!("Content-Length: {length}");
        echo(&running, &head, &[b'x'; CHUNK_BYTES], length / CHUNK_BYTES, b"", Duration::ZERO);
    });
}

#[test]
fn a_chunked_echo_of_any_length_runs_in_little_memory() {
    let running = warm();
    assert_flat(&running, || {
        let chunk = [CHUNK_HEAD, &[b'x'; CHUNK_BYTES], b"\r\n"].concat();
        let head = "Transfer-Encoding: chunked";
        echo(&running, head, &chunk, 4096, b"0\r\n\r\n", Duration::ZERO);
    });
}

#[test]
fn a_slow_reader_costs_little_memory() {
    let running = warm();
    assert_flat(&running, || {
        let length = 24 * 1024 * 1024;
        let head = format!("Content-Length: {length}");
        let pause = Duration::from_millis(2);
        echo(&running, &head, &[b'x'; CHUNK_BYTES], length / CHUNK_BYTES, b"", pause);
    });
}

#[test]
fn whoever_never_reads_costs_little_memory() {
    let running = warm();
    assert_flat(&running, || {
        let mut stream = running.connect();
        stream.write_all(&head("Content-Length: 1000000000")).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        // Until nothing more is taken.
        while stream.write_all(&[b'x'; CHUNK_BYTES]).is_ok() {}
    });
    assert_flat(&running, || {
        let mut stream = running.connect();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let requests = b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
        while stream.write_all(&requests).is_ok() {}
    });
}

/// A server whose buffers are as large as they get.
fn warm() -> Running {
    let running = Running::start(&["--threads", "1", "--no-pin"]);
    for _ in 0..3 {
        let chunk = [CHUNK_HEAD, &[b'x'; CHUNK_BYTES], b"\r\n"].concat();
        let pause = Duration::from_millis(1);
        echo(&running, "Transfer-Encoding: chunked", &chunk, 100, b"0\r\n\r\n", pause);
    }
    running
}

fn assert_flat(running: &Running, exchange: impl FnOnce()) {
    running.forget_peak();
    let before = running.rss_kib();
    exchange();
    let peak = running.peak_rss_kib();
    assert!(peak < before + GROWTH_KIB, "{before} KiB before, {peak} KiB at most");
}

/// Sends `block` so many times, then `end`, and reads the same back, with a pause
/// after each piece that is read.
fn echo(
    running: &Running,
    framing: &str,
    block: &[u8],
    count: usize,
    end: &'static [u8],
    pause: Duration,
) {
    let mut stream = running.connect();
    let mut writer = stream.try_clone().unwrap();
    let (request, sent) = (head(framing), block.to_vec());
    let sender = thread::spawn(move || {
        writer.write_all(&request).unwrap();
        for _ in 0..count {
            writer.write_all(&sent).unwrap();
        }
        writer.write_all(end).unwrap();
    });
    skip_head(&mut stream);
    let mut echoed = vec![0; block.len()];
    for _ in 0..count {
        stream.read_exact(&mut echoed).unwrap();
        assert!(echoed == block, "the echo differs");
        thread::sleep(pause);
    }
    let mut last = vec![0; end.len()];
    stream.read_exact(&mut last).unwrap();
    assert_eq!(last, end);
    sender.join().unwrap();
}

fn head(framing: &str) -> Vec<u8> {
    format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").into()
}

fn skip_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
}
