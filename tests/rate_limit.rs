//! The limit on requests: over all threads, with its answer, and where it does not hold.

use std::io::Write;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use pinloop::app::{App, Limit};
use pinloop::{Config, RateLimiter, Server};

use crate::support::{APP, connect, read_answer, serve, stop, talk};

/// One a minute after a burst of three: within a test, three.
fn serve_three() -> Server {
    let limiter =
        Arc::new(RateLimiter::new(Some(("1/m".parse().unwrap(), NonZeroU32::new(3))), None));
    let config = Config { threads: NonZeroUsize::new(2), ..Config::default() };
    serve(config, move |_| App { limit: Some(Limit::new(limiter.clone())), ..APP })
}

#[test]
fn holds_over_all_threads_and_connections() {
    let server = serve_three();
    // 20 connections to two threads: all to one of them is 1 in 500,000.
    let mut streams: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    let mut passed = 0;
    for stream in &mut streams {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (head, _) = read_answer(stream);
        match head.starts_with("HTTP/1.1 200 OK\r\n") {
            true => passed += 1,
            false => assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{head}"),
        }
    }
    assert_eq!(passed, 3);
    stop(server);
}

#[test]
fn says_when_to_come_back_and_keeps_the_connection() {
    let server = serve_three();
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = talk(&server, (request.repeat(5) + last).as_bytes());
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 4, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 429 ").count(), 2, "{answers}");
    assert_eq!(answers.matches("retry-after: 60\r\n").count(), 2, "{answers}");
    assert!(answers.ends_with("alive\n"), "{answers}");
    stop(server);
}

#[test]
fn content_that_nobody_may_send_is_not_read() {
    let server = serve_three();
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let refused = "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                   Content-Length: 1000000000\r\n\r\n";
    let answers = talk(&server, (request.repeat(3) + refused).as_bytes());
    assert_eq!(answers.matches("\r\n\r\nhi").count(), 3, "each counters once: {answers}");
    let (_, last) = answers.rsplit_once("HTTP/1.1 ").unwrap();
    assert!(last.starts_with("429 "), "{answers}");
    assert!(last.contains("connection: close\r\n"), "{answers}");
    stop(server);
}

#[test]
fn health_is_never_limited() {
    let server = serve_three();
    let request = "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = talk(&server, (request.repeat(30) + last).as_bytes());
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 31, "{answers}");
    stop(server);
}
