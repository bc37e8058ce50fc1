//! The limit on requests: its scope, its responses and its exceptions.

use std::io::Write;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use pinloop::app::{App, Limit};
use pinloop::{Config, RateLimiter, Server};

use crate::support::{APP, GET, connect, read_response, serve, stop, talk};

/// Starts a server that allows three requests at once and then one a minute, so three within a
/// test.
fn serve_three() -> Server {
    let limiter =
        Arc::new(RateLimiter::new(Some(("1/m".parse().unwrap(), NonZeroU32::new(3))), None));
    let config = Config { threads: NonZeroUsize::new(2), ..Config::default() };
    serve(config, move |_| App { limit: Some(Limit::new(limiter.clone())), ..APP })
}

#[test]
fn limits_all_threads_and_connections_together() {
    let server = serve_three();
    // The chance that one of the two threads gets all 20 connections is 1 in 500,000.
    let mut streams: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    let mut passed = 0;
    for stream in &mut streams {
        stream.write_all(GET).unwrap();
        let (head, _) = read_response(stream);
        match head.starts_with("HTTP/1.1 200 OK\r\n") {
            true => passed += 1,
            false => assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{head}"),
        }
    }
    assert_eq!(passed, 3);
    stop(server);
}

#[test]
fn sends_429_with_retry_after_and_keeps_the_connection() {
    let server = serve_three();
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let output = talk(&server, (request.repeat(5) + last).as_bytes());
    assert_eq!(output.matches("HTTP/1.1 200 OK\r\n").count(), 4, "{output}");
    assert_eq!(output.matches("HTTP/1.1 429 ").count(), 2, "{output}");
    assert_eq!(output.matches("retry-after: 60\r\n").count(), 2, "{output}");
    assert!(output.ends_with("alive\n"), "{output}");
    stop(server);
}

#[test]
fn does_not_read_the_body_of_a_limited_request() {
    let server = serve_three();
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let rejected = "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                   Content-Length: 1000000000\r\n\r\n";
    let output = talk(&server, (request.repeat(3) + rejected).as_bytes());
    assert_eq!(output.matches("\r\n\r\nhi").count(), 3, "each request counts once: {output}");
    let (_, last) = output.rsplit_once("HTTP/1.1 ").unwrap();
    assert!(last.starts_with("429 "), "{output}");
    assert!(last.contains("connection: close\r\n"), "{output}");
    stop(server);
}

#[test]
fn health_checks_are_not_limited() {
    let server = serve_three();
    let request = "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let output = talk(&server, (request.repeat(30) + last).as_bytes());
    assert_eq!(output.matches("HTTP/1.1 200 OK\r\n").count(), 31, "{output}");
    stop(server);
}
