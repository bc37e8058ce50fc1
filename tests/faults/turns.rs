//! One connection that pipelines must not hold its loop.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pinloop::http::{BodyWriter, Piece};
use pinloop::{BodyPolicy, Config, Request, Response, Service};

use crate::support::{GET, connect, read_response, serve, stop};

/// Maximum number of requests that one turn of a connection answers.
const TURN_MAX: usize = 32;

/// Counts requests, and blocks the loop at a request for `/hold`.
struct Counting {
    begin: mpsc::Sender<()>,
    released: Arc<Mutex<mpsc::Receiver<()>>>,
    served: usize,
    /// Time that each request takes.
    work: Duration,
}

impl Service for Counting {
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        if request.path() == "/hold" {
            self.begin.send(()).unwrap();
            self.released.lock().unwrap().recv().unwrap();
        }
        let begun = Instant::now();
        while begun.elapsed() < self.work {}
        response.body(self.served.to_string().as_bytes());
        self.served += 1;
    }

    fn body_policy(&mut self, request: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
        if request.path() != "/stream" {
            return BodyPolicy::Collect;
        }
        self.served += 1;
        let receiver = |piece: Option<&Piece<'_>>, body: &mut BodyWriter<'_>| {
            piece.into_iter().for_each(|piece| body.write_piece(piece));
        };
        BodyPolicy::Stream { length: None, receiver: Box::new(receiver) }
    }
}

/// Returns the number of requests that are answered before the one of a polite client, while
/// `clients` clients have pipelined enough copies of `request` to fill a read.
fn served_before_polite(clients: usize, request: &[u8], work: Duration) -> usize {
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let server = serve(Config::default(), move |_| Counting {
        begin: begin.clone(),
        released: released.clone(),
        served: 0,
        work,
    });
    let mut greedy: Vec<TcpStream> = (0..clients).map(|_| connect(&server)).collect();
    let mut polite = connect(&server);
    for stream in greedy.iter_mut().chain([&mut polite]) {
        stream.write_all(GET).unwrap();
        read_response(stream);
    }
    let mut holder = connect(&server);
    holder.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    begun.recv().unwrap();
    // The loop is blocked, so all requests are there when it goes on.
    let copies = 64 * 1024 / request.len();
    greedy.iter_mut().for_each(|stream| stream.write_all(&request.repeat(copies)).unwrap());
    polite.write_all(GET).unwrap();
    release.send(()).unwrap();
    let served: usize = String::from_utf8(read_response(&mut polite).1).unwrap().parse().unwrap();
    drop((greedy, holder));
    stop(server);
    served - (clients + 1)
}

const REQUESTS: [&[u8]; 4] = [
    GET,
    b"POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    b"POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    b"POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
];

/// A turn answered a whole read of some 2,500 requests, so that a client beside one that
/// pipelines waited 20 ms (issue 13, number 2).
#[test]
fn one_pipelining_connection_does_not_hold_its_loop() {
    for request in REQUESTS {
        let before = served_before_polite(1, request, Duration::ZERO);
        assert!(before <= 1 + 2 * TURN_MAX, "{before} requests before the polite one");
    }
}

/// Beside 16 pipelining clients with 100 us of work for each request, a client got no response
/// within 4 s (issue 13, number 2).
#[test]
fn pipelined_work_does_not_hold_the_loop() {
    const CLIENTS: usize = 16;
    for work in [Duration::ZERO, Duration::from_micros(100)] {
        let before = served_before_polite(CLIENTS, GET, work);
        let most = 1 + 2 * CLIENTS * TURN_MAX;
        assert!(before <= most, "{before} requests of {work:?} before the polite one");
    }
}

/// The budget of a turn must not lose requests: all of them are answered, in order.
#[test]
fn turns_of_a_budget_answer_all_pipelined_requests_in_order() {
    const COUNT: usize = 5_000;
    let server = serve(Config::default(), |_| {
        |request: &Request<'_>, response: &mut Response<'_>| {
            response.body(request.query().unwrap_or_default().as_bytes());
        }
    });
    let requests: String =
        (0..COUNT).map(|n| format!("GET /?{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || writer.write_all(requests.as_bytes()).unwrap());
    for n in 0..COUNT {
        assert_eq!(read_response(&mut stream).1, n.to_string().as_bytes());
    }
    sender.join().unwrap();
    stop(server);
}
