//! Bodies of any size, in memory that does not grow with their size.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use crate::support::process::Running;
use crate::support::response::read_head;

/// Size line of a chunk, as it is sent and as it is echoed.
const CHUNK_HEAD: &[u8] = b"10000\r\n";
const CHUNK_BYTES: usize = 0x10000;

/// Maximum growth of the server, in KiB.
const GROWTH_KIB: u64 = 1024;

#[test]
fn a_long_echo_needs_little_memory() {
    let running = warm();
    assert_flat(&running, || {
        let length = 256 * 1024 * 1024;
        let head = format!("Content-Length: {length}");
        echo(&running, &head, &[b'x'; CHUNK_BYTES], length / CHUNK_BYTES, b"", Duration::ZERO);
    });
}

#[test]
fn a_long_chunked_echo_needs_little_memory() {
    let running = warm();
    assert_flat(&running, || {
        let chunk = [CHUNK_HEAD, &[b'x'; CHUNK_BYTES], b"\r\n"].concat();
        let head = "Transfer-Encoding: chunked";
        echo(&running, head, &chunk, 4096, b"0\r\n\r\n", Duration::ZERO);
    });
}

#[test]
fn a_slow_reader_needs_little_memory() {
    let running = warm();
    assert_flat(&running, || {
        let length = 24 * 1024 * 1024;
        let head = format!("Content-Length: {length}");
        let pause = Duration::from_millis(2);
        echo(&running, &head, &[b'x'; CHUNK_BYTES], length / CHUNK_BYTES, b"", pause);
    });
}

#[test]
fn a_client_that_never_reads_needs_little_memory() {
    let running = warm();
    assert_flat(&running, || {
        let mut stream = running.connect();
        stream.write_all(&head("Content-Length: 1000000000")).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        // Sends until the server stops reading.
        while stream.write_all(&[b'x'; CHUNK_BYTES]).is_ok() {}
    });
    assert_flat(&running, || {
        let mut stream = running.connect();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let requests = b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
        while stream.write_all(&requests).is_ok() {}
    });
}

/// Starts a server and lets its buffers grow to their full size.
fn warm() -> Running {
    let running = Running::start_unpinned(&[]);
    for _ in 0..3 {
        let chunk = [CHUNK_HEAD, &[b'x'; CHUNK_BYTES], b"\r\n"].concat();
        let pause = Duration::from_millis(1);
        echo(&running, "Transfer-Encoding: chunked", &chunk, 100, b"0\r\n\r\n", pause);
    }
    running
}

fn assert_flat(running: &Running, exchange: impl FnOnce()) {
    running.reset_peak();
    let before = running.rss_kib();
    exchange();
    let peak = running.peak_rss_kib();
    assert!(peak < before + GROWTH_KIB, "the server grew from {before} to {peak} KiB");
}

/// Sends `block` `count` times, then `end`, and reads the same bytes back. Pauses after each
/// block that it reads.
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
    let response = read_head(&mut stream);
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
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
