//! Counts allocations: a request needs none, and neither does an echo in pieces.
//!
//! This is a binary of its own because a process has one allocator. It counts the allocations
//! of threads that opt in. A server's thread does so when it makes its service.

#[path = "support/head.rs"]
mod head;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use pinloop::app::{App, work};
use pinloop::http::{Connection, Context, Date, Next};
use pinloop::{Config, Limits, Server};

use head::{read_head, read_some, split_head};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: each call is passed on to `System` unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

fn count() {
    if COUNTED.get() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const GET: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: pinloop\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n";
const GET_ABSOLUTE: &[u8] = b"GET http://a/ HTTP/1.1\r\nHost: a\r\nUser-Agent: pinloop\r\n\r\n";
const GET_DATA: &[u8] = b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n";
const ECHO: &[u8] = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const ECHO_CHUNKED: &[u8] =
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const ROUNDS: u32 = 10;

/// Maximum number of allocations for a request that arrives in two pieces: the state of the
/// request, and the response that is held back until its body is complete.
const IN_PIECES_MAX: usize = 2;

/// Maximum number of allocations of a server for a large request that arrives in three pieces:
/// those of the core, and kept output that the socket does not take.
const IN_PIECES_SERVER_MAX: usize = 6;

/// Size of the body of a large echo. Its response fills the output buffer once, and the
/// request fits into the input buffer.
const LARGE_BYTES: usize = 64 * 1024;

fn main() {
    // No test harness: the tests share one counter and must run one after the other.
    the_counter_counts();
    the_core_allocates_nothing_for_a_whole_request();
    the_core_allocates_little_for_an_echo_in_pieces();
    a_server_allocates_nothing_for_a_whole_request();
    a_server_allocates_little_for_an_echo_in_pieces();
    println!("5 passed, 0 failed");
}

fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(10)))), 1);
}

fn the_core_allocates_nothing_for_a_whole_request() {
    let (limits, date) = (Limits::default(), Date::at(SystemTime::now()));
    let context = Context::new(&limits, &date);
    let mut connection = Connection::default();
    let mut output = Vec::with_capacity(64 * 1024);
    let mut service = App::new(ROUNDS);
    let big = [
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n".as_slice(),
        &[b'x'; 50_000],
    ]
    .concat();
    for request in [GET, GET_ABSOLUTE, ECHO, ECHO_CHUNKED, &GET.repeat(16), &big] {
        let name = format!("{} bytes: {}", request.len(), String::from_utf8_lossy(&request[..40]));
        let found = allocations(|| {
            output.clear();
            let progress = connection.advance(request, &mut output, &mut service, &context);
            assert_eq!((progress.consumed, progress.next), (request.len(), Next::Read));
        });
        assert_eq!(found, 0, "{name}");
    }
    let of_work = allocations(|| drop(work(ROUNDS)));
    let of_data = allocations(|| {
        output.clear();
        connection.advance(GET_DATA, &mut output, &mut service, &context);
    });
    assert!(of_work > 0);
    assert_eq!(of_data, of_work, "GET /data allocates only in the work function");
}

fn the_core_allocates_little_for_an_echo_in_pieces() {
    let (limits, date) = (Limits::default(), Date::at(SystemTime::now()));
    let context = Context::new(&limits, &date);
    let mut output = Vec::with_capacity(256 * 1024);
    let mut service = App::new(ROUNDS);
    let large = echo(LARGE_BYTES, "");
    let mut chunked =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    chunked.extend(b"100\r\n".iter().chain(&[b'x'; 256]).chain(b"\r\n").cycle().take(263 * 300));
    chunked.extend(b"0\r\n\r\n");
    for (request, name) in [(&large, "a length"), (&chunked, "chunks")] {
        let head_bytes = split_head(request).0.len();
        // Some splits hold the response back, others begin it. Several connections are unfinished.
        for split in [head_bytes, 10_000, 20_000, 65_000, request.len()] {
            let mut connections: [Connection; 4] = Default::default();
            let connections_count = connections.len();
            let mut round = || {
                for piece in [&request[..split], &request[split..]] {
                    for connection in &mut connections {
                        feed(connection, piece, &mut output, &mut service, &context);
                    }
                }
            };
            round();
            let found = allocations(round);
            let most = IN_PIECES_MAX * connections_count;
            assert!(found <= most, "{name}, split at {split}: {found} allocations");
        }
    }
}

/// Advances the connection until it has consumed all of `input`.
fn feed(
    connection: &mut Connection,
    input: &[u8],
    output: &mut Vec<u8>,
    service: &mut App,
    context: &Context<'_>,
) {
    let mut consumed = 0;
    loop {
        output.clear();
        let progress = connection.advance(&input[consumed..], output, service, context);
        consumed += progress.consumed;
        match progress.next {
            Next::Flush => {}
            next => return assert_eq!((consumed, next), (input.len(), Next::Read)),
        }
    }
}

fn a_server_allocates_nothing_for_a_whole_request() {
    let server = serve();
    let mut stream = connect(&server);
    let mut ask = |request: &[u8], responses: usize| {
        stream.write_all(request).expect("the request is sent");
        let (mut output, mut read) = ([0; 8192], 0);
        while output[..read].windows(8).filter(|end| end == b"HTTP/1.1").count() < responses
            || !(output[..read].ends_with(b"echo") || output[..read].ends_with(b"hello"))
        {
            read += read_some(&mut stream, &mut output[read..]).expect("a response");
        }
    };
    // Opens the connection and lets the buffers grow.
    ask(&GET.repeat(16), 16);
    for (request, responses) in [(GET, 1), (ECHO, 1), (&GET.repeat(16)[..], 16)] {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..1_000 {
            ask(request, responses);
        }
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{responses} at a time");
    }
    server.stop();
    server.join().expect("the server ends without an error");
}

fn a_server_allocates_little_for_an_echo_in_pieces() {
    let server = serve();
    let mut stream = connect(&server);
    let whole = echo(LARGE_BYTES, "");
    let expecting = echo(LARGE_BYTES, "Expect: 100-continue\r\n");
    let head_bytes = expecting.len() - LARGE_BYTES;
    let mut body = vec![0; LARGE_BYTES];
    // One write, which the server may read in several pieces.
    let mut at_once = |stream: &mut TcpStream| {
        stream.write_all(&whole).expect("the request is sent");
        assert!(read_head(stream).starts_with("HTTP/1.1 200 "));
        stream.read_exact(&mut body).expect("the echo");
    };
    assert_allocates_little("at once", || at_once(&mut stream));
    let mut rest = vec![0; LARGE_BYTES];
    // Three pieces for certain, because each waits for the response to the piece before.
    let mut in_pieces = |stream: &mut TcpStream| {
        let (begun, rest) = rest.split_at_mut(20_000);
        let (first, second) = expecting[head_bytes..].split_at(begun.len());
        stream.write_all(&expecting[..head_bytes]).expect("the head is sent");
        assert!(read_head(stream).starts_with("HTTP/1.1 100 "));
        stream.write_all(first).expect("the first piece is sent");
        assert!(read_head(stream).starts_with("HTTP/1.1 200 "));
        stream.read_exact(begun).expect("its echo");
        stream.write_all(second).expect("the rest is sent");
        stream.read_exact(rest).expect("its echo");
    };
    assert_allocates_little("in pieces", || in_pieces(&mut stream));
    server.stop();
    server.join().expect("the server ends without an error");
}

/// Asserts that the server allocates little once all buffers have grown.
fn assert_allocates_little(name: &str, mut exchange: impl FnMut()) {
    (0..20).for_each(|_| exchange());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..200).for_each(|_| exchange());
    let found = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert!(found <= 200 * IN_PIECES_SERVER_MAX, "{name}: {found} allocations for 200 requests");
}

/// Starts a server and counts the allocations of its thread.
fn serve() -> Server {
    let config = Config {
        addr: ([127, 0, 0, 1], 0).into(),
        threads: NonZeroUsize::new(1),
        pin: Some(false),
        ..Config::default()
    };
    let make = |_| {
        COUNTED.set(true);
        App::new(ROUNDS)
    };
    pinloop::start(&config, make).expect("the server starts")
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr()).expect("the server accepts");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Returns a request to echo `bytes` bytes, with `lines` added to its head.
fn echo(bytes: usize, lines: &str) -> Vec<u8> {
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: {bytes}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; bytes]].concat()
}

/// Returns the number of allocations of this thread during `run`.
fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    COUNTED.set(true);
    run();
    COUNTED.set(false);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}
