//! A request that arrives whole allocates nothing: counted, not believed.
//!
//! A binary of its own, as there is one allocator in a process. It counts what
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
use pinloop::http::{Connection, Context, Date, Next};
use pinloop::{Config, Limits};

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
const GET_DATA: &[u8] = b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n";
const ECHO: &[u8] = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const ECHO_CHUNKED: &[u8] =
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const ROUNDS: u32 = 10;

fn main() {
    // One after the other, as the counter is one: no test harness.
    the_counter_counts();
    the_core_allocates_nothing_for_a_whole_request();
    a_server_allocates_nothing_for_a_whole_request();
    println!("3 passed, 0 failed");
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
    for request in [GET, ECHO, ECHO_CHUNKED, &GET.repeat(16), &big] {
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

fn a_server_allocates_nothing_for_a_whole_request() {
    let config = Config {
        addr: ([127, 0, 0, 1], 0).into(),
        threads: NonZeroUsize::new(1),
        pin: false,
        ..Config::default()
    };
    let server = pinloop::start(&config, |_| {
        COUNTED.set(true);
        App::new(ROUNDS)
    })
    .expect("the server starts");
    let mut stream = TcpStream::connect(server.addr()).expect("the server accepts");
    stream.set_nodelay(true).expect("no delay");
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

/// Allocations of this thread while `run` runs.
fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    COUNTED.set(true);
    run();
    COUNTED.set(false);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}
