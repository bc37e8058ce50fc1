//! `--defer-accept`: a connection is accepted once its first bytes have arrived.

use std::io::Write;

use pinloop::{Config, Metrics};

use crate::support::{GET, connect, read_response, read_to_end, serve_app, stop, talk};

const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn deferring() -> Config {
    Config { defer_accept: true, ..Config::default() }
}

#[test]
fn a_request_is_answered_whether_the_server_closes_or_not() {
    let server = serve_app(deferring());
    for _ in 0..20 {
        assert!(talk(&server, CLOSE).ends_with("Try POST /echo"));
    }
    let mut stream = connect(&server);
    for _ in 0..3 {
        stream.write_all(GET).unwrap();
        assert_eq!(read_response(&mut stream).1, b"Try POST /echo");
    }
    stop(server);
}

#[test]
fn a_head_in_parts_and_a_large_response_are_served() {
    let server = serve_app(deferring());
    let mut stream = connect(&server);
    for byte in GET {
        stream.write_all(&[*byte]).unwrap();
    }
    read_response(&mut stream);
    let mut late = connect(&server);
    late.write_all(b"GET /bytes/1048576 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    // The response is larger than the socket's buffer, so that epoll must announce room in it.
    let response = read_to_end(&mut late);
    assert_eq!(response.bytes().filter(|&byte| byte == b'x').count(), 1024 * 1024);
    stop(server);
}

#[test]
fn a_connection_without_bytes_is_not_accepted() {
    let metrics = Metrics::default();
    let config = Config { metrics: Some(metrics.clone()), ..deferring() };
    let server = serve_app(config);
    let silent = connect(&server);
    talk(&server, CLOSE);
    assert_eq!(accepted(&metrics.render()), 1);
    drop(silent);
    stop(server);
}

#[test]
fn a_full_server_still_answers_with_503() {
    let server = serve_app(Config { connections_max: 1, ..deferring() });
    let mut held = connect(&server);
    held.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").unwrap();
    held.write_all(b"he").unwrap();
    let mut other = connect(&server);
    other.write_all(CLOSE).unwrap();
    assert!(read_to_end(&mut other).starts_with("HTTP/1.1 503"));
    held.write_all(b"llo").unwrap();
    assert_eq!(read_response(&mut held).1, b"hello");
    stop(server);
}

/// Returns the number of accepted connections in OpenMetrics text.
fn accepted(text: &str) -> u64 {
    let of_name = |line: &&str| line.starts_with("pinloop_connections_accepted_total");
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
    text.lines().filter(of_name).filter_map(value).sum()
}
