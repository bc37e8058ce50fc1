//! Clients that do not speak HTTP, send too much, or hang up.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use pinloop::{Config, Server};
use socket2::SockRef;

use crate::support::{GET, connect, read_response, read_to_end, serve_app, stop, talk, wait_until};

fn assert_serves(server: &Server) {
    let mut stream = connect(server);
    stream.write_all(GET).unwrap();
    assert_eq!(read_response(&mut stream).1, b"Try POST /echo");
}

#[test]
fn garbage_gets_400_or_505_and_closes() {
    let server = serve_app(Config::default());
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello"[..],
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\r\n\r\nEHLO a\r\n",
        b"{\"jsonrpc\": \"2.0\"}\n",
    ] {
        assert!(talk(&server, garbage).starts_with("HTTP/1.1 400 "), "{garbage:?}");
    }
    assert!(talk(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").starts_with("HTTP/1.1 505 "));
    assert_serves(&server);
    stop(server);
}

#[test]
fn an_endless_head_gets_a_rejection_that_arrives() {
    let server = serve_app(Config::default());
    for (status, start) in [
        (431, "GET / HTTP/1.1\r\nHost: a\r\nX: "),
        (414, "GET /"),
        (501, "X"),
        (431, "GET / HTTP/1.1\r\nHost: a\r\n"),
    ] {
        let more = if start.ends_with("a\r\n") { "X: y\r\n" } else { "xxxxxx" };
        let input = format!("{start}{}", more.repeat(200_000));
        let output = talk_and_hang_up(&server, input.as_bytes());
        assert!(output.starts_with(&format!("HTTP/1.1 {status} ")), "{start:?}: {output:.80}");
    }
    stop(server);
}

#[test]
fn a_rejection_arrives_though_the_client_sent_more_and_half_closed() {
    let server = serve_app(Config::default());
    for (status, start) in [
        (400, "BAD\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        (413, "PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n"),
    ] {
        let input = format!("{start}{}", "x".repeat(4_000_000));
        for _ in 0..5 {
            let output = talk_and_hang_up(&server, input.as_bytes());
            assert!(output.starts_with(&format!("HTTP/1.1 {status} ")), "{start:?}: {output:.80}");
        }
    }
    stop(server);
}

#[test]
fn the_last_response_arrives_though_more_requests_were_sent() {
    let server = serve_app(Config::default());
    let last = "GET /data HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let input = format!("{last}{}", "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(40_000));
    for _ in 0..5 {
        let output = talk_and_hang_up(&server, input.as_bytes());
        assert!(output.ends_with("Value: 2\"}"), "{output:.200}");
    }
    stop(server);
}

#[test]
fn half_closed_clients_get_their_responses() {
    let server = serve_app(Config::default());
    let body = "z".repeat(3_000_000);
    let length = body.len();
    let echo = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:X}\r\n{body}\r\n0\r\n\r\n"
    );
    for (input, end) in [
        (echo.clone(), "z"),
        (chunked.clone(), "\r\n0\r\n\r\n"),
        (format!("{echo}{chunked}{}", String::from_utf8_lossy(GET)), "Try POST /echo"),
        (String::from_utf8_lossy(GET).into_owned(), "Try POST /echo"),
        ("GET / HTTP/1.0\r\n\r\n".into(), "Try POST /echo"),
    ] {
        let output = talk_and_hang_up(&server, input.as_bytes());
        assert_eq!(output.matches('z').count(), input.matches('z').count());
        assert!(output.ends_with(end), "{output:.200}");
    }
    assert_eq!(talk_and_hang_up(&server, b"GET / HTTP/1.1\r\nHo"), "", "an unfinished head");
    stop(server);
}

#[test]
fn a_reset_ends_only_its_own_connection() {
    // The limit is low, so that a leaked connection would leave no room for the last ones.
    let server = serve_app(Config { connections_max: 8, ..Config::default() });
    let big = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
    for round in 0..100 {
        let mut stream = connect(&server);
        let start = match round % 5 {
            0 => &b""[..],
            1 => b"GET / HT",
            2 => b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello",
            3 => b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET",
            _ => big,
        };
        stream.write_all(start).unwrap();
        if start == big {
            // The reset comes after the response has begun.
            stream.write_all(&[b'x'; 400_000]).unwrap();
            stream.read_exact(&mut [0; 1_000]).unwrap();
        }
        reset(stream);
    }
    let mut last: Vec<TcpStream> = (0..8).map(|_| connect_once_there_is_room(&server)).collect();
    for stream in &mut last {
        stream.write_all(GET).unwrap();
        assert_eq!(read_response(stream).1, b"Try POST /echo");
    }
    stop(server);
}

#[test]
fn answers_more_pipelined_requests_than_any_buffer_holds() {
    const COUNT: usize = 60_000;
    let server = serve_app(Config::default());
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for n in 0..COUNT {
            let length = n % 10;
            let request = format!(
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}",
                "x".repeat(length)
            );
            writer.write_all(request.as_bytes()).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    // Leaves time for the buffers of the sockets and the server to fill up.
    std::thread::sleep(Duration::from_millis(300));
    let output = read_to_end(&mut stream);
    sender.join().unwrap();
    let lengths: Vec<usize> = output
        .split("content-length: ")
        .skip(1)
        .map(|output| output[..1].parse().expect("a length"))
        .collect();
    assert!(lengths.iter().copied().eq((0..COUNT).map(|n| n % 10)), "{} responses", lengths.len());
    stop(server);
}

/// Sends all of `input`, half-closes, and only then reads.
fn talk_and_hang_up(server: &Server, input: &[u8]) -> String {
    let mut stream = connect(server);
    let mut writer = stream.try_clone().unwrap();
    let input = input.to_vec();
    // The server reads little after a rejection, so sending may fail.
    let sender = std::thread::spawn(move || {
        let _ = writer.write_all(&input).and_then(|()| writer.shutdown(Shutdown::Write));
    });
    let output = read_to_end(&mut stream);
    sender.join().unwrap();
    output
}

/// Closes the connection with a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Connects once the server has noticed a reset and has room again.
fn connect_once_there_is_room(server: &Server) -> TcpStream {
    let mut served = None;
    wait_until("a reset connection leaves room", || {
        let mut stream = connect(server);
        stream.write_all(GET).unwrap();
        let is_served = read_response(&mut stream).0.starts_with("HTTP/1.1 200 ");
        served = is_served.then_some(stream);
        is_served
    });
    served.expect("a connection")
}
