//! Memory of a burst of greedy clients returns to the system.
//!
//! Later clients stay connected meanwhile, and their memory lies behind that of the burst. An
//! allocator that only shrinks the end of its heap would keep the memory of the burst.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::support::process::Running;
use crate::support::{GET, read_response, wait_until};

/// Number of greedy clients, and number of patient clients after them.
const CLIENTS: usize = 100;

/// Maximum growth of the server after a burst, in KiB. It covers the patient clients and a
/// buffer that is kept for the next request.
const GROWTH_KIB: u64 = 2048;

#[test]
fn bodies_that_no_route_uses_take_no_memory() {
    let running = Running::start_unpinned(&[]);
    let before = running.rss_kib();
    // The default maximum.
    let body = vec![b'x'; 1024 * 1024];
    let head = format!("POST /data HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| running.connect()).collect();
    for stream in &mut clients {
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[1..]).unwrap();
    }
    for stream in &mut clients {
        stream.write_all(&[&body[..1], GET].concat()).unwrap();
        assert!(read_response(stream).0.starts_with("HTTP/1.1 405 "));
        assert!(read_response(stream).0.starts_with("HTTP/1.1 200 "));
    }
    assert!(running.peak_rss_kib() < before + GROWTH_KIB);
}

#[test]
fn memory_of_unread_responses_returns_to_the_system() {
    let running = Running::start_unpinned(&[]);
    let before = running.rss_kib();
    let addr = running.addr();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect_narrowly(addr)).collect();
    let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    for stream in &mut clients {
        stream.write_all(head).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    // The server buffers about 64 KiB for each client before it stops reading from it.
    let body = [b'x'; 64 * 1024];
    wait_for(&running, "responses are buffered", |rss| {
        for stream in &mut clients {
            while match stream.write(&body) {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                Err(error) => panic!("{error}"),
            } {}
        }
        rss > before + 2 * GROWTH_KIB
    });
    let patient: Vec<TcpStream> = (0..CLIENTS).map(|_| begin_echo(&running)).collect();

    drop(clients);
    wait_for(&running, "the memory returns", |rss| rss < before + GROWTH_KIB);
    drop(patient);
}

#[test]
fn memory_of_many_connections_returns_to_the_system() {
    let running = Running::start_unpinned(&[]);
    let before = running.rss_kib();
    for _ in 0..20 {
        let clients: Vec<TcpStream> = (0..200).map(|_| begin_echo(&running)).collect();
        drop(clients);
    }
    wait_for(&running, "the memory returns", |rss| rss < before + GROWTH_KIB);
}

/// Connects and begins a request. Returns once the server has read its head.
fn begin_echo(running: &Running) -> TcpStream {
    let mut stream = running.connect();
    let head =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head).unwrap();
    let mut output = [0; 25];
    stream.read_exact(&mut output).unwrap();
    assert_eq!(&output, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// Connects with a small receive buffer, so that the server soon buffers the response.
fn connect_narrowly(addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.into()
}

/// Polls until `is_true` returns `true` for the RSS of the server in KiB.
fn wait_for(running: &Running, what: &str, mut is_true: impl FnMut(u64) -> bool) {
    wait_until(what, || is_true(running.rss_kib()));
}

#[test]
fn memory_of_collected_bodies_returns_to_the_system() {
    const BODY_BYTES: usize = 1024 * 1024;
    let running = Running::start_example("faulty");
    let before = running.rss_kib();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    let body = vec![b'x'; BODY_BYTES];
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| running.connect()).collect();
    for stream in &mut clients {
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[1..]).unwrap();
    }
    let collected = (CLIENTS * BODY_BYTES / 1024) as u64;
    wait_for(&running, "all bodies are collected", |rss| rss > before + collected * 9 / 10);
    let patient: Vec<TcpStream> = (0..CLIENTS).map(|_| running.connect()).collect();
    for stream in &mut clients {
        stream.write_all(&body[..1]).unwrap();
        assert!(read_response(stream).0.starts_with("HTTP/1.1 200 "));
    }
    wait_for(&running, "the memory returns", |rss| rss < before + GROWTH_KIB);
    drop(patient);
}
