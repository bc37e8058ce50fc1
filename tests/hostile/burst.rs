//! What a burst of greedy clients took goes back to the system, also where others who came
//! after them stay, and have the end of an arena.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::process::Running;

/// Clients of a burst, and as many patient ones after them.
const CLIENTS: usize = 100;

/// By how much the server may be larger after a burst, in KiB: what the patient ones hold,
/// and a buffer that is left to the next request.
const GROWTH_KIB: u64 = 2048;

/// Content that is collected, in bytes: as much as may be.
const CONTENT_BYTES: usize = 1024 * 1024;

#[test]
fn content_that_was_collected_goes_back_to_the_system() {
    let running = Running::start(&["--threads", "1", "--no-pin"]);
    let before = running.rss_kib();
    let head = format!("POST /data HTTP/1.1\r\nHost: a\r\nContent-Length: {CONTENT_BYTES}\r\n\r\n");
    let content = vec![b'x'; CONTENT_BYTES];
    let mut patient = Vec::new();
    // Twice, as glibc learns from the first time to have such blocks in its arenas.
    for _ in 0..2 {
        let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| running.connect()).collect();
        for stream in &mut clients {
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&content[1..]).unwrap();
        }
        let most = (CLIENTS * CONTENT_BYTES / 1024) as u64;
        wait_for(&running, "all content is kept", |rss| rss > before + most);
        patient.extend((0..CLIENTS).map(|_| begin_echo(&running)));

        // Half of them are answered, and the others leave.
        for stream in clients.iter_mut().step_by(2) {
            stream.write_all(&content[..1]).unwrap();
            let mut answer = [0; 1024];
            let read = stream.read(&mut answer).unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 405 "));
        }
        drop(clients);
        wait_for(&running, "it is given back", |rss| rss < before + GROWTH_KIB);
    }
}

#[test]
fn answers_that_nobody_reads_go_back_to_the_system() {
    let running = Running::start(&["--threads", "1", "--no-pin"]);
    let before = running.rss_kib();
    let addr = running.addr().parse().unwrap();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect_narrowly(addr)).collect();
    let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    for stream in &mut clients {
        stream.write_all(head).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    // Each has some 64 KiB kept for it once nothing more is taken from it.
    let content = [b'x'; 64 * 1024];
    wait_for(&running, "answers are kept", |rss| {
        for stream in &mut clients {
            while match stream.write(&content) {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                Err(error) => panic!("{error}"),
            } {}
        }
        rss > before + 2 * GROWTH_KIB
    });
    let patient: Vec<TcpStream> = (0..CLIENTS).map(|_| begin_echo(&running)).collect();

    drop(clients);
    wait_for(&running, "they are given back", |rss| rss < before + GROWTH_KIB);
    drop(patient);
}

#[test]
fn what_many_connections_took_goes_back_to_the_system() {
    let running = Running::start(&["--threads", "1", "--no-pin"]);
    let before = running.rss_kib();
    for _ in 0..20 {
        let clients: Vec<TcpStream> = (0..200).map(|_| begin_echo(&running)).collect();
        drop(clients);
    }
    wait_for(&running, "it is given back", |rss| rss < before + GROWTH_KIB);
}

/// A client that has begun a request, and been heard.
fn begin_echo(running: &Running) -> TcpStream {
    let mut stream = running.connect();
    let head =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head).unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// A client that can take little, so that it is soon the server that keeps the rest.
fn connect_narrowly(addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.into()
}

/// Polls the server's RSS until `is_so` of it, in KiB.
fn wait_for(running: &Running, what: &str, mut is_so: impl FnMut(u64) -> bool) {
    let begun = Instant::now();
    loop {
        let rss = running.rss_kib();
        if is_so(rss) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not so at {rss} KiB");
        thread::sleep(Duration::from_millis(10));
    }
}
