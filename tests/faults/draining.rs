//! A draining server says `connection: close` on its last response.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Mutex, mpsc};

use pinloop::{Config, Request, Response, Server};

use crate::support::response::statuses;
use crate::support::{GET, connect, read_response, read_to_end, serve, serve_app, wait_until};

/// Requests in two parts. The server begins to drain between the parts.
fn requests() -> Vec<(&'static str, String)> {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    let sized = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n";
    let large = "x".repeat(100_000);
    let chunks = format!("\r\n{:X}\r\n{large}\r\n0\r\n\r\n", large.len());
    vec![
        (chunked, "\r\n5\r\nhello\r\n0\r\n\r\n".into()),
        (chunked, chunks.clone()),
        (chunked, format!("{chunks}\r\n\r\n")),
        (chunked, format!("\r\n5\r\nhello\r\n0\r\n\r\n{get}")),
        (sized, "\r\nechoechoe".into()),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\necho", "echoe".into()),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\necho", "echoe\r\n\r\n".into()),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nec",
            "ho\r\n0\r\n\r\n".into(),
        ),
        ("GET / HT", "TP/1.1\r\nHost: a\r\n\r\n".into()),
        ("GET / HT", "TP/1.1\r\nHost: a\r\n\r\n\r\n".into()),
        ("GET / HT", "TP/1.1\r\nHost: a\r\n\r\n\r\n\r\n".into()),
        ("GET / HT", "TP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET / HT".into()),
        ("GET / HT", format!("TP/1.1\r\nHost: a\r\n\r\n\r\n\r\n{get}")),
        ("GET /data?off", "load HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("HEAD / HT", "TP/1.1\r\nHost: a\r\n\r\n".into()),
        ("GET /nope HT", "TP/1.1\r\nHost: a\r\n\r\n".into()),
    ]
}

/// Stops the server and waits until it drains.
fn begin_drain(server: &Server) {
    server.stop();
    wait_until("the server stops listening", || TcpStream::connect(server.addr()).is_err());
}

/// Returns a connection. The server has read the first part of its request.
fn begin(server: &Server, part: &str) -> TcpStream {
    let mut stream = connect(server);
    stream.write_all(&[GET, part.as_bytes()].concat()).unwrap();
    read_response(&mut stream);
    stream
}

fn assert_says_close(output: &str, case: &str) {
    let last = output.rfind("HTTP/1.1 ").unwrap_or_else(|| panic!("{case}: no response"));
    let (head, _) = output[last..].split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("\r\nconnection: close"), "{case}: {head}");
    assert_eq!(output.matches("connection: close").count(), 1, "{case}: {output:.300}");
}

/// The last response did not say so after a head that ended after SIGTERM, for an echo that is
/// held back, and for a `GET` followed by two empty lines (issue 13, number 10).
#[test]
fn the_last_response_of_a_draining_server_says_close() {
    let server = serve_app(Config::default());
    let mut streams: Vec<TcpStream> =
        requests().iter().map(|(first, _)| begin(&server, first)).collect();
    begin_drain(&server);
    for (stream, (first, second)) in streams.iter_mut().zip(requests()) {
        stream.write_all(second.as_bytes()).unwrap();
        let output = read_to_end(stream);
        let case = format!("{first:?} and {second:.40?}");
        let expected =
            1 + usize::from(second.ends_with("Host: a\r\n\r\n") && second.contains("GET"));
        let found = statuses(&output);
        assert_eq!(found.len(), expected, "{case}: {found:?}");
        assert_says_close(&output, &case);
    }
    server.join().expect("the server ends");
}

/// The same byte by byte.
#[test]
fn the_last_response_says_close_however_its_request_is_split() {
    let server = serve_app(Config::default());
    let short: Vec<_> = requests().into_iter().filter(|(_, second)| second.len() < 100).collect();
    let mut streams: Vec<TcpStream> =
        short.iter().map(|(first, _)| begin(&server, first)).collect();
    begin_drain(&server);
    for (stream, (first, second)) in streams.iter_mut().zip(&short) {
        for byte in second.as_bytes() {
            // The server may have closed after the response, before the empty lines behind it.
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::yield_now();
        }
        let mut output = Vec::new();
        // Bytes that arrive after the end may reset the connection.
        let _ = std::io::Read::read_to_end(stream, &mut output);
        assert_says_close(&String::from_utf8_lossy(&output), &format!("{first:?}, {second:?}"));
    }
    server.join().expect("the server ends");
}

/// Requests that are answered in the wake-up in which the server learns that it must stop
/// (issue 13, number 10).
#[test]
fn requests_that_arrive_with_the_stop_get_a_response_that_says_close() {
    let (begin_hold, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let held = Mutex::new(Some((begin_hold, released)));
    let server = serve(Config::default(), move |_| {
        let held = held.lock().unwrap().take().expect("one thread");
        move |request: &Request<'_>, response: &mut Response<'_>| {
            if request.path() == "/hold" {
                held.0.send(()).unwrap();
                held.1.recv().unwrap();
            }
            response.body(b"served");
        }
    });
    let mut streams: Vec<TcpStream> = (0..20).map(|_| begin(&server, "")).collect();
    let mut holder = connect(&server);
    holder.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    begun.recv().unwrap();
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&GET.repeat(1 + n % 3)).unwrap();
    }
    server.stop();
    release.send(()).unwrap();
    for (n, stream) in streams.iter_mut().enumerate() {
        let output = read_to_end(stream);
        assert_eq!(statuses(&output).len(), 1 + n % 3, "{output}");
        assert_says_close(&output, &format!("{} requests", 1 + n % 3));
    }
    server.join().expect("the server ends");
}
