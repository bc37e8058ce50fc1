//! `--when-full wait` serves as fast as connections close.

use std::io::Write;
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use pinloop::{Config, Server, WhenFull};

use crate::support::response::try_read_response;
use crate::support::{GET, PATIENCE, connect, read_response, read_to_end, serve_app, stop};

/// Number of connections, each with one request.
const CONNECTIONS: usize = 2_000;

fn serve_waiting(threads: usize, connections_max: usize) -> Server {
    let threads = NonZeroUsize::new(threads);
    serve_app(Config { threads, connections_max, when_full: WhenFull::Wait, ..Config::default() })
}

/// Sends one request on a connection of its own. Returns `false` if the server closes the
/// connection without a response.
fn is_served(server: &Server, closes: bool) -> bool {
    let mut stream = connect(server);
    let close = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let request = if closes { &close[..] } else { GET };
    stream.write_all(request).is_ok()
        && try_read_response(&mut stream).is_some_and(|(_, body)| body == b"Try POST /echo")
}

/// Has 16 clients open `CONNECTIONS` connections one after the other. Returns the number of
/// connections that the server closed without a response.
fn unserved(threads: usize, connections_max: usize) -> usize {
    const CLIENTS: usize = 16;
    let server = serve_waiting(threads, connections_max);
    let (begun, unserved) = (Instant::now(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for n in 0..CONNECTIONS / CLIENTS {
                    // Either side may be the one that closes.
                    while !is_served(&server, n % 2 == 0) {
                        unserved.fetch_add(1, Ordering::Relaxed);
                    }
                    assert!(begun.elapsed() < 2 * PATIENCE, "response {n} on {threads} threads");
                }
            });
        }
    });
    stop(server);
    unserved.into_inner()
}

/// Accepting resumed only after 100 ms, so that 50 clients got exactly 100 responses a second
/// (issue 13, number 4). With one connection at a time these took 200 s.
#[test]
fn a_closing_connection_lets_the_next_one_in() {
    for (threads, connections_max) in [(1, 1), (2, 1), (2, 3)] {
        unserved(threads, connections_max);
    }
}

/// A connection was closed to make room before its first request had arrived, so that some
/// clients got no response although they had only waited for their turn.
#[test]
fn a_new_connection_is_not_closed_before_its_request_can_arrive() {
    for (threads, connections_max) in [(1, 1), (2, 1), (2, 3)] {
        let unserved = unserved(threads, connections_max);
        assert_eq!(
            unserved, 0,
            "of {CONNECTIONS} on {threads} threads, {connections_max} at a time"
        );
    }
}

/// A thread that waited did not learn that a connection of another thread had closed (issue 13,
/// number 4).
#[test]
fn a_thread_accepts_when_a_connection_of_another_thread_closes() {
    const WAITING: usize = 24;
    let server = serve_waiting(2, 1);
    let mut holder = connect(&server);
    // The connection is not idle, which would have it closed to make room.
    holder.write_all(&[GET, b"G"].concat()).unwrap();
    read_response(&mut holder);
    // The kernel spreads these over both threads.
    let mut streams: Vec<TcpStream> = (0..WAITING).map(|_| connect(&server)).collect();
    for stream in &mut streams {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    }
    drop(holder);
    for stream in &mut streams {
        assert!(read_to_end(stream).ends_with("Try POST /echo"));
    }
    stop(server);
}
