//! A response that is cut off looks cut off.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pinloop::http::{BodyWriter, DeferredResponse, Flow, Piece};
use pinloop::{BodyPolicy, Config, Request, Response, Service};

use crate::support::response::read_some;
use crate::support::{connect, serve, stop, wait_until};

/// Responds with a stream that panics after 100,000 bytes.
struct Breaking;

/// Returns a producer that writes 50,000 bytes at each call, and panics at the third one.
fn breaking() -> impl FnMut(&mut BodyWriter<'_>) -> Flow + Send + 'static {
    let mut calls = 0;
    move |writer: &mut BodyWriter<'_>| {
        calls += 1;
        if calls == 3 {
            std::panic::resume_unwind(Box::new("the test asked for a panic"));
        }
        writer.write(&[b'x'; 50_000]);
        Flow::More
    }
}

impl Service for Breaking {
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        match &*request.path() {
            "/deferred" => {
                let responder = response.defer();
                std::thread::spawn(move || {
                    responder.respond(DeferredResponse::new(200).stream(None, breaking()));
                });
            }
            "/endless" => response.stream(None, |writer: &mut BodyWriter<'_>| {
                writer.write(&[b'x'; 50_000]);
                Flow::More
            }),
            "/short" => response.stream(Some(200_000), breaking()),
            _ => response.stream(None, breaking()),
        }
    }

    fn body_policy(&mut self, request: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
        if request.path() != "/receiver" {
            return BodyPolicy::Collect;
        }
        let receiver = |piece: Option<&Piece<'_>>, body: &mut BodyWriter<'_>| match piece {
            Some(_) => body.write(&[b'x'; 100_000]),
            None => std::panic::resume_unwind(Box::new("the test asked for a panic")),
        };
        BodyPolicy::Stream { length: None, receiver: Box::new(receiver) }
    }
}

/// Reads to the end; returns the number of bytes, and whether the end was a reset.
fn read_to_reset(stream: &mut TcpStream) -> (usize, bool) {
    let (mut bytes, mut piece) = (0, vec![0; 100_000]);
    loop {
        match read_some(stream, &mut piece).map_err(|error| error.kind()) {
            Ok(0) => return (bytes, false),
            Ok(read) => bytes += read,
            Err(ErrorKind::ConnectionReset) => return (bytes, true),
            Err(kind) => panic!("{kind}"),
        }
    }
}

/// A producer that panics while it answers HTTP/1.0 ended in a clean FIN, which looks like the
/// end of the response (issue 13, number 12).
#[test]
fn a_panic_within_an_http_1_0_response_resets_the_connection() {
    let server = serve(Config::default(), |_| Breaking);
    for (request, rest) in [
        ("GET / HTTP/1.0\r\n\r\n", ""),
        ("GET /deferred HTTP/1.0\r\n\r\n", ""),
        ("POST /receiver HTTP/1.0\r\nContent-Length: 4\r\n\r\nbo", "dy"),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ""),
    ] {
        let mut stream = connect(&server);
        stream.write_all(request.as_bytes()).unwrap();
        // The response has begun before the panic. It may already be cut off.
        if stream.read_exact(&mut [0]).is_err() {
            continue;
        }
        stream.write_all(rest.as_bytes()).unwrap();
        let (bytes, is_reset) = read_to_reset(&mut stream);
        assert!(is_reset, "{request:?} ended after {bytes} bytes without a reset");
    }
    stop(server);
}

/// HTTP/1.1 shows the cut by itself: a chunk or some of the announced bytes are missing.
#[test]
fn a_panic_within_an_http_1_1_response_leaves_it_incomplete() {
    let server = serve(Config::default(), |_| Breaking);
    for path in ["/", "/deferred", "/short"] {
        let mut stream = connect(&server);
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let mut response = Vec::new();
        // A reset shows the cut as well.
        let _ = stream.read_to_end(&mut response);
        assert!(!response.ends_with(b"0\r\n\r\n"), "{path}: the last chunk was sent");
        assert!(response.len() < 200_000, "{path}: {} bytes", response.len());
    }
    stop(server);
}

/// A timeout that ends an HTTP/1.0 response is a cut as well (issue 13, number 12).
#[test]
fn a_timeout_within_an_http_1_0_response_resets_the_connection() {
    let mut config = Config::default();
    config.timeouts.write = Duration::from_millis(300);
    let metrics = pinloop::Metrics::default();
    config.metrics = Some(metrics.clone());
    let server = serve(config, |_| Breaking);
    let mut stream = connect(&server);
    stream.write_all(b"GET /endless HTTP/1.0\r\n\r\n").unwrap();
    wait_until("the write timeout closes the connection", || {
        let text = metrics.render();
        text.lines().any(|line| {
            line.starts_with("pinloop_connections_closed_total ") && !line.ends_with(" 0")
        })
    });
    let (bytes, is_reset) = read_to_reset(&mut stream);
    assert!(is_reset, "the response ended after {bytes} bytes without a reset");
    stop(server);
}

/// A body that stops to arrive cuts off its response as well (issue 13, number 12).
#[test]
fn a_body_timeout_within_an_http_1_0_response_resets_the_connection() {
    let mut config = Config::default();
    config.timeouts.body = Duration::from_millis(300);
    let server = serve(config, |_| Breaking);
    let mut stream = connect(&server);
    stream.write_all(b"POST /receiver HTTP/1.0\r\nContent-Length: 4\r\n\r\nbo").unwrap();
    let (bytes, is_reset) = read_to_reset(&mut stream);
    assert!(is_reset, "the response ended after {bytes} bytes without a reset");
    stop(server);
}

/// The drain timeout cuts off as well (issue 13, number 12).
#[test]
fn a_drain_timeout_within_an_http_1_0_response_resets_the_connection() {
    let mut config = Config::default();
    config.timeouts.drain = Duration::from_millis(300);
    let server = serve(config, |_| Breaking);
    let mut stream = connect(&server);
    stream.write_all(b"GET /endless HTTP/1.0\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 1_000]).unwrap();
    server.stop();
    assert_eq!(server.join().expect("the server ends"), 1, "requests that were cut off");
    let (bytes, is_reset) = read_to_reset(&mut stream);
    assert!(is_reset, "the response ended after {bytes} bytes without a reset");
}
