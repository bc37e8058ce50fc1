//! A panic in a `Drop` costs no other client anything, and a loop that ends is reported.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use log::{LevelFilter, Log, Metadata, Record};
use pinloop::http::{BodyWriter, DeferredResponse, Flow, Piece, StreamWaker};
use pinloop::{BodyPolicy, Config, Request, Response, Server, Service};

use super::{has_program, skip};
use crate::support::process::{BINARY, Running};
use crate::support::{GET, connect, read_response, read_to_end, serve, stop, wait_until};

/// Panics when it is dropped, with a payload that panics in the same way.
struct Bomb {
    drops: Arc<AtomicUsize>,
    left: u32,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        if let Some(left) = self.left.checked_sub(1) {
            resume_unwind(Box::new(Bomb { drops: self.drops.clone(), left }));
        }
    }
}

/// Gives each request a [`Bomb`] to the part of the server that its path names.
struct Bombs(Arc<AtomicUsize>);

impl Bombs {
    fn bomb(&self) -> Bomb {
        Bomb { drops: self.0.clone(), left: 3 }
    }
}

/// Returns a producer that owns `bomb`.
fn producer(bomb: Bomb, flow: Flow) -> impl FnMut(&mut BodyWriter<'_>) -> Flow + Send + 'static {
    move |writer: &mut BodyWriter<'_>| {
        let _owned = &bomb;
        writer.write(b"x");
        flow
    }
}

impl Service for Bombs {
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        let bomb = self.bomb();
        match &*request.path() {
            "/payload" => resume_unwind(Box::new(bomb)),
            "/call" => {
                response.body(b"x");
                drop(bomb);
            }
            "/producer" => response.stream(None, producer(bomb, Flow::Done)),
            "/producer-panics" => {
                let mut bomb = Some(bomb);
                response.stream(None, move |_: &mut BodyWriter<'_>| match bomb.take() {
                    Some(bomb) => resume_unwind(Box::new(bomb)),
                    None => Flow::Done,
                });
            }
            "/paused" => response.stream(None, producer(bomb, Flow::Pause)),
            "/deferred" => {
                let responder = response.defer();
                responder
                    .respond(DeferredResponse::new(200).stream(None, producer(bomb, Flow::Done)));
            }
            "/deferred-late" => {
                let responder = response.defer();
                let late = DeferredResponse::new(200).stream(None, producer(bomb, Flow::Pause));
                // The client is gone when the response is delivered.
                thread::spawn(move || {
                    thread::sleep(std::time::Duration::from_millis(100));
                    responder.respond(late);
                });
            }
            "/head" => response.status(204).stream(None, producer(bomb, Flow::Done)),
            _ => {
                std::mem::forget(bomb);
                response.body(b"served");
            }
        }
    }

    fn body_policy(&mut self, request: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
        if !request.path().starts_with("/receiver") {
            return BodyPolicy::Collect;
        }
        let (bomb, panics) = (self.bomb(), request.path() == "/receiver-panics");
        let mut bomb = Some(bomb);
        let receiver = move |piece: Option<&Piece<'_>>, _: &mut BodyWriter<'_>| {
            if panics && piece.is_some() {
                resume_unwind(Box::new(bomb.take().expect("a first piece")));
            }
        };
        BodyPolicy::Stream { length: None, receiver: Box::new(receiver) }
    }
}

const PATHS: [&str; 10] = [
    "/payload",
    "/call",
    "/producer",
    "/producer-panics",
    "/paused",
    "/deferred",
    "/deferred-late",
    "/head",
    "/receiver",
    "/receiver-panics",
];

fn serve_bombs(drops: &Arc<AtomicUsize>) -> Server {
    let drops = drops.clone();
    serve(Config::default(), move |_| Bombs(drops.clone()))
}

/// A payload that panics when it is dropped, and a producer or a receiver with such a value,
/// ended the event loop (issue 13, number 7).
#[test]
fn a_panic_in_a_drop_ends_no_event_loop() {
    let drops = Arc::new(AtomicUsize::new(0));
    let server = serve_bombs(&drops);
    let mut other = connect(&server);
    for path in PATHS {
        // The client leaves in the middle of the second request.
        for request in [
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"),
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo"),
            format!("GET {path} HTTP/1.0\r\n\r\n"),
        ] {
            let before = drops.load(Ordering::SeqCst);
            let mut stream = connect(&server);
            stream.write_all(request.as_bytes()).unwrap();
            // The server may have reset the connection already.
            let _ = stream.shutdown(Shutdown::Write);
            if matches!(path, "/paused" | "/deferred-late") {
                // The stream never goes on.
                drop(stream);
            } else {
                // The response may be cut off.
                let _ = stream.read_to_end(&mut Vec::new());
            }
            let is_get = request.starts_with("GET");
            let has_bomb = match path {
                "/paused" | "/deferred-late" => false,
                path if path.starts_with("/receiver") => !is_get,
                _ => is_get || request.ends_with("body"),
            };
            if has_bomb {
                wait_until("the value is dropped", || drops.load(Ordering::SeqCst) > before);
            }
            other.write_all(GET).unwrap();
            assert_eq!(read_response(&mut other).1, b"served", "after {request:?}");
        }
    }
    stop(server);
}

/// The same for connections that the drain timeout cuts off.
#[test]
fn a_panic_in_a_drop_does_not_end_a_drain() {
    let drops = Arc::new(AtomicUsize::new(0));
    let shared = drops.clone();
    let mut config = Config { threads: NonZeroUsize::new(2), ..Config::default() };
    config.timeouts.drain = std::time::Duration::from_millis(200);
    let server = serve(config, move |_| Bombs(shared.clone()));
    let mut paused: Vec<TcpStream> = (0..20).map(|_| connect(&server)).collect();
    for stream in &mut paused {
        stream.write_all(b"GET /paused HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        crate::support::response::read_head(stream);
    }
    server.stop();
    let cut_off = server.join().expect("no event loop panics");
    assert_eq!(cut_off, paused.len());
    assert!(drops.load(Ordering::SeqCst) >= paused.len());
}

/// A waker that outlives its connection, and its server, does no harm.
#[test]
fn a_waker_may_outlive_its_connection() {
    let (sender, wakers) = std::sync::mpsc::channel::<StreamWaker>();
    let server = serve(Config::default(), move |_| {
        let sender = sender.clone();
        move |_: &Request<'_>, response: &mut Response<'_>| {
            sender.send(response.waker()).unwrap();
            response.body(b"served");
        }
    });
    for _ in 0..10 {
        let mut stream = connect(&server);
        stream.write_all(GET).unwrap();
        read_response(&mut stream);
    }
    let wakers: Vec<StreamWaker> = wakers.try_iter().collect();
    wakers.iter().for_each(StreamWaker::wake);
    let mut stream = connect(&server);
    stream.write_all(GET).unwrap();
    assert_eq!(read_response(&mut stream).1, b"served");
    stop(server);
    wakers.iter().for_each(StreamWaker::wake);
}

thread_local! {
    /// Makes the logger panic on this thread.
    static LOGGER_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// A logger that panics on the threads of one test, and logs nothing.
struct PanickingLogger;

impl Log for PanickingLogger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        LOGGER_PANICS.get()
    }

    fn log(&self, _: &Record<'_>) {
        if LOGGER_PANICS.replace(false) {
            resume_unwind(Box::new("the test asked for a panic"));
        }
    }

    fn flush(&self) {}
}

/// When a loop ended, the process ran on with the other loops in silence (issue 13, number 7).
#[test]
fn a_loop_that_ends_stops_the_server_and_join_reports_it() {
    log::set_logger(&PanickingLogger).expect("no other test sets a logger");
    log::set_max_level(LevelFilter::Debug);
    let mut config = Config { threads: NonZeroUsize::new(2), ..Config::default() };
    config.buffered_bytes_max = config.limits.head_bytes_max;
    let server = serve(config, |core| {
        move |_: &Request<'_>, response: &mut Response<'_>| {
            LOGGER_PANICS.set(core.index == 0);
            response.body(&[b'0' + core.index as u8]);
        }
    });
    // A connection on each thread has an unfinished request.
    let mut streams: [Option<TcpStream>; 2] = [None, None];
    wait_until("both threads have a connection", || {
        let mut stream = connect(&server);
        stream.write_all(&[GET, b"G"].concat()).unwrap();
        let body = read_response(&mut stream).1;
        streams[usize::from(body[0] - b'0')] = Some(stream);
        streams.iter().all(Option::is_some)
    });
    let [first, second] = streams.map(|stream| stream.expect("a connection"));
    // More bytes than may be buffered have the loop log a message.
    let head = "ET / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n";
    let mut first = first;
    first.write_all(head.as_bytes()).unwrap();
    let _ = first.write_all(&[b'x'; 100_000]);
    // The other loop stops accepting, answers what has begun, and ends.
    wait_until("the server stops listening", || TcpStream::connect(server.addr()).is_err());
    let mut second = second;
    second.write_all(&GET[1..]).unwrap();
    let last = read_to_end(&mut second);
    assert!(last.contains("connection: close\r\n") && last.ends_with('1'), "{last}");
    let error = server.join().expect_err("the panic is reported");
    assert!(error.to_string().contains("event loop"), "{error}");
}

/// The binary exits with an error when a loop ends (issue 13, number 7).
#[test]
fn a_loop_that_ends_has_the_binary_exit_with_an_error() {
    if !has_program("strace") {
        return skip("without strace, no system call of the event loop can be made to fail");
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", "trace=epoll_wait"]);
    command.args(["-e", "inject=epoll_wait:error=EBADF:when=20", BINARY]);
    command.args(["--threads", "2", "--no-pin", "--addr", "127.0.0.1:0"]).stderr(Stdio::null());
    let mut running = Running::from(&mut command);
    if running.line().is_empty() {
        return skip("strace may not trace here");
    }
    wait_until("the server stops listening", || {
        let Ok(mut stream) = TcpStream::connect(running.addr()) else { return true };
        let _ = stream.write_all(GET);
        // The server may close before it responds.
        let _ = stream.read(&mut [0; 100]);
        false
    });
    assert_eq!(running.wait_patiently().code(), Some(1));
}
