//! Clients with unfinished business when the server is told to stop.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::SIGTERM;

use crate::support::process::Running;
use crate::support::response::{read_head, try_read_response};
use crate::support::{GET, read_response, read_to_end, wait_until};

/// Sends `count` requests at a time on one connection until the server stops. Panics if a
/// response is cut off.
fn ask_until_it_stops(running: &Running, count: usize, responses: &AtomicUsize) {
    let requests = b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count);
    let mut stream = running.connect();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while stream.write_all(&requests).is_ok() {
        for _ in 0..count {
            let Some((head, _)) = try_read_response(&mut reader) else { return };
            responses.fetch_add(1, Ordering::Relaxed);
            if head.contains("connection: close") {
                return;
            }
        }
    }
}

/// Sends one request on each of many connections until the server stops.
fn ask_anew_until_it_stops(running: &Running, responses: &AtomicUsize) {
    // The client ends when the listener is closed.
    while let Ok(mut stream) = TcpStream::connect(running.addr()) {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        if stream.write_all(request).is_err() || try_read_response(&mut stream).is_none() {
            return;
        }
        responses.fetch_add(1, Ordering::Relaxed);
    }
}

/// Stops the server while `clients` clients send requests.
fn stop_under_load(threads: &str, clients: usize, client: impl Fn(&Running, &AtomicUsize) + Sync) {
    const RESPONSES_BEFORE: usize = 2_000;
    let mut running = Running::start(&["--threads", threads, "--no-pin"]);
    let responses = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| client(&running, &responses));
        }
        while responses.load(Ordering::Relaxed) < RESPONSES_BEFORE {
            thread::yield_now();
        }
        running.signal(SIGTERM);
    });
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn a_signal_cuts_off_no_response() {
    for (threads, pipelined) in [("1", 1), ("2", 1), ("1", 16)] {
        stop_under_load(threads, 16, |running, responses| {
            ask_until_it_stops(running, pipelined, responses);
        });
    }
}

#[test]
fn a_signal_cuts_off_no_response_of_short_connections() {
    for threads in ["1", "2"] {
        stop_under_load(threads, 8, ask_anew_until_it_stops);
    }
}

#[test]
fn serves_the_connections_in_the_accept_queue() {
    for (threads, more) in
        [("1", &[][..]), ("2", &[]), ("1", &["--max-connections", "4", "--when-full", "wait"])]
    {
        let mut running = Running::start(&[&["--threads", threads, "--no-pin"], more].concat());
        // A frozen process accepts nothing, so the connections stay in the queue.
        running.freeze();
        let mut streams: Vec<TcpStream> = (0..40).map(|_| running.connect()).collect();
        for stream in &mut streams {
            stream.write_all(GET).unwrap();
        }
        running.signal(SIGTERM);
        running.thaw();
        for stream in &mut streams {
            let output = read_to_end(stream);
            assert!(output.starts_with("HTTP/1.1 200 "), "{threads} {more:?}: {output:?}");
        }
        assert_eq!(running.wait().code(), Some(0));
    }
}

#[test]
fn finishes_begun_requests_and_closes_idle_connections() {
    let mut running = Running::start_unpinned(&[]);
    let mut idle = running.connect();
    idle.write_all(GET).unwrap();
    read_response(&mut idle);

    let mut begun = running.connect();
    let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    begun.write_all(head).unwrap();
    begun.write_all(&[b'x'; 100_000]).unwrap();
    begun.read_exact(&mut [0; 10]).expect("the beginning of a response");
    let mut waiting = running.connect();
    let head =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    waiting.write_all(head).unwrap();
    assert!(read_head(&mut waiting).starts_with("HTTP/1.1 100 "));
    let mut partial = running.connect();
    partial.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    // The server has read the partial head once it has closed the idle connection.
    running.signal(SIGTERM);
    assert_eq!(read_to_end(&mut idle), "");

    partial.write_all(b"Host: a\r\n\r\n").unwrap();
    let output = read_to_end(&mut partial);
    assert!(output.ends_with("Try POST /echo"), "{output}");
    assert!(output.contains("\r\nconnection: close\r\n"), "{output}");
    waiting.write_all(b"hello").unwrap();
    assert!(read_to_end(&mut waiting).ends_with("hello"));
    let mut writer = begun.try_clone().unwrap();
    let sender = thread::spawn(move || writer.write_all(&[b'x'; 900_000]));
    assert_eq!(read_to_end(&mut begun).matches('x').count(), 1_000_000);
    sender.join().unwrap().unwrap();
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn the_drain_timeout_ends_unfinished_requests() {
    let mut running = Running::start_unpinned(&["--drain-timeout", "0.3"]);
    let mut stuck = running.connect();
    stuck.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe").unwrap();
    let mut other = running.connect();
    other.write_all(GET).unwrap();
    // The server has read both requests once it has answered the second one.
    read_response(&mut other);
    running.signal(SIGTERM);
    assert_eq!(running.wait().code(), Some(1));
}

/// The client reads nothing until the server stops listening, so that more requests are
/// always waiting behind the answered ones.
#[test]
fn an_endless_pipeline_ends_with_a_response_that_closes() {
    let mut running = Running::start_unpinned(&[]);
    let mut stream = running.connect();
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_024);
    running.freeze();
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    // Fills the socket buffers.
    while let Ok(more) = stream.write(&requests[sent % 27..]) {
        sent += more;
    }
    stream.set_nonblocking(false).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let (mut writer, has_ended) = (stream.try_clone().unwrap(), ended.clone());
    let sender = thread::spawn(move || {
        let mut rest = &requests[sent % 27..];
        // The server may stop reading at any time.
        while !has_ended.load(Ordering::Relaxed) && writer.write_all(rest).is_ok() {
            rest = &requests;
        }
    });
    running.signal(SIGTERM);
    running.thaw();
    // The server closes its listener when it begins to stop.
    wait_until("the server stops listening", || TcpStream::connect(running.addr()).is_err());
    let output = read_to_end(&mut stream);
    ended.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    drop(stream);
    let heads = output.matches("HTTP/1.1 200 OK\r\n").count();
    assert_eq!(output.matches("Try POST /echo").count(), heads);
    assert_eq!(output.matches("connection: close\r\n").count(), 1, "in {heads} responses");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn shutdown_abandons_queued_jobs() {
    // One job takes minutes.
    let arguments = ["--work", "4000000000", "--workers", "1", "--drain-timeout", "0.2"];
    let mut running = Running::start_unpinned(&arguments);
    let mut stream = running.connect();
    stream.write_all(b"GET /data?offload HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut other = running.connect();
    other.write_all(GET).unwrap();
    read_response(&mut other);
    running.signal(SIGTERM);
    assert_eq!(running.wait().code(), Some(1));
}
