//! A request allocates nothing, nor does an echo whose content comes in pieces: counted,
//! not believed.
//!
//! A binary of its own, as there is one allocator in a process. It counters what
//! threads allocate that have asked for it, which a server's thread does when it
//! makes its service.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use pinloop::app::{App, work};
use pinloop::http::{Connection, Context, Date, Next, Spares};
use pinloop::{Config, Limits, Server};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: as `System`, which does all the work.
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

/// The content of a large echo: so much that its answer fills the output once, and less
/// than the input takes.
const LARGE_BYTES: usize = 64 * 1024;

fn main() {
    // One after the other, as the counter is one: no test harness.
    the_counter_counts();
    the_core_allocates_nothing_for_a_whole_request();
    the_core_allocates_nothing_for_an_echo_in_pieces();
    a_server_allocates_nothing_for_a_whole_request();
    a_server_allocates_nothing_for_an_echo_in_pieces();
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
    assert_eq!(of_data, of_work, "GET /data allocates what the work function does");
}

fn the_core_allocates_nothing_for_an_echo_in_pieces() {
    let (limits, date, spares) =
        (Limits::default(), Date::at(SystemTime::now()), Spares::default());
    let context = Context { spares: Some(&spares), ..Context::new(&limits, &date) };
    let mut output = Vec::with_capacity(256 * 1024);
    let mut service = App::new(ROUNDS);
    let large = echo(LARGE_BYTES, "");
    let mut chunked =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    chunked.extend(b"100\r\n".iter().chain(&[b'x'; 256]).chain(b"\r\n").cycle().take(263 * 300));
    chunked.extend(b"0\r\n\r\n");
    for (request, name) in [(&large, "a length"), (&chunked, "chunks")] {
        let head_bytes = request.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        // Held back or begun, and with several connections in the midst of it.
        for split in [head_bytes, 10_000, 20_000, 65_000, request.len()] {
            let mut connections: [Connection; 4] = Default::default();
            let mut round = || {
                for piece in [&request[..split], &request[split..]] {
                    for connection in &mut connections {
                        feed(connection, piece, &mut output, &mut service, &context);
                    }
                }
            };
            round();
            assert_eq!(allocations(round), 0, "{name}, split at {split}");
        }
    }
}

/// Has the connection take all of the input, as often as it must be told to.
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
    let mut ask = |request: &[u8], answers: usize| {
        stream.write_all(request).expect("sent");
        let (mut answer, mut read) = ([0; 8192], 0);
        while answer[..read].windows(8).filter(|end| end == b"HTTP/1.1").count() < answers
            || !(answer[..read].ends_with(b"echo") || answer[..read].ends_with(b"hello"))
        {
            read += stream.read(&mut answer[read..]).expect("an answer");
        }
    };
    // The buffers grow and the connection is opened.
    ask(&GET.repeat(16), 16);
    for (request, answers) in [(GET, 1), (ECHO, 1), (&GET.repeat(16)[..], 16)] {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..1_000 {
            ask(request, answers);
        }
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{answers} at a time");
    }
    server.stop();
    server.join().expect("the server ends well");
}

fn a_server_allocates_nothing_for_an_echo_in_pieces() {
    let server = serve();
    let mut stream = connect(&server);
    let whole = echo(LARGE_BYTES, "");
    let expecting = echo(LARGE_BYTES, "Expect: 100-continue\r\n");
    let head_bytes = expecting.len() - LARGE_BYTES;
    let head = |stream: &mut TcpStream| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("a head of text")
    };
    let mut content = vec![0; LARGE_BYTES];
    // In one write, which may be read in one piece or in several.
    let mut at_once = |stream: &mut TcpStream| {
        stream.write_all(&whole).expect("sent");
        assert!(head(stream).starts_with("HTTP/1.1 200 "));
        stream.read_exact(&mut content).expect("the echo");
    };
    assert_allocates_nothing("at once", || at_once(&mut stream));
    let mut rest = vec![0; LARGE_BYTES];
    // In three pieces for certain, as each waits for what is said to the one before.
    let mut in_pieces = |stream: &mut TcpStream| {
        let (begun, rest) = rest.split_at_mut(20_000);
        let (first, second) = expecting[head_bytes..].split_at(begun.len());
        stream.write_all(&expecting[..head_bytes]).expect("the head is sent");
        assert!(head(stream).starts_with("HTTP/1.1 100 "));
        stream.write_all(first).expect("the first content is sent");
        assert!(head(stream).starts_with("HTTP/1.1 200 "));
        stream.read_exact(begun).expect("its echo");
        stream.write_all(second).expect("the rest is sent");
        stream.read_exact(rest).expect("its echo");
    };
    assert_allocates_nothing("in pieces", || in_pieces(&mut stream));
    server.stop();
    server.join().expect("the server ends well");
}

/// That the server does not, once its buffers and those of the sockets have grown.
fn assert_allocates_nothing(name: &str, mut exchange: impl FnMut()) {
    (0..20).for_each(|_| exchange());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..200).for_each(|_| exchange());
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{name}");
}

/// A server whose thread is counted.
fn serve() -> Server {
    let config = Config {
        addr: ([127, 0, 0, 1], 0).into(),
        threads: NonZeroUsize::new(1),
        pin: false,
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

/// A request to echo so many bytes, with more lines in its head.
fn echo(bytes: usize, lines: &str) -> Vec<u8> {
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: {bytes}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; bytes]].concat()
}

/// Allocations of this thread while `run` runs.
fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    COUNTED.set(true);
    run();
    COUNTED.set(false);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}
