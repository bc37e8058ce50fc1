//! Clients that send or read slowly, or not at all.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use pinloop::{Config, Server};

use crate::support::{connect, read_answer, read_to_end, serve_app, stop};

/// The timeouts of [`impatient`].
const TIMEOUT: Duration = Duration::from_millis(500);

fn impatient() -> Server {
    serve_with(TIMEOUT)
}

/// The timeouts where a client is to stay within them, though the machine be busy.
const LONG_TIMEOUT: Duration = Duration::from_secs(3);

fn serve_with(timeout: Duration) -> Server {
    let mut config = Config::default();
    config.timeouts.head = timeout;
    config.timeouts.body = timeout;
    config.timeouts.idle = timeout;
    config.timeouts.write = timeout;
    config.timeouts.linger = timeout;
    serve_app(config)
}

/// Sends `start`, then a byte every 20 ms until the server closes; its answer.
fn dribble(server: &Server, start: &str, byte: u8) -> String {
    let mut stream = connect(server);
    stream.write_all(start.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let (begun, mut answer, mut piece) = (Instant::now(), Vec::new(), [0; 65_536]);
    loop {
        // The connection may be closed by now, which the next read finds out.
        let _ = stream.write_all(&[byte]);
        match stream.read(&mut piece).map_err(|error| error.kind()) {
            Ok(0) | Err(ErrorKind::ConnectionReset) => break,
            Ok(bytes) => answer.extend_from_slice(&piece[..bytes]),
            Err(ErrorKind::WouldBlock) => {}
            Err(kind) => panic!("{kind}"),
        }
        thread::sleep(Duration::from_millis(20));
        assert!(begun.elapsed() < Duration::from_secs(20), "{start:.60?} is never closed");
    }
    let elapsed = begun.elapsed();
    assert!(elapsed >= TIMEOUT, "{start:.60?} was closed after {elapsed:?}: {}", answer.len());
    String::from_utf8(answer).unwrap()
}

#[test]
fn whoever_dribbles_is_told_so_when_its_time_is_up() {
    let server = impatient();
    for (start, byte) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", b'x'),
        ("GET /", b'x'),
        ("\r\nG", b'X'),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b'x'),
        ("PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b'x'),
        ("PUT /data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", b'x'),
        ("PUT /data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx:", b'x'),
    ] {
        let answer = dribble(&server, start, byte);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{start:?}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{start:?}: {answer}");
    }
    stop(server);
}

#[test]
fn an_answer_that_has_begun_is_cut_off_when_its_request_dribbles() {
    let server = impatient();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    let answer = dribble(&server, &format!("{head}{}", "x".repeat(100_000)), b'x');
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:.80}");
    assert!(answer.len() < 500_000 && !answer.contains("408"), "{} bytes", answer.len());
    stop(server);
}

#[test]
fn whoever_sends_nothing_is_closed_without_a_word() {
    let server = impatient();
    let mut silent = connect(&server);
    let mut idle = connect(&server);
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_answer(&mut idle);
    assert_eq!(read_to_end(&mut silent), "");
    assert_eq!(read_to_end(&mut idle), "");
    stop(server);
}

#[test]
fn slow_is_not_too_slow() {
    let server = serve_with(LONG_TIMEOUT);
    let mut stream = connect(&server);
    // Each part comes within its time, all of them in more than that.
    for part in ["GET / HTTP/1.1\r\nHost: a\r\n", "\r\n", "POST /echo HTTP/1.1\r\n"] {
        stream.write_all(part.as_bytes()).unwrap();
        thread::sleep(LONG_TIMEOUT / 3);
    }
    stream.write_all(b"Host: a\r\nContent-Length: 40000\r\n\r\n").unwrap();
    for _ in 0..8 {
        stream.write_all(&[b'x'; 5_000]).unwrap();
        thread::sleep(LONG_TIMEOUT / 6);
    }
    assert_eq!(read_answer(&mut stream).1, b"Try POST /echo");
    assert_eq!(read_answer(&mut stream).1, [b'x'; 40_000]);
    stop(server);
}

#[test]
fn a_slow_reader_gets_everything() {
    let server = serve_with(LONG_TIMEOUT);
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let content = vec![b'x'; 24_000_000];
    let sent = content.clone();
    let sender = thread::spawn(move || {
        let length = sent.len();
        write!(writer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
            .unwrap();
        writer.write_all(&sent).unwrap();
    });
    // Longer than the timeouts all in all, but something moves within each.
    let mut answer = vec![0; 20 * 400_000];
    for part in answer.chunks_mut(400_000) {
        stream.read_exact(part).unwrap();
        thread::sleep(LONG_TIMEOUT / 12);
    }
    let head_bytes = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let mut rest = vec![0; content.len() - (answer.len() - head_bytes)];
    stream.read_exact(&mut rest).unwrap();
    answer.append(&mut rest);
    assert!(answer[head_bytes..] == content);
    sender.join().unwrap();
    stop(server);
}

#[test]
fn the_slow_hold_up_nobody() {
    let server = impatient();
    let starts = [
        &b""[..],
        b"GET / HTTP/1.1\r\nHo",
        b"PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhe",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n",
    ];
    let mut slow: Vec<_> = (0..80).map(|_| connect(&server)).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        stream.write_all(starts[n % starts.len()]).unwrap();
        if n % starts.len() == 3 {
            // An echo that nobody reads: as much as is taken.
            stream.set_nonblocking(true).unwrap();
            while stream.write(&[b'x'; 65_536]).is_ok() {}
        }
    }
    let mut normal = connect(&server);
    for _ in 0..200 {
        normal.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_answer(&mut normal).1, b"Try POST /echo");
    }
    stop(server);
}
