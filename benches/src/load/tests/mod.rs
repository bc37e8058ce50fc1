//! The generator against small servers of `std::net`, one for each behavior.

mod comparing;
mod faults;
mod mixing;
mod pacing;
mod threads;
mod wire;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Short, for tests that wait for it to pass.
const TIMEOUT: Duration = Duration::from_millis(50);

/// A server that calls `serve` for each connection on a thread of its own, with the number of
/// connections before it; and what it counts in `requests`.
struct Server {
    target: Target,
    requests: Arc<AtomicU64>,
}

impl Server {
    fn start(serve: impl Fn(&mut Peer, u64) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&requests);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for (nth, stream) in (0..).zip(listener.incoming()) {
                let (serve, requests) = (Arc::clone(&serve), Arc::clone(&count));
                let mut peer = Peer { stream: stream.unwrap(), pending: Vec::new(), requests };
                peer.stream.set_nodelay(true).unwrap();
                thread::spawn(move || serve(&mut peer, nth));
            }
        });
        let target = Target { addr, request: REQUEST.to_vec(), method_is_head: false };
        Self { target, requests }
    }

    /// A server that answers every request with `answer`, for ever.
    fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |peer, _| while peer.take_request() && peer.say(answer) {})
    }

    /// Connects with `threads` threads, which run on any core.
    fn connect_threads(&self, threads: usize, connections: usize) -> Threads {
        let shape = Shape { connections, ..Shape::default() };
        Threads::connect(&self.target, &shape, &unpinned(threads)).unwrap()
    }

    fn connect(&self, connections: usize, pipeline: usize) -> Generator {
        let shape = Shape { connections, pipeline, requests_per_connection: None };
        Generator::connect(&self.target, &shape).unwrap()
    }

    /// One connection, and little patience.
    fn connect_impatiently(&self) -> Generator {
        let mut generator = self.connect(1, 1);
        generator.set_timeout(TIMEOUT);
        generator
    }

    /// Ten requests, closed loop, one connection: all that the tests of errors need.
    fn run_ten(&self) -> Result<Outcome, LoadError> {
        self.connect(1, 1).run(Pace::Closed, Stop::Requests(10))
    }
}

struct Peer {
    stream: TcpStream,
    pending: Vec<u8>,
    requests: Arc<AtomicU64>,
}

impl Peer {
    /// Waits for a whole request; `false` at the end of the connection.
    fn take_request(&mut self) -> bool {
        while !self.pending.starts_with(REQUEST) {
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(len @ 1..) => self.pending.extend_from_slice(&piece[..len]),
                _ => return false,
            }
        }
        self.pending.drain(..REQUEST.len());
        self.requests.fetch_add(1, Relaxed);
        true
    }

    fn say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Waits until the generator has closed the connection.
    fn wait_for_the_end(&mut self) {
        while matches!(self.stream.read(&mut [0; 4096]), Ok(1..)) {}
    }
}

/// Threads that are not pinned, so that tests beside one another do not wait for one core.
fn unpinned(threads: usize) -> Placement {
    Placement { cores: vec![None; threads], first: 0, total: threads }
}

/// Parses arguments of `load`, for some URL.
pub(super) fn parse_args(args: &str) -> Result<arguments::LoadArgs, String> {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        load: arguments::LoadArgs,
    }
    let args = ["load", "http://127.0.0.1:1/"].into_iter().chain(args.split_whitespace());
    let parsed = <Cli as clap::Parser>::try_parse_from(args);
    parsed.map(|cli| cli.load).map_err(|error| error.to_string())
}

/// A port on which nobody listens, and which nobody else gets while the socket lives.
pub(super) fn held_port() -> (Socket, SocketAddr) {
    let socket = reusable_socket(SocketAddr::from(([127, 0, 0, 1], 0)));
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// Shares its port with others that are willing to, too.
fn reusable_socket(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&addr.into()).unwrap();
    socket
}

#[test]
fn counts_what_the_server_answered() {
    let server = Server::answering(OK);
    let outcome = server.connect(3, 1).run(Pace::Closed, Stop::Requests(100)).unwrap();
    assert_eq!(outcome.requests, 100);
    assert_eq!(server.requests.load(Relaxed), 100);
    assert_eq!(outcome.latency_ns.len(), 100);
    assert_eq!(outcome.bytes_sent, 100 * REQUEST.len() as u64);
    assert_eq!(outcome.bytes_received, 100 * OK.len() as u64);
    assert_eq!((outcome.writes, outcome.connects, outcome.unanswered), (100, 0, 0));
    assert_eq!(outcome.errors, Errors::default());
    assert!(outcome.elapsed > Duration::ZERO);
}

#[test]
fn stops_by_time_with_every_answer_received() {
    let server = Server::answering(OK);
    let time = Duration::from_millis(20);
    let outcome = server.connect(4, 8).run(Pace::Closed, Stop::After(time)).unwrap();
    assert_eq!(outcome.requests, server.requests.load(Relaxed));
    assert!(outcome.elapsed >= time);
}

#[test]
fn sends_a_pipeline_in_one_write() {
    let server = Server::answering(OK);
    let outcome = server.connect(1, 16).run(Pace::Closed, Stop::Requests(160)).unwrap();
    assert_eq!((outcome.requests, outcome.writes), (160, 10));
}

#[test]
fn keeps_its_connections_from_run_to_run() {
    let server = Server::answering(OK);
    let mut generator = server.connect(2, 1);
    for _ in 0..3 {
        let outcome = generator.run(Pace::Closed, Stop::Requests(10)).unwrap();
        assert_eq!((outcome.requests, outcome.connects), (10, 0));
    }
}

#[test]
fn reads_large_chunked_answers_as_they_come() {
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..300 {
        answer.extend_from_slice(b"1000\r\n");
        answer.extend_from_slice(&[b'x'; 0x1000]);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    let outcome = Server::answering(answer.leak()).run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.errors.total()), (10, 0));
}

#[test]
fn reads_answers_that_come_byte_by_byte() {
    let server =
        Server::start(
            |peer, _| {
                while peer.take_request() && OK.iter().all(|&byte| peer.say(&[byte])) {}
            },
        );
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.errors.total()), (10, 0));
}

#[test]
fn sends_large_requests_whatever_the_socket_takes_at_once() {
    let mut request = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5000000\r\n\r\n".to_vec();
    request.resize(request.len() + 5_000_000, b'x');
    let len = request.len();
    let mut server = Server::start(move |peer, _| {
        let mut request = vec![0; len];
        while peer.stream.read_exact(&mut request).is_ok() && peer.say(OK) {}
    });
    server.target.request = request;
    let outcome = server.connect(1, 2).run(Pace::Closed, Stop::Requests(4)).unwrap();
    assert_eq!((outcome.requests, outcome.bytes_sent), (4, 4 * len as u64));
}

#[test]
fn a_close_that_was_announced_is_no_error() {
    let server = Server::start(|peer, _| {
        peer.take_request();
        peer.say(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.connects, outcome.errors.total()), (10, 9, 0));
}

#[test]
fn the_end_of_the_connection_may_end_the_answer() {
    let server = Server::start(|peer, _| {
        peer.take_request();
        peer.say(b"HTTP/1.0 200 OK\r\n\r\nhello");
    });
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.connects, outcome.errors.total()), (10, 9, 0));
}

#[test]
fn requests_pipelined_behind_a_close_are_sent_again() {
    let server = Server::start(|peer, _| {
        for answer in [OK, OK, b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"]
        {
            if !(peer.take_request() && peer.say(answer)) {
                return;
            }
        }
        peer.stream.shutdown(Shutdown::Write).unwrap();
        peer.wait_for_the_end();
    });
    let outcome = server.connect(1, 4).run(Pace::Closed, Stop::Requests(12)).unwrap();
    assert_eq!((outcome.requests, outcome.unanswered, outcome.errors.total()), (12, 0, 0));
    assert_eq!(outcome.connects, 3);
}

#[test]
fn a_connection_closed_between_two_runs_is_opened_again() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::start(move |peer, nth| {
        let requests = if nth == 0 { 10 } else { u64::MAX };
        let mut left = 0..requests;
        while left.next().is_some() && peer.take_request() && peer.say(OK) {}
        peer.stream.shutdown(Shutdown::Both).unwrap();
        tell.send(()).unwrap();
    });
    let mut generator = server.connect(1, 1);
    assert_eq!(generator.run(Pace::Closed, Stop::Requests(10)).unwrap().requests, 10);
    told.recv().unwrap();
    let outcome = generator.run(Pace::Closed, Stop::Requests(10)).unwrap();
    assert_eq!((outcome.requests, outcome.connects, outcome.errors.total()), (10, 1, 0));
}

#[test]
fn a_connection_closed_before_the_first_run_is_opened_again() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::start(move |peer, nth| {
        if nth == 0 {
            peer.stream.shutdown(Shutdown::Both).unwrap();
            return tell.send(()).unwrap();
        }
        while peer.take_request() && peer.say(OK) {}
    });
    let mut generator = server.connect(1, 1);
    told.recv().unwrap();
    let outcome = generator.run(Pace::Closed, Stop::Requests(10)).unwrap();
    assert_eq!((outcome.requests, outcome.connects, outcome.errors.total()), (10, 1, 0));
}

#[test]
fn the_answer_to_head_has_no_body() {
    let mut server = Server::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    server.target.method_is_head = true;
    assert_eq!(server.run_ten().unwrap().requests, 10);
}

#[test]
fn closes_a_connection_after_so_many_requests() {
    let server = Server::answering(OK);
    let three = NonZeroU64::new(3);
    let shape = Shape { connections: 1, pipeline: 2, requests_per_connection: three };
    let mut generator = Generator::connect(&server.target, &shape).unwrap();
    let outcome = generator.run(Pace::Closed, Stop::Requests(10)).unwrap();
    assert_eq!((outcome.requests, outcome.connects, outcome.errors.total()), (10, 3, 0));
    assert_eq!(outcome.writes, 7); // 2 + 1 on each of three connections, and 1
}
