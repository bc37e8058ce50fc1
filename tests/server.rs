//! The server over real sockets, in the process of the test.

use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};

use pinloop::http::DeferredResponse;
use pinloop::{Config, Request, Response, Server, StartError, Workers};

use crate::support::response::header;
use crate::support::{GET, connect, read_response, read_to_end, serve, serve_app, stop, talk};

#[test]
fn answers_and_keeps_the_connection() {
    let server = serve_app(Config::default());
    let mut stream = connect(&server);
    for _ in 0..3 {
        stream.write_all(GET).unwrap();
        let (head, body) = read_response(&mut stream);
        assert!(head.starts_with(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 14\r\ndate: "
        ));
        assert_eq!(body, b"Try POST /echo");
    }
    stop(server);
}

#[test]
fn answers_a_head_that_arrives_byte_by_byte() {
    let server = serve_app(Config::default());
    let mut stream = connect(&server);
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(read_to_end(&mut stream).ends_with("Try POST /echo"));
    stop(server);
}

#[test]
fn echoes_more_than_any_buffer_holds() {
    let server = serve_app(Config::default());
    let body: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let sent = body.clone();
    let sender = std::thread::spawn(move || {
        write!(writer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len())
            .unwrap();
        writer.write_all(&sent).unwrap();
    });
    let (_, echoed) = read_response(&mut stream);
    assert!(echoed == body);
    sender.join().unwrap();
    stop(server);
}

#[test]
fn sends_responses_larger_than_the_socket_buffer() {
    let server = serve(Config::default(), |_| {
        let body = vec![b'x'; 10_000_000];
        move |_: &Request<'_>, response: &mut Response<'_>| response.body(&body)
    });
    let mut stream = connect(&server);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    for _ in 0..2 {
        assert_eq!(read_response(&mut stream).1.len(), 10_000_000);
    }
    stop(server);
}

#[test]
fn each_core_has_its_own_state() {
    let config = Config { threads: NonZeroUsize::new(2), ..Config::default() };
    let server = serve(config, |core| {
        let mut count = 0;
        move |_: &Request<'_>, response: &mut Response<'_>| {
            count += 1;
            response.body(format!("{} {count}", core.index).as_bytes());
        }
    });
    let mut highest = [0; 2];
    for _ in 0..40 {
        let mut stream = connect(&server);
        stream.write_all(GET).unwrap();
        let body = String::from_utf8(read_response(&mut stream).1).unwrap();
        let (core, count) = body.split_once(' ').unwrap();
        highest[core.parse::<usize>().unwrap()] = count.parse::<i32>().unwrap();
    }
    assert_eq!(highest.iter().sum::<i32>(), 40);
    stop(server);
}

#[test]
fn the_date_header_is_current() {
    let server = serve_app(Config::default());
    let mut stream = connect(&server);
    // The second request arrives a second later, without any event in between.
    for pause in [Duration::ZERO, Duration::from_millis(1_100)] {
        std::thread::sleep(pause);
        // A date header has whole seconds.
        let before = SystemTime::now() - Duration::from_secs(1);
        stream.write_all(GET).unwrap();
        let (head, _) = read_response(&mut stream);
        let date = header(&head, "date").expect("a date header");
        let date = httpdate::parse_http_date(date).expect("an HTTP date");
        assert!((before..=SystemTime::now()).contains(&date), "{head}");
    }
    stop(server);
}

#[test]
fn a_panic_of_the_service_ends_only_its_own_connection() {
    let server = serve(Config::default(), |_| {
        |request: &Request<'_>, response: &mut Response<'_>| match &*request.path() {
            "/panic" => panic!("the test asked for a panic"),
            _ => response.body(b"fine"),
        }
    });
    let mut other = connect(&server);
    assert!(talk(&server, b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 500 "));
    other.write_all(GET).unwrap();
    assert_eq!(read_response(&mut other).1, b"fine");
    stop(server);
}

#[test]
fn stops_reading_from_a_client_that_does_not_read() {
    // An eighth of the memory may hold the response until the client reads.
    let mut config = Config { buffered_bytes_max: 16 * 1024 * 1024, ..Config::default() };
    config.timeouts.write = Duration::from_millis(300);
    let server = serve_app(config);
    let mut stream = connect(&server);
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        .unwrap();
    let chunk = vec![b'x'; 1 << 16];
    let mut sent: u64 = 0;
    while stream.write_all(&chunk).is_ok() {
        sent += chunk.len() as u64;
        assert!(sent < 100_000_000, "{sent} bytes were read although no response byte was taken");
    }
    stop(server);
}

#[test]
fn start_errors_name_the_address_and_the_core() {
    let server = serve_app(Config::default());
    let taken = Config { addr: server.addr(), pin: Some(false), ..Config::default() };
    let error = pinloop::start(&taken, |_| crate::support::APP.clone()).unwrap_err();
    assert!(matches!(error, StartError::Listen(..)));
    assert!(error.to_string().contains(&server.addr().to_string()), "{error}");
    stop(server);

    let nowhere = Config { cores: Some(vec![4_000]), ..Config::default() };
    let error = pinloop::start(&nowhere, |_| crate::support::APP.clone()).unwrap_err();
    let message = error.to_string();
    let (_, rest) = message.split_once("4000").expect("the core");
    assert!(rest.contains(|c: char| c.is_ascii_digit()), "{message} must name the usable cores");
}

/// Serves `/` at once and other paths by a worker. `/hold` waits for the test, and
/// `/panic` panics.
fn serve_deferring(config: Config, workers: &Workers, held: mpsc::Receiver<()>) -> Server {
    let held = Arc::new(Mutex::new(held));
    let workers = workers.clone();
    serve(config, move |_| {
        let (workers, held) = (workers.clone(), held.clone());
        move |request: &Request<'_>, response: &mut Response<'_>| {
            let path = request.path().into_owned();
            if path == "/" {
                return response.body(b"at once");
            }
            let Some(permit) = workers.reserve() else {
                return response.status(503).header("retry-after", "1").body(b"");
            };
            let responder = response.defer();
            let held = held.clone();
            permit.run(move || match &*path {
                "/panic" => panic!("the test asked for a panic"),
                _ => {
                    held.lock().unwrap().recv().unwrap();
                    responder.respond(DeferredResponse::new(200).header("x", "y").body(path));
                }
            });
        }
    })
}

#[test]
fn a_deferred_response_keeps_its_order_and_delays_no_other_connection() {
    let workers = Workers::start(NonZeroUsize::MIN, &[], 9).unwrap();
    let (release, held) = mpsc::channel();
    let server = serve_deferring(Config::default(), &workers, held);
    let mut waiting = connect(&server);
    waiting
        .write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut other = connect(&server);
    other.write_all(GET).unwrap();
    assert_eq!(read_response(&mut other).1, b"at once");
    release.send(()).unwrap();
    let (head, body) = read_response(&mut waiting);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\ndate: "), "{head}");
    assert_eq!(body, b"/hold");
    assert_eq!(read_response(&mut waiting).1, b"at once");
    stop(server);
}

#[test]
fn a_panic_of_a_worker_becomes_a_500_and_a_full_queue_a_503() {
    let workers = Workers::start(NonZeroUsize::MIN, &[], 1).unwrap();
    let (release, held) = mpsc::channel();
    let server = serve_deferring(Config::default(), &workers, held);
    let panicked = talk(&server, b"GET /panic HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(panicked.starts_with("HTTP/1.1 500 "), "{panicked}");
    let permit = workers.reserve().expect("the only permit");
    let full = talk(&server, b"GET /hold HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(full.starts_with("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"), "{full}");
    drop((permit, release));
    stop(server);
}

#[test]
fn a_deferred_response_is_dropped_when_its_client_leaves() {
    let workers = Workers::start(NonZeroUsize::MIN, &[], 9).unwrap();
    let (release, held) = mpsc::channel();
    let server = serve_deferring(Config::default(), &workers, held);
    let mut gone = connect(&server);
    // Closing with an unread response resets the connection, so the server notices.
    gone.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut byte = [0];
    gone.read_exact(&mut byte).unwrap();
    drop(gone);
    // The next connection reuses the slot and must not get the old response.
    let mut next = connect(&server);
    next.write_all(GET).unwrap();
    assert_eq!(read_response(&mut next).1, b"at once");
    release.send(()).unwrap();
    next.write_all(GET).unwrap();
    assert_eq!(read_response(&mut next).1, b"at once");
    stop(server);
}

#[test]
fn draining_waits_for_deferred_responses() {
    let workers = Workers::start(NonZeroUsize::MIN, &[], 9).unwrap();
    let (release, held) = mpsc::channel();
    let server = serve_deferring(Config::default(), &workers, held);
    let mut waiting = connect(&server);
    waiting
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_eq!(read_response(&mut waiting).1, b"at once");
    server.stop();
    release.send(()).unwrap();
    let output = read_to_end(&mut waiting);
    assert!(output.ends_with("/hold"), "{output}");
    server.join().unwrap();
}
