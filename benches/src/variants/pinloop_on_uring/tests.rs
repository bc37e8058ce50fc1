//! The timeouts and limits of the rung, over real sockets.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use super::*;
use rustix::thread::{CpuSet, sched_getaffinity};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Serves with the defaults but for `change`; `None`, and a sentence, without io_uring.
fn start(change: impl FnOnce(&mut Config)) -> Option<SocketAddr> {
    if let Some(reason) = uring::unavailable() {
        println!("not tested: {reason}");
        return None;
    }
    let allowed = sched_getaffinity(None).unwrap();
    let cores = vec![(0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).unwrap()];
    let settings =
        Settings { address: ([127, 0, 0, 1], 0).into(), cores, rounds: 1, connections: 0 };
    let mut config = config(&settings);
    change(&mut config);
    let (ready, address) = mpsc::channel();
    thread::spawn(move || {
        let announce = |address: SocketAddr| ready.send(address).unwrap();
        serve_with(&config, &settings, &announce).unwrap();
    });
    Some(address.recv().unwrap())
}

fn read_to_end(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

const SHORT: Duration = Duration::from_millis(100);

#[test]
fn an_idle_connection_is_closed() {
    let Some(address) = start(|config| config.timeouts.idle = SHORT) else { return };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(GET).unwrap();
    let answer = read_to_end(&mut stream);
    assert!(answer.ends_with("Try POST /echo"), "{answer}");
}

#[test]
fn a_request_that_does_not_arrive_gets_408() {
    let slow = |config: &mut Config| {
        config.timeouts.head = SHORT;
        config.timeouts.body = SHORT;
    };
    let Some(address) = start(slow) else { return };
    let body = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhell";
    for unfinished in [&GET[..GET.len() - 1], body] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(unfinished).unwrap();
        let answer = read_to_end(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[test]
fn a_connection_without_a_request_is_closed_without_a_response() {
    let Some(address) = start(|config| config.timeouts.head = SHORT) else { return };
    assert_eq!(read_to_end(&mut TcpStream::connect(address).unwrap()), "");
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let Some(address) = start(|config| config.timeouts.write = SHORT) else { return };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let error = loop {
        if let Err(error) = stream.write_all(&GET.repeat(100)) {
            break error;
        }
    };
    let closed = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    assert!(closed.contains(&error.kind()), "{error}");
}

#[test]
fn a_connection_beyond_the_limit_gets_503() {
    let Some(address) = start(|config| config.connections_max = 1) else { return };
    let _first = TcpStream::connect(address).unwrap();
    let answer = read_to_end(&mut TcpStream::connect(address).unwrap());
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}
