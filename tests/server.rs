//! Over real sockets, in this process.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};

use pinloop::http::DeferredResponse;
use pinloop::{Config, Request, Response, Server, StartError, Workers};

use crate::support::{connect, read_answer, read_to_end, serve, serve_app, stop, talk};

#[test]
fn answers_and_keeps_the_connection() {
    let server = serve_app(Config::default());
    let mut stream = connect(&server);
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (head, content) = read_answer(&mut stream);
        assert!(head.starts_with(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 14\r\ndate: "
        ));
        assert_eq!(content, b"Try POST /echo");
    }
    stop(server);
}

#[test]
fn answers_a_head_that_comes_byte_by_byte() {
    let server = serve_app(Config::default());
    let mut stream = connect(&server);
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(read_to_end(&mut stream).ends_with("Try POST /echo"));
    stop(server);
}

#[test]
fn a_request_followed_by_the_end_is_answered_in_full() {
    let server = serve_app(Config::default());
    let mut stream = connect(&server);
    stream.write_all(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2_000)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream).matches("Try POST /echo").count(), 2_000);
    stop(server);
}

#[test]
fn a_refusal_arrives_though_the_client_goes_on_sending() {
    let server = serve_app(Config::default());
    let mut stream = connect(&server);
    stream
        .write_all(b"PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n")
        .unwrap();
    let mut sent = 0;
    while sent < 4_000_000 && stream.write_all(&[b'x'; 4096]).is_ok() {
        sent += 4096;
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(&mut stream).starts_with("HTTP/1.1 413 "));
    stop(server);
}

#[test]
fn echoes_more_than_any_buffer_holds() {
    let server = serve_app(Config::default());
    let content: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let sent = content.clone();
    let sender = std::thread::spawn(move || {
        write!(writer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len())
            .unwrap();
        writer.write_all(&sent).unwrap();
    });
    let (_, echoed) = read_answer(&mut stream);
    assert!(echoed == content);
    sender.join().unwrap();
    stop(server);
}

#[test]
fn sends_what_the_socket_did_not_take_at_once() {
    let server = serve(Config::default(), |_| {
        let content = vec![b'x'; 10_000_000];
        move |_: &Request<'_>, response: &mut Response<'_>| response.body(&content)
    });
    let mut stream = connect(&server);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    for _ in 0..2 {
        assert_eq!(read_answer(&mut stream).1.len(), 10_000_000);
    }
    stop(server);
}

#[test]
fn state_is_each_cores_own() {
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
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let answer = String::from_utf8(read_answer(&mut stream).1).unwrap();
        let (core, count) = answer.split_once(' ').unwrap();
        highest[core.parse::<usize>().unwrap()] = count.parse::<i32>().unwrap();
    }
    assert_eq!(highest.iter().sum::<i32>(), 40);
    stop(server);
}

#[test]
fn the_date_is_that_of_the_answer() {
    let server = serve_app(Config::default());
    let mut stream = connect(&server);
    // A second later it is another one, though nothing has happened in between.
    for pause in [Duration::ZERO, Duration::from_millis(1_100)] {
        std::thread::sleep(pause);
        // A date has no fraction of a second.
        let before = SystemTime::now() - Duration::from_secs(1);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (head, _) = read_answer(&mut stream);
        let date = head.lines().find_map(|line| line.strip_prefix("date: ")).expect("a date");
        let date = httpdate::parse_http_date(date).expect("a date as HTTP has it");
        assert!((before..=SystemTime::now()).contains(&date), "{head}");
    }
    stop(server);
}

#[test]
fn a_service_that_panics_costs_its_own_connection_and_nothing_else() {
    let server = serve(Config::default(), |_| {
        |request: &Request<'_>, response: &mut Response<'_>| match &*request.path() {
            "/panic" => panic!("as the test wants it"),
            _ => response.body(b"fine"),
        }
    });
    let mut other = connect(&server);
    assert!(talk(&server, b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 500 "));
    other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut other).1, b"fine");
    stop(server);
}

#[test]
fn whoever_is_one_too_many_is_told_so() {
    let server = serve_app(Config { connections_max: 2, ..Config::default() });
    let mut held: Vec<_> = (0..2).map(|_| connect(&server)).collect();
    for stream in &mut held {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        read_answer(stream);
    }
    assert!(read_to_end(&mut connect(&server)).starts_with("HTTP/1.1 503 "));
    stop(server);
}

#[test]
fn each_timeout_ends_its_connection() {
    let mut config = Config::default();
    config.timeouts.head = Duration::from_millis(300);
    config.timeouts.body = Duration::from_millis(300);
    config.timeouts.idle = Duration::from_millis(300);
    let server = serve_app(config);
    assert_eq!(talk(&server, b""), "", "nothing was ever asked");
    assert!(talk(&server, b"GET / HT").starts_with("HTTP/1.1 408 "), "a head that stops");
    let stopped = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
    assert!(talk(&server, stopped).starts_with("HTTP/1.1 408 "), "content that stops");
    assert!(
        talk(&server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("Try POST /echo"),
        "an idle connection"
    );
    stop(server);
}

#[test]
fn a_client_that_does_not_read_is_given_up_and_not_read_from() {
    let mut config = Config::default();
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
        assert!(sent < 100_000_000, "everything was read though nothing was taken");
    }
    stop(server);
}

#[test]
fn draining_answers_what_has_arrived_and_ends() {
    let server = serve_app(Config::default());
    let mut idle = connect(&server);
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_answer(&mut idle);
    let mut begun = connect(&server);
    begun
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        )
        .unwrap();
    let mut interim = [0; 25];
    begun.read_exact(&mut interim).unwrap();
    server.stop();
    assert_eq!(read_to_end(&mut idle), "", "an idle connection is closed");
    begun.write_all(b"hello").unwrap();
    assert!(read_to_end(&mut begun).ends_with("hello"));
    server.join().unwrap();
}

#[test]
fn an_address_in_use_and_a_setting_that_cannot_be_are_named() {
    let server = serve_app(Config::default());
    let taken = Config { addr: server.addr(), pin: false, ..Config::default() };
    let error = pinloop::start(&taken, |_| crate::support::APP.clone()).unwrap_err();
    assert!(matches!(error, StartError::Listen(..)));
    assert!(error.to_string().contains(&server.addr().to_string()), "{error}");
    stop(server);

    let nowhere = Config { cores: Some(vec![4_000]), ..Config::default() };
    let error = pinloop::start(&nowhere, |_| crate::support::APP.clone()).unwrap_err();
    assert!(
        error.to_string().starts_with("core 4000 is none that this process may use; allowed are "),
        "{error}"
    );
}

/// Answers `/` at once and everything else by a worker: `/hold` when the test lets
/// it, `/panic` never.
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
            let Some(place) = workers.reserve() else {
                return response.status(503).header("retry-after", "1").body(b"");
            };
            let responder = response.defer();
            let held = held.clone();
            place.run(move || match &*path {
                "/panic" => panic!("as the test wants it"),
                _ => {
                    held.lock().unwrap().recv().unwrap();
                    responder.respond(DeferredResponse::new(200).header("x", "y").body(path));
                }
            });
        }
    })
}

#[test]
fn a_deferred_answer_comes_in_its_order_and_holds_up_nobody_else() {
    let workers = Workers::start(NonZeroUsize::MIN, &[], 9).unwrap();
    let (release, held) = mpsc::channel();
    let server = serve_deferring(Config::default(), &workers, held);
    let mut waiting = connect(&server);
    waiting
        .write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut other = connect(&server);
    other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut other).1, b"at once");
    release.send(()).unwrap();
    let (head, content) = read_answer(&mut waiting);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\ndate: "), "{head}");
    assert_eq!(content, b"/hold");
    assert_eq!(read_answer(&mut waiting).1, b"at once");
    stop(server);
}

#[test]
fn a_worker_that_panics_is_a_500_and_a_full_queue_a_503() {
    let workers = Workers::start(NonZeroUsize::MIN, &[], 1).unwrap();
    let (release, held) = mpsc::channel();
    let server = serve_deferring(Config::default(), &workers, held);
    let panicked = talk(&server, b"GET /panic HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(panicked.starts_with("HTTP/1.1 500 "), "{panicked}");
    let place = workers.reserve().expect("the only place");
    let full = talk(&server, b"GET /hold HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(full.starts_with("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"), "{full}");
    drop((place, release));
    stop(server);
}

#[test]
fn a_client_that_goes_away_drops_its_deferred_answer() {
    let workers = Workers::start(NonZeroUsize::MIN, &[], 9).unwrap();
    let (release, held) = mpsc::channel();
    let server = serve_deferring(Config::default(), &workers, held);
    let mut gone = connect(&server);
    // An answer that is left unread makes the close a reset, which the server notices.
    gone.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut byte = [0];
    gone.read_exact(&mut byte).unwrap();
    drop(gone);
    // The next one is in its place, and must not get its answer.
    let mut next = connect(&server);
    next.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut next).1, b"at once");
    release.send(()).unwrap();
    next.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut next).1, b"at once");
    stop(server);
}

#[test]
fn draining_waits_for_deferred_answers() {
    let workers = Workers::start(NonZeroUsize::MIN, &[], 9).unwrap();
    let (release, held) = mpsc::channel();
    let server = serve_deferring(Config::default(), &workers, held);
    let mut waiting = connect(&server);
    waiting
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_eq!(read_answer(&mut waiting).1, b"at once");
    server.stop();
    release.send(()).unwrap();
    let answer = read_to_end(&mut waiting);
    assert!(answer.ends_with("/hold"), "{answer}");
    server.join().unwrap();
}
