//! Code that the tests share: the core fed from bytes, and clients on real sockets.

pub(crate) mod feed;
pub(crate) mod head;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod response;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use pinloop::http::Service;
use pinloop::{Config, Core, Limits, Server};

pub(crate) use feed::feed;
pub(crate) use probe::APP;
pub(crate) use response::read_response;

/// A GET request for `/`.
pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The `date` line of the core's responses: the example of RFC 9110.
pub(crate) const DATE: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// Time after which a test that waits for something fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Responses on one connection, and the state of the connection after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// The responses without their `date` lines.
    pub(crate) output: String,
    /// `true` if the core asks for the connection to be closed.
    pub(crate) closed: bool,
    /// Number of input bytes that were not consumed.
    pub(crate) rest: usize,
}

/// Feeds `input` to a new connection: pieces of the given lengths first, then the
/// remaining bytes at once.
pub(crate) fn exchange_in<S: Service>(
    service: &mut S,
    limits: &Limits,
    input: &[u8],
    pieces: &[usize],
) -> Exchange {
    let (responses, closed, rest) = feed(service, limits, input, pieces);
    let output = String::from_utf8_lossy(&responses).replace(DATE, "");
    Exchange { output, closed, rest }
}

/// Feeds `input` in one piece to the demo service.
pub(crate) fn exchange(input: &str) -> Exchange {
    exchange_in(&mut APP.clone(), &Limits::default(), input.as_bytes(), &[])
}

/// Returns the status codes of all responses, interim responses included.
pub(crate) fn statuses(exchange: &Exchange) -> Vec<u16> {
    response::statuses(&exchange.output)
}

/// Starts a server on a free port. It has one thread unless `config` says otherwise, and
/// does not pin its threads.
pub(crate) fn serve<S: Service + 'static>(
    config: Config,
    make: impl Fn(Core) -> S + Send + Sync + 'static,
) -> Server {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let threads = config.threads.or(Some(std::num::NonZeroUsize::MIN));
    pinloop::start(&Config { addr, threads, pin: Some(false), ..config }, make)
        .expect("the server starts")
}

/// Starts a server with the demo service, as [`serve`] does.
pub(crate) fn serve_app(config: Config) -> Server {
    serve(config, |_| APP.clone())
}

/// Connects to a server of this process.
pub(crate) fn connect(server: &Server) -> TcpStream {
    connect_to(server.addr())
}

/// Connects, with a read timeout so that a failing test does not hang.
pub(crate) fn connect_to(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Sends `request` and reads until the server closes.
pub(crate) fn talk(server: &Server, request: &[u8]) -> String {
    talk_on(&mut connect(server), request)
}

/// Sends `request` on `stream` and reads until the server closes.
pub(crate) fn talk_on(stream: &mut (impl Read + Write), request: &[u8]) -> String {
    stream.write_all(request).expect("the request is sent");
    read_to_end(stream)
}

/// Reads until the server closes.
pub(crate) fn read_to_end(stream: &mut impl Read) -> String {
    let mut output = Vec::new();
    stream.read_to_end(&mut output).expect("the responses, then the end of the connection");
    String::from_utf8_lossy(&output).into_owned()
}

/// Polls until `is_true` returns `true`. Panics after [`PATIENCE`]; `what` completes the
/// sentence "timed out waiting until".
pub(crate) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Stops the server and waits until it has ended.
pub(crate) fn stop(server: Server) {
    server.stop();
    server.join().expect("the server ends without an error");
}
