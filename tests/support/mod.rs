//! What the tests share: the core fed from bytes alone, and clients on real
//! sockets.

pub(crate) mod feed;
pub(crate) mod probe;
pub(crate) mod process;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pinloop::http::Service;
use pinloop::{Config, Core, Limits, Server};

pub(crate) use feed::feed;
pub(crate) use probe::APP;

/// The `date` line of [`exchange`]: RFC 9110's example, so that answers are fixed bytes.
pub(crate) const DATE: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// What a connection answered, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// The answers with the `date` line taken out.
    pub(crate) output: String,
    /// The connection is to be closed.
    pub(crate) closed: bool,
    /// Bytes of the input that were not consumed.
    pub(crate) rest: usize,
}

/// Feeds `input` to a new connection, in pieces of the given lengths and the rest
/// whole.
pub(crate) fn exchange_in<S: Service>(
    service: &mut S,
    limits: &Limits,
    input: &[u8],
    pieces: &[usize],
) -> Exchange {
    let (answers, closed, rest) = feed(service, limits, input, pieces);
    let output = String::from_utf8_lossy(&answers).replace(DATE, "");
    Exchange { output, closed, rest }
}

/// Feeds `input` whole to the service under test.
pub(crate) fn exchange(input: &str) -> Exchange {
    exchange_in(&mut APP.clone(), &Limits::default(), input.as_bytes(), &[])
}

/// The status codes of all answers, interim ones too.
pub(crate) fn statuses(exchange: &Exchange) -> Vec<u16> {
    let lines = exchange.output.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line[..3].parse().expect("a status code")).collect()
}

/// A server of its own on a free port, with one thread that isn't pinned.
pub(crate) fn serve<S: Service + 'static>(
    config: Config,
    make: impl Fn(Core) -> S + Send + Sync + 'static,
) -> Server {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let threads = config.threads.or(Some(std::num::NonZeroUsize::MIN));
    pinloop::start(&Config { addr, threads, pin: false, ..config }, make)
        .expect("the server starts")
}

/// As [`serve`], with the service under test.
pub(crate) fn serve_app(config: Config) -> Server {
    serve(config, |_| APP.clone())
}

/// Connects, with a time limit on reads so that a test that fails does not hang.
pub(crate) fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr()).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Sends `request` and reads until the server closes.
pub(crate) fn talk(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(request).expect("the request is sent");
    read_to_end(&mut stream)
}

/// Reads until the server closes.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer, then the end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with a content-length; head and content.
pub(crate) fn read_answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        // Unlike `read`, not ended by a signal.
        let read = stream.read_exact(&mut byte);
        read.unwrap_or_else(|error| panic!("{error} in a head: {head:?}"));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head of text");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |n| n.parse().unwrap());
    let mut content = vec![0; length];
    stream.read_exact(&mut content).expect("the content");
    (head, content)
}

/// Stops the server and waits for it.
pub(crate) fn stop(server: Server) {
    server.stop();
    server.join().expect("the server ends well");
}
