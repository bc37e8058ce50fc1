//! Clients that do not speak HTTP, send more than they were asked for, or hang up.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use pinloop::{Config, Server};
use socket2::SockRef;

use crate::support::{connect, read_answer, read_to_end, serve_app, stop, talk};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn is_served(server: &Server) {
    let mut stream = connect(server);
    stream.write_all(GET).unwrap();
    assert_eq!(read_answer(&mut stream).1, b"Try POST /echo");
}

#[test]
fn whoever_does_not_speak_http_is_told_so_and_closed() {
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
    is_served(&server);
    stop(server);
}

#[test]
fn a_head_without_end_is_refused_and_the_refusal_arrives() {
    let server = serve_app(Config::default());
    for (status, start) in [
        (431, "GET / HTTP/1.1\r\nHost: a\r\nX: "),
        (414, "GET /"),
        (501, "X"),
        (431, "GET / HTTP/1.1\r\nHost: a\r\n"),
    ] {
        let more = if start.ends_with("a\r\n") { "X: y\r\n" } else { "xxxxxx" };
        let input = format!("{start}{}", more.repeat(200_000));
        let answer = talk_and_hang_up(&server, input.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{start:?}: {answer:.80}");
    }
    stop(server);
}

#[test]
fn a_refusal_arrives_though_more_was_sent_before_it_and_the_client_is_done() {
    let server = serve_app(Config::default());
    for start in [
        "BAD\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let input = format!("{start}{}", "x".repeat(1_000_000));
        for _ in 0..5 {
            let answer = talk_and_hang_up(&server, input.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 400 "), "{start:?}: {answer:.80}");
        }
    }
    stop(server);
}

#[test]
fn the_last_answer_arrives_though_more_was_sent_behind_its_request() {
    let server = serve_app(Config::default());
    let last = "GET /data HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let input = format!("{last}{}", "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(40_000));
    for _ in 0..5 {
        let answer = talk_and_hang_up(&server, input.as_bytes());
        assert!(answer.ends_with("Value: 2\"}"), "{answer:.200}");
    }
    stop(server);
}

#[test]
fn half_closed_clients_get_their_answers() {
    let server = serve_app(Config::default());
    let content = "z".repeat(3_000_000);
    let length = content.len();
    let echo =
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{content}");
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:X}\r\n{content}\r\n0\r\n\r\n"
    );
    for (input, end) in [
        (echo.clone(), "z"),
        (chunked.clone(), "\r\n0\r\n\r\n"),
        (format!("{echo}{chunked}{}", String::from_utf8_lossy(GET)), "Try POST /echo"),
        (String::from_utf8_lossy(GET).into_owned(), "Try POST /echo"),
        ("GET / HTTP/1.0\r\n\r\n".into(), "Try POST /echo"),
    ] {
        let answer = talk_and_hang_up(&server, input.as_bytes());
        assert_eq!(answer.matches('z').count(), input.matches('z').count());
        assert!(answer.ends_with(end), "{answer:.200}");
    }
    assert_eq!(talk_and_hang_up(&server, b"GET / HTTP/1.1\r\nHo"), "", "a head that stops");
    stop(server);
}

#[test]
fn a_reset_in_the_middle_costs_only_its_own_connection() {
    // Few connections may be open, so one that is not given back would be missed.
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
            // Until the answer is on its way, and more.
            stream.write_all(&[b'x'; 400_000]).unwrap();
            stream.read_exact(&mut [0; 1_000]).unwrap();
        }
        reset(stream);
    }
    let mut last: Vec<TcpStream> = (0..8).map(|_| connect_once_there_is_room(&server)).collect();
    for stream in &mut last {
        stream.write_all(GET).unwrap();
        assert_eq!(read_answer(stream).1, b"Try POST /echo");
    }
    stop(server);
}

#[test]
fn more_requests_than_any_buffer_holds_are_answered_in_order() {
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
    // Long enough for every buffer on the way to fill up.
    std::thread::sleep(Duration::from_millis(300));
    let answers = read_to_end(&mut stream);
    sender.join().unwrap();
    let lengths: Vec<usize> = answers
        .split("content-length: ")
        .skip(1)
        .map(|answer| answer[..1].parse().expect("a length"))
        .collect();
    assert!(lengths.iter().copied().eq((0..COUNT).map(|n| n % 10)), "{} answers", lengths.len());
    stop(server);
}

/// Sends all of `input`, then the end, and only then reads.
fn talk_and_hang_up(server: &Server, input: &[u8]) -> String {
    let mut stream = connect(server);
    let mut writer = stream.try_clone().unwrap();
    let input = input.to_vec();
    // What the server does not read after a rejection can't all be sent.
    let sender = std::thread::spawn(move || {
        let _ = writer.write_all(&input).and_then(|()| writer.shutdown(Shutdown::Write));
    });
    let answer = read_to_end(&mut stream);
    sender.join().unwrap();
    answer
}

/// Closes with a reset instead of an end.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Connections that were reset are given back once the server has seen it.
fn connect_once_there_is_room(server: &Server) -> TcpStream {
    for _ in 0..200 {
        let mut stream = connect(server);
        stream.write_all(GET).unwrap();
        if read_answer(&mut stream).0.starts_with("HTTP/1.1 200 ") {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("there was never room");
}
