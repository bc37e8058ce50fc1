//! The generator against small servers of `std::net`, each of which does one thing.

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

fn errors_without_an_answer(run: Result<Outcome, LoadError>) -> Errors {
    match run {
        Err(LoadError::NoAnswer { errors, .. }) => errors,
        Err(error) => panic!("{error}"),
        Ok(outcome) => panic!("{} answers", outcome.requests),
    }
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
fn what_was_pipelined_behind_a_close_is_sent_again() {
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
fn a_server_that_closes_without_an_answer_is_an_error_each_time() {
    let server = Server::start(|peer, nth| {
        if nth > 0 {
            peer.take_request();
            return;
        }
        peer.take_request();
        peer.say(OK);
        peer.take_request();
    });
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.unanswered), (1, 9));
    assert_eq!(outcome.errors, Errors { closed_early: 9, ..Errors::default() });
    assert_eq!(
        outcome.first_error.as_deref(),
        Some("the server closed the connection without an answer")
    );
}

#[test]
fn a_server_that_closes_amid_an_answer_is_an_error() {
    let server = Server::start(|peer, nth| {
        while peer.take_request() && peer.say(&OK[..OK.len() - (nth == 0) as usize]) && nth > 0 {}
    });
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.errors.closed_early), (9, 1));
    assert_eq!(
        outcome.first_error.as_deref(),
        Some("the server closed the connection amid an answer")
    );
}

#[test]
fn a_server_that_hangs_is_timed_out() {
    let server = Server::start(|peer, nth| {
        while peer.take_request() {
            if nth == 0 {
                return peer.wait_for_the_end();
            }
            peer.say(OK);
        }
    });
    let outcome = server.connect_impatiently().run(Pace::Closed, Stop::Requests(10)).unwrap();
    // One, unless this machine pauses.
    assert!(outcome.errors.timeout >= 1);
    assert_eq!(outcome.unanswered, outcome.errors.timeout);
    assert_eq!(outcome.requests + outcome.unanswered, 10);
}

#[test]
fn a_run_ends_though_the_last_answer_never_does() {
    let server = Server::start(|peer, _| {
        peer.take_request();
        peer.say(b"HTTP/1.1 200 OK\r\n\r\n");
        while peer.say(b"for ever") {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let run = server.connect_impatiently().run(Pace::Closed, Stop::Requests(1));
    let errors = errors_without_an_answer(run);
    assert_eq!(errors.timeout, 1);
}

#[test]
fn nonsense_is_malformed_and_no_figure() {
    let server = Server::answering(b"SSH-2.0-OpenSSH_9.2\r\n");
    let error = server.run_ten().unwrap_err();
    let LoadError::NoAnswer { errors, .. } = error else { panic!("{error}") };
    assert_eq!(errors, Errors { malformed: 10, ..Errors::default() });
    assert_eq!(
        error.to_string(),
        "nothing was measured: the answer is malformed: it doesn't begin with an HTTP/1 status \
         line (10 errors in all)"
    );
}

#[test]
fn more_answers_than_requests_are_malformed() {
    let run = Server::answering([OK, OK].concat().leak()).run_ten().unwrap();
    assert_eq!((run.requests, run.errors.malformed), (10, 10));
}

#[test]
fn answers_other_than_2xx_are_counted_and_named() {
    let server = Server::answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.errors.status), (10, 10));
    assert_eq!(outcome.first_error.as_deref(), Some("the answer's status was 404"));
}

#[test]
fn a_reset_is_told_from_a_close() {
    let server = Server::start(|peer, nth| {
        while peer.take_request() {
            if nth == 0 {
                socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
            peer.say(OK);
        }
    });
    let outcome = server.run_ten().unwrap();
    assert_eq!(outcome.errors, Errors { reset: 1, ..Errors::default() });
}

#[test]
fn a_server_that_is_gone_ends_the_run() {
    let (_held, addr) = held_port();
    let listener = reusable_socket(addr);
    listener.listen(1).unwrap();
    let target = Target { addr, request: REQUEST.to_vec(), method_is_head: false };
    let shape = Shape { connections: 1, ..Shape::default() };
    let mut generator = Generator::connect(&target, &shape).unwrap();
    generator.set_timeout(TIMEOUT);
    drop(listener);
    let run = generator.run(Pace::Closed, Stop::Requests(u64::MAX));
    let errors = errors_without_an_answer(run);
    assert!(errors.refused > 0);
    assert_eq!(errors.total(), errors.refused + errors.reset + errors.closed_early);
}

#[test]
fn nobody_listening_is_said_at_once() {
    let (_held, addr) = held_port();
    let target = Target { addr, request: REQUEST.to_vec(), method_is_head: false };
    let error = Generator::connect(&target, &Shape::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {addr}: the connection was refused"));
}

#[test]
fn what_cannot_be_is_refused() {
    let server = Server::answering(OK);
    let connect = |shape: Shape| Generator::connect(&server.target, &shape).map(drop);
    let none = server.connect(0, 1).run(Pace::Closed, Stop::Requests(1));
    assert!(matches!(none, Err(LoadError::EmptyShape)));
    let none = server.connect(1, 1).run(Pace::Rate(0.0), Stop::Requests(1));
    assert!(matches!(none, Err(LoadError::Rate(0.0))));
    let none = connect(Shape { pipeline: 0, ..Shape::default() });
    assert!(matches!(none, Err(LoadError::EmptyShape)));
    let empty = Target { request: Vec::new(), ..server.target.clone() };
    let none = Generator::connect(&empty, &Shape::default());
    assert!(matches!(none, Err(LoadError::EmptyRequest)));
    let many = connect(Shape { connections: 1 << 40, ..Shape::default() });
    assert!(matches!(many, Err(LoadError::Descriptors { .. })));
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

#[test]
fn at_a_rate_every_request_is_sent_once() {
    let server = Server::answering(OK);
    let mut generator = server.connect(4, 1);
    let outcome = generator.run(Pace::Rate(1e5), Stop::Requests(500)).unwrap();
    assert_eq!((outcome.requests, outcome.unsent), (500, 0));
    let time = Duration::from_millis(20);
    let outcome = generator.run(Pace::Rate(1000.0), Stop::After(time)).unwrap();
    assert_eq!((outcome.requests + outcome.unsent, outcome.errors.total()), (20, 0));
    assert!(outcome.elapsed >= time);
}

#[test]
fn at_a_rate_the_wait_for_a_free_connection_is_latency() {
    let pause = Duration::from_millis(40);
    let first = AtomicU64::new(0);
    let server = Server::start(move |peer, _| {
        while peer.take_request() {
            if first.fetch_add(1, Relaxed) == 0 {
                thread::sleep(pause);
            }
            peer.say(OK);
        }
    });
    // The eleventh starts 10 ms after the first, which takes 40 ms.
    let outcome = server.connect(1, 1).run(Pace::Rate(1000.0), Stop::Requests(11)).unwrap();
    assert_eq!(outcome.requests, 11);
    assert!(outcome.latency_ns.min() >= 29_000_000, "{}", outcome.latency_ns.min());
}

#[test]
fn what_a_rate_made_due_and_nobody_could_send_is_counted() {
    let server = Server::start(|peer, _| {
        peer.take_request();
        thread::sleep(Duration::from_millis(30));
        peer.say(OK);
    });
    let mut generator = server.connect(1, 1);
    let stop = Stop::After(Duration::from_millis(20));
    let outcome = generator.run(Pace::Rate(1000.0), stop).unwrap();
    assert_eq!(outcome.requests + outcome.unsent, 20);
    assert!(outcome.unsent >= 19);
}

#[test]
fn clients_arrive_and_stay_to_the_end() {
    let server = Server::answering(OK);
    let first = Phase { clients_per_second: 200.0, lasts: Duration::from_millis(50) };
    let then = Phase { clients_per_second: 500.0, lasts: Duration::from_secs(3600) };
    let arrivals = Arrivals { phases: vec![first, then], clients_max: 15 };
    let mut snapshots = Vec::new();
    let mut tell = |snapshot: &Snapshot| {
        snapshots.push(*snapshot);
        if snapshot.clients < 15 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let watch = Watch::new(Duration::from_millis(10), &mut tell);
    let mut generator = server.connect(0, 1);
    let outcome = generator.run_arrivals(&arrivals, watch).unwrap();
    assert_eq!((outcome.connects, outcome.errors.total()), (15, 0));
    assert_eq!(outcome.requests, server.requests.load(Relaxed));
    let told: u64 = snapshots.iter().map(|snapshot| snapshot.requests).sum();
    assert_eq!(told, outcome.requests);
    assert!(snapshots.is_sorted_by_key(|snapshot| snapshot.clients));
}

#[test]
fn who_watches_may_end_the_run() {
    let server = Server::answering(OK);
    let mut told = 0;
    let mut tell = |_: &Snapshot| {
        told += 1;
        ControlFlow::Break(())
    };
    let watch = Watch::new(Duration::from_millis(1), &mut tell);
    let stop = Stop::After(Duration::from_secs(3600));
    let outcome = server.connect(2, 1).run_watched(Pace::Closed, stop, watch).unwrap();
    assert_eq!(outcome.requests, server.requests.load(Relaxed));
    assert!(outcome.elapsed < Duration::from_secs(3600));
    assert_eq!(told, 2); // and once at the end
}
