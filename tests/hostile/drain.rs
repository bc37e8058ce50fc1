//! Clients in the midst of something when the server is told to stop.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGTERM;

use crate::support::process::Running;
use crate::support::read_to_end;

/// Asks again and again on one connection, `count` requests at a time, until the
/// server stops. Panics if an answer that has begun is not whole.
fn ask_until_it_stops(running: &Running, count: usize, answered: &AtomicUsize) {
    let requests = b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count);
    let (mut stream, mut unread) = (running.connect(), Vec::new());
    while stream.write_all(&requests).is_ok() {
        for _ in 0..count {
            let Some(head) = read_whole(&mut stream, &mut unread) else { return };
            answered.fetch_add(1, Ordering::Relaxed);
            if head.contains("connection: close") {
                return;
            }
        }
    }
}

/// Asks once on each of many connections, until the server stops.
fn ask_anew_until_it_stops(running: &Running, answered: &AtomicUsize) {
    // A listener that is closed refuses, and that is the end.
    while let Ok(mut stream) = TcpStream::connect(running.addr()) {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        if stream.write_all(request).is_err() || read_whole(&mut stream, &mut Vec::new()).is_none()
        {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Tells the server to stop while so many clients are in the midst of it.
fn stop_under_load(threads: &str, clients: usize, client: impl Fn(&Running, &AtomicUsize) + Sync) {
    const ANSWERED_BEFORE: usize = 2_000;
    let mut running = Running::start(&["--threads", threads, "--no-pin"]);
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| client(&running, &answered));
        }
        while answered.load(Ordering::Relaxed) < ANSWERED_BEFORE {
            thread::yield_now();
        }
        running.signal(SIGTERM);
    });
    assert_eq!(running.wait().code(), Some(0));
}

/// Reads one answer; its head, or none if the connection ends before it begins.
fn read_whole(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<String> {
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = unread.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8(unread[..end].to_vec()).unwrap();
            let (_, length) = head.split_once("content-length: ").expect("a length");
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if unread.len() >= end + 4 + length {
                unread.drain(..end + 4 + length);
                return Some(head);
            }
        }
        match stream.read(&mut piece).map_err(|error| error.kind()) {
            Ok(0) | Err(ErrorKind::ConnectionReset) => {
                let begun = String::from_utf8_lossy(unread);
                assert!(unread.is_empty(), "an answer was cut off: {begun:?}");
                return None;
            }
            Ok(bytes) => unread.extend_from_slice(&piece[..bytes]),
            Err(kind) => panic!("{kind}"),
        }
    }
}

#[test]
fn no_answer_is_cut_off_by_a_signal() {
    for (threads, pipelined) in [("1", 1), ("2", 1), ("1", 16)] {
        stop_under_load(threads, 16, |running, answered| {
            ask_until_it_stops(running, pipelined, answered);
        });
    }
}

#[test]
fn no_answer_is_cut_off_by_a_signal_without_reuse() {
    for threads in ["1", "2"] {
        stop_under_load(threads, 8, ask_anew_until_it_stops);
    }
}

#[test]
fn whoever_is_in_the_queue_is_served() {
    for (threads, more) in
        [("1", &[][..]), ("2", &[]), ("1", &["--max-connections", "4", "--when-full", "wait"])]
    {
        let mut running = Running::start(&[&["--threads", threads, "--no-pin"], more].concat());
        // Nobody is accepted by a process that is stopped, only put into the queue.
        running.freeze();
        let mut streams: Vec<TcpStream> = (0..40).map(|_| running.connect()).collect();
        for stream in &mut streams {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        }
        running.signal(SIGTERM);
        running.thaw();
        for stream in &mut streams {
            let answer = read_to_end(stream);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{threads} {more:?}: {answer:?}");
        }
        assert_eq!(running.wait().code(), Some(0));
    }
}

#[test]
fn what_has_begun_is_finished_and_what_is_idle_is_closed() {
    let mut running = Running::start(&["--threads", "1", "--no-pin"]);
    let mut idle = running.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_whole(&mut idle, &mut Vec::new()).expect("an answer");

    let mut begun = running.connect();
    let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    begun.write_all(head).unwrap();
    begun.write_all(&[b'x'; 100_000]).unwrap();
    begun.read_exact(&mut [0; 10]).expect("the beginning of an answer");
    let mut partial = running.connect();
    partial.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    // The server has seen both once it has closed the idle one.
    running.signal(SIGTERM);
    assert_eq!(read_to_end(&mut idle), "");

    partial.write_all(b"Host: a\r\n\r\n").unwrap();
    let answer = read_to_end(&mut partial);
    assert!(answer.ends_with("Try POST /echo"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    let mut writer = begun.try_clone().unwrap();
    let sender = thread::spawn(move || writer.write_all(&[b'x'; 900_000]));
    assert_eq!(read_to_end(&mut begun).matches('x').count(), 1_000_000);
    sender.join().unwrap().unwrap();
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn whoever_does_not_finish_is_waited_for_no_longer_than_was_said() {
    let arguments = ["--threads", "1", "--no-pin", "--drain-timeout", "0.3"];
    let mut running = Running::start(&arguments);
    let mut stuck = running.connect();
    stuck.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe").unwrap();
    let mut settled = running.connect();
    settled.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_whole(&mut settled, &mut Vec::new()).expect("an answer");
    running.signal(SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
}

/// The client reads nothing until the server is known to stop, so that there are always
/// requests behind those that are answered.
#[test]
fn whoever_pipelines_without_end_reads_all_answers_and_the_last_says_so() {
    let mut running = Running::start(&["--threads", "1", "--no-pin"]);
    let mut stream = running.connect();
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_024);
    running.freeze();
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    // As much as fits between the two.
    while let Ok(more) = stream.write(&requests[sent % 27..]) {
        sent += more;
    }
    stream.set_nonblocking(false).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let (mut writer, has_ended) = (stream.try_clone().unwrap(), ended.clone());
    let sender = thread::spawn(move || {
        let mut rest = &requests[sent % 27..];
        // It may stop reading at any time.
        while !has_ended.load(Ordering::Relaxed) && writer.write_all(rest).is_ok() {
            rest = &requests;
        }
    });
    running.signal(SIGTERM);
    running.thaw();
    // It listens no more once it stops.
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(running.addr()).is_ok() {
        assert!(Instant::now() < deadline, "the server listens on");
        thread::yield_now();
    }
    let answers = read_to_end(&mut stream);
    ended.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    drop(stream);
    let heads = answers.matches("HTTP/1.1 200 OK\r\n").count();
    assert_eq!(answers.matches("Try POST /echo").count(), heads);
    assert_eq!(answers.matches("connection: close\r\n").count(), 1, "in {heads} answers");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn nobody_waits_for_jobs_whose_answers_nobody_waits_for() {
    // One job takes some minutes.
    let work = ["--work", "4000000000", "--workers", "1"];
    let arguments = ["--threads", "1", "--no-pin", "--drain-timeout", "0.2"];
    let mut running = Running::start(&[&arguments[..], &work[..]].concat());
    let mut stream = running.connect();
    stream.write_all(b"GET /data?offload HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut other = running.connect();
    other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_whole(&mut other, &mut Vec::new()).expect("an answer");
    running.signal(SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
}
