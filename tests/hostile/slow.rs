//! Clients that send or read slowly, or not at all.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use pinloop::{Config, Server};

use crate::support::response::{read_some, split_head};
use crate::support::{GET, PATIENCE, connect, read_response, read_to_end, serve_app, stop, talk};

/// Every timeout of an [`impatient`] server.
const TIMEOUT: Duration = Duration::from_millis(500);

fn impatient() -> Server {
    serve_with(TIMEOUT)
}

/// Timeout that a slow client stays within, even on a busy machine.
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

/// Sends `start`, then `byte` every 20 ms until the server closes. Returns the output.
fn dribble(server: &Server, start: &str, byte: u8) -> String {
    let mut stream = connect(server);
    stream.write_all(start.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let (begun, mut output, mut piece) = (Instant::now(), Vec::new(), [0; 65_536]);
    loop {
        // The connection may be closed already. The next read reports that.
        let _ = stream.write_all(&[byte]);
        match read_some(&mut stream, &mut piece).map_err(|error| error.kind()) {
            Ok(0) | Err(ErrorKind::ConnectionReset) => break,
            Ok(bytes) => output.extend_from_slice(&piece[..bytes]),
            Err(ErrorKind::WouldBlock) => {}
            Err(kind) => panic!("{kind}"),
        }
        thread::sleep(Duration::from_millis(20));
        assert!(begun.elapsed() < PATIENCE, "{start:.60?} is never closed");
    }
    let elapsed = begun.elapsed();
    assert!(
        elapsed >= TIMEOUT,
        "{start:.60?} was closed after {elapsed:?}, {} bytes",
        output.len()
    );
    String::from_utf8(output).unwrap()
}

#[test]
fn a_dribbling_client_gets_408() {
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
        let output = dribble(&server, start, byte);
        assert!(output.starts_with("HTTP/1.1 408 "), "{start:?}: {output}");
        assert!(output.contains("\r\nconnection: close\r\n"), "{start:?}: {output}");
    }
    stop(server);
}

#[test]
fn cuts_off_a_begun_response_when_its_request_dribbles() {
    let server = impatient();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    let output = dribble(&server, &format!("{head}{}", "x".repeat(100_000)), b'x');
    assert!(output.starts_with("HTTP/1.1 200 "), "{output:.80}");
    assert!(output.len() < 500_000 && !output.contains("408"), "{} bytes", output.len());
    stop(server);
}

#[test]
fn closes_silent_and_idle_connections_without_a_response() {
    let server = impatient();
    let mut silent = connect(&server);
    let mut idle = connect(&server);
    idle.write_all(GET).unwrap();
    read_response(&mut idle);
    assert_eq!(read_to_end(&mut silent), "");
    assert_eq!(read_to_end(&mut idle), "");
    stop(server);
}

#[test]
fn an_unfinished_request_gets_408() {
    let server = impatient();
    let body = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
    for start in ["G", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", body] {
        let output = talk(&server, start.as_bytes());
        assert!(output.starts_with("HTTP/1.1 408 "), "{start:?}: {output}");
    }
    stop(server);
}

#[test]
fn a_slow_client_within_its_timeouts_is_served() {
    let server = serve_with(LONG_TIMEOUT);
    let mut stream = connect(&server);
    // Each part arrives within its timeout. All parts together take longer than one timeout.
    for part in ["GET / HTTP/1.1\r\nHost: a\r\n", "\r\n", "POST /echo HTTP/1.1\r\n"] {
        stream.write_all(part.as_bytes()).unwrap();
        thread::sleep(LONG_TIMEOUT / 3);
    }
    stream.write_all(b"Host: a\r\nContent-Length: 40000\r\n\r\n").unwrap();
    for _ in 0..8 {
        stream.write_all(&[b'x'; 5_000]).unwrap();
        thread::sleep(LONG_TIMEOUT / 6);
    }
    assert_eq!(read_response(&mut stream).1, b"Try POST /echo");
    assert_eq!(read_response(&mut stream).1, [b'x'; 40_000]);
    stop(server);
}

#[test]
fn a_slow_reader_gets_the_whole_response() {
    let server = serve_with(LONG_TIMEOUT);
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let body = vec![b'x'; 24_000_000];
    let sent = body.clone();
    let sender = thread::spawn(move || {
        let length = sent.len();
        write!(writer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
            .unwrap();
        writer.write_all(&sent).unwrap();
    });
    // The transfer takes longer than the write timeout but makes progress within each timeout.
    let mut output = vec![0; 20 * 400_000];
    for part in output.chunks_mut(400_000) {
        stream.read_exact(part).unwrap();
        thread::sleep(LONG_TIMEOUT / 12);
    }
    let head_bytes = split_head(&output).0.len();
    let mut rest = vec![0; body.len() - (output.len() - head_bytes)];
    stream.read_exact(&mut rest).unwrap();
    output.append(&mut rest);
    assert!(output[head_bytes..] == body);
    sender.join().unwrap();
    stop(server);
}

#[test]
fn slow_clients_do_not_delay_others() {
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
            // An echo that is never read. The client sends until the socket takes no more.
            stream.set_nonblocking(true).unwrap();
            while stream.write(&[b'x'; 65_536]).is_ok() {}
        }
    }
    let mut normal = connect(&server);
    for _ in 0..200 {
        normal.write_all(GET).unwrap();
        assert_eq!(read_response(&mut normal).1, b"Try POST /echo");
    }
    stop(server);
}
