//! One client cannot take every connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pinloop::{Config, Listeners, Server, UnixSocket, WhenFull};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::process::Running;
use crate::support::response::try_read_response;
use crate::support::{
    APP, GET, PATIENCE, connect, connect_to, read_response, read_to_end, serve_app, stop,
    wait_until,
};

const CONNECTIONS_MAX: usize = 40;

fn serve_few(threads: usize, when_full: WhenFull) -> Server {
    let threads = NonZeroUsize::new(threads);
    serve_app(Config { connections_max: CONNECTIONS_MAX, threads, when_full, ..Config::default() })
}

/// Returns a connection that has got a response and is idle.
fn idle(addr: SocketAddr) -> TcpStream {
    let mut stream = connect_to(addr);
    stream.write_all(GET).unwrap();
    assert!(read_response(&mut stream).0.starts_with("HTTP/1.1 200 "));
    stream
}

/// With 10,000 idle connections of one client, every other client got 503 for up to 75 s
/// (issue 13, number 5).
#[test]
fn idle_connections_make_room_for_new_clients() {
    for when_full in [WhenFull::Shed, WhenFull::Wait] {
        for threads in [1, 2] {
            let evicted = evicted_for(NEW_CLIENTS, threads, when_full);
            assert_eq!(evicted, NEW_CLIENTS, "{when_full:?}, {threads} threads");
        }
    }
}

const NEW_CLIENTS: usize = 5;

/// Returns the number of idle connections that close for `new` clients. Panics if one of the
/// new clients is not served.
fn evicted_for(new: usize, threads: usize, when_full: WhenFull) -> usize {
    let server = serve_few(threads, when_full);
    let mut hoard: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| idle(server.addr())).collect();
    let mut others: Vec<TcpStream> = (0..new).map(|_| idle(server.addr())).collect();
    for stream in &mut others {
        stream.write_all(GET).unwrap();
        assert_eq!(read_response(stream).1, b"Try POST /echo");
    }
    let is_closed = |stream: &mut TcpStream| {
        let _ = stream.write_all(GET);
        try_read_response(stream).is_none()
    };
    let evicted = hoard.iter_mut().map(is_closed).filter(|&is_closed| is_closed).count();
    stop(server);
    evicted
}

/// A client at either kind of socket.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Returns a server with 8 threads, and a function that connects to it.
fn serve_on(is_unix: bool, when_full: WhenFull) -> (Server, Box<dyn Fn() -> Box<dyn Stream>>) {
    let (connections_max, threads) = (CROWD, NonZeroUsize::new(8));
    let mut config = Config { connections_max, threads, when_full, ..Config::default() };
    // No timeout makes room.
    config.timeouts.head = Duration::from_secs(3_600);
    if !is_unix {
        let server = serve_app(config);
        let addr = server.addr();
        return (server, Box::new(move || Box::new(connect_to(addr))));
    }
    let name = format!("pinloop-eviction-{}-{when_full:?}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let listeners = Listeners::bind_unix(&UnixSocket::new(&path), 64).unwrap();
    let config = Config { pin: Some(false), ..config };
    let server = pinloop::start_on(listeners, &config, |_| APP.clone()).unwrap();
    let connect = move || {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Box::new(stream) as Box<dyn Stream>
    };
    (server, Box::new(connect))
}

/// Limit of the connections in the next test.
const CROWD: usize = 16;

/// Four threads accept from a Unix socket, and closed only their own idle connections: of 16 new
/// clients 10 got 503, or waited without an end, beside idle connections of other threads. The same
/// happened at a TCP port whose listeners got unequal shares.
#[test]
fn idle_connections_of_every_thread_make_room() {
    for when_full in [WhenFull::Shed, WhenFull::Wait] {
        for is_unix in [true, false] {
            let (server, connect) = serve_on(is_unix, when_full);
            let ask = |request: &[u8]| {
                let mut stream = connect();
                stream.write_all(request).unwrap();
                let (head, _) = read_response(&mut stream);
                (head[9..12].to_string(), stream)
            };
            let idle: Vec<_> = (0..CROWD).map(|_| ask(GET).1).collect();
            // The beginning of a second request keeps them from making room for each other.
            let busy: Vec<_> = (0..CROWD).map(|_| ask(&[GET, b"GET"].concat())).collect();
            let statuses: Vec<&str> = busy.iter().map(|(status, _)| status.as_str()).collect();
            assert_eq!(statuses, ["200"; CROWD], "{when_full:?}, Unix socket: {is_unix}");
            if when_full == WhenFull::Shed {
                assert_eq!(ask(GET).0, "503", "all connections are in use");
            }
            drop((idle, busy));
            stop(server);
        }
    }
}

/// The connection that has been idle longest closes first (issue 13, number 5).
#[test]
fn the_connection_that_is_idle_longest_closes_first() {
    let server = serve_few(1, WhenFull::Shed);
    let mut hoard: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| idle(server.addr())).collect();
    let (first, last) = hoard.split_at_mut(CONNECTIONS_MAX / 2);
    let mut new = Vec::new();
    for (n, stream) in first.iter_mut().enumerate() {
        new.push(idle(server.addr()));
        assert_eq!(read_to_end(stream), "", "connection {n} closes");
    }
    for stream in new.iter_mut().chain(last) {
        stream.write_all(GET).unwrap();
        assert_eq!(read_response(stream).1, b"Try POST /echo");
    }
    stop(server);
}

/// Connections that have never sent anything are as idle as others (issue 13, number 5).
#[test]
fn silent_connections_make_room_for_new_clients() {
    let mut config = Config { connections_max: CONNECTIONS_MAX, ..Config::default() };
    // No timeout makes room.
    config.timeouts.head = Duration::from_secs(3_600);
    let server = serve_app(config);
    let silent: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| connect(&server)).collect();
    // A new connection has a moment to send its first request.
    wait_until("a silent connection makes room", || {
        let mut stream = connect(&server);
        let _ = stream.write_all(GET);
        let response = try_read_response(&mut stream);
        response.is_some_and(|(head, _)| head.starts_with("HTTP/1.1 200 "))
    });
    drop(silent);
    stop(server);
}

/// Only idle connections make room: a request in progress is not cut off for a new client.
#[test]
fn unfinished_requests_do_not_make_room() {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let server = serve_few(1, WhenFull::Shed);
    let mut busy: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| connect(&server)).collect();
    for (n, stream) in busy.iter_mut().enumerate() {
        // The response proves that the server has read the beginning of the request behind it.
        let begun = &head.as_bytes()[..head.len() - n % 30];
        stream.write_all(&[GET, begun].concat()).unwrap();
        read_response(stream);
    }
    for _ in 0..5 {
        let mut stream = connect(&server);
        let _ = stream.write_all(GET);
        let response = try_read_response(&mut stream);
        assert!(response.is_none_or(|(head, _)| head.starts_with("HTTP/1.1 503 ")));
    }
    for (n, stream) in busy.iter_mut().enumerate() {
        let rest = &head[head.len() - n % 30..];
        stream.write_all(format!("{rest}hello").as_bytes()).unwrap();
        assert_eq!(read_response(stream).1, b"hello");
    }
    stop(server);
}

/// A health check got 503 while one client held all connections (issue 13, number 5).
#[test]
fn a_health_check_is_answered_while_one_client_holds_all_connections() {
    let running = Running::start_unpinned(&["--max-connections", "300"]);
    let _hoard: Vec<TcpStream> = (0..300).map(|_| idle(running.addr())).collect();
    for _ in 0..3 {
        let mut stream = running.connect();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(read_response(&mut stream).0.starts_with("HTTP/1.1 200 "));
    }
}

/// Connects from an address of this machine.
fn connect_from(client: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::from(SocketAddr::from((client, 0)))).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// A client could take every connection, because there was no limit for each client (issue 13,
/// number 5).
#[test]
fn one_client_has_at_most_its_share_of_the_connections() {
    for threads in [1, 2] {
        let connections_per_client_max = NonZeroUsize::new(4);
        let threads = NonZeroUsize::new(threads);
        let config = Config { connections_per_client_max, threads, ..Config::default() };
        let server = serve_app(config);
        let status = |client: [u8; 4]| {
            let mut stream = connect_from(client, server.addr());
            let _ = stream.write_all(GET);
            let response = try_read_response(&mut stream);
            (response.map(|(head, _)| head[9..12].to_string()), stream)
        };
        let mut hoard = Vec::new();
        for n in 0..40 {
            let (found, stream) = status([127, 0, 0, 1]);
            match n {
                0..4 => assert_eq!(found.as_deref(), Some("200"), "connection {n}"),
                _ => assert_ne!(found.as_deref(), Some("200"), "connection {n}"),
            }
            hoard.push(stream);
        }
        for _ in 0..4 {
            let (found, stream) = status([127, 0, 0, 2]);
            assert_eq!(found.as_deref(), Some("200"), "another client");
            hoard.push(stream);
        }
        drop(hoard);
        wait_until("closed connections are no longer counted", || {
            status([127, 0, 0, 1]).0.as_deref() == Some("200")
        });
        stop(server);
    }
}
