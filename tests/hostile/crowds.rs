//! More clients than the connection limit or the file descriptors allow.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pinloop::{Config, Request, Response, WhenFull};

use crate::support::process::Running;
use crate::support::response::read_some;
use crate::support::{GET, connect, read_response, serve, serve_app, stop, wait_until};

/// Outcome of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Served,
    /// The server sends 503 and closes.
    Shed,
    /// The server closes without a response.
    Closed,
    /// The response has not arrived yet.
    Waiting,
}

fn ask(stream: &mut TcpStream) -> Outcome {
    // A shed connection may be closed already.
    let _ = stream.write_all(GET);
    outcome(stream)
}

/// Sends `request` and the first byte of another one, so that the connection is not idle, which
/// would have it closed to make room.
fn ask_and_stay_busy(stream: &mut TcpStream, request: &[u8]) -> Outcome {
    let _ = stream.write_all(&[request, &GET[..1]].concat());
    outcome(stream)
}

fn outcome(stream: &mut TcpStream) -> Outcome {
    let mut output = [0; 4096];
    match read_some(stream, &mut output).map_err(|error| error.kind()) {
        Ok(0) | Err(ErrorKind::ConnectionReset) => Outcome::Closed,
        Ok(_) if output.starts_with(b"HTTP/1.1 200 ") => Outcome::Served,
        Ok(_) if output.starts_with(b"HTTP/1.1 503 ") => Outcome::Shed,
        Err(ErrorKind::WouldBlock) => Outcome::Waiting,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&output)),
    }
}

fn count(outcomes: &[Outcome], outcome: Outcome) -> usize {
    outcomes.iter().filter(|&&found| found == outcome).count()
}

#[test]
fn sheds_clients_above_the_limit_until_there_is_room() {
    for threads in [1, 2] {
        let threads = NonZeroUsize::new(threads);
        let server = serve_app(Config { connections_max: 8, threads, ..Config::default() });
        let mut streams: Vec<TcpStream> = Vec::new();
        let mut outcomes = Vec::new();
        for _ in 0..100 {
            let mut stream = connect(&server);
            outcomes.push(ask_and_stay_busy(&mut stream, GET));
            streams.push(stream);
        }
        assert_eq!(count(&outcomes, Outcome::Served), 8, "{outcomes:?}");
        assert_eq!(
            count(&outcomes, Outcome::Shed) + count(&outcomes, Outcome::Closed),
            92,
            "{outcomes:?}"
        );
        assert!(count(&outcomes, Outcome::Shed) > 50, "most shed clients get a 503: {outcomes:?}");

        for (stream, outcome) in streams.iter_mut().zip(&outcomes) {
            if *outcome == Outcome::Served {
                let again = ask_and_stay_busy(stream, &GET[1..]);
                assert_eq!(again, Outcome::Served, "an accepted client stays");
            }
        }
        drop(streams);
        wait_until("the server has room again", || ask(&mut connect(&server)) == Outcome::Served);
        stop(server);
    }
}

#[test]
fn clients_above_the_limit_can_wait_until_there_is_room() {
    let config = Config { connections_max: 4, when_full: WhenFull::Wait, ..Config::default() };
    let server = serve_app(config);
    let mut streams: Vec<TcpStream> = (0..20).map(|_| connect(&server)).collect();
    for stream in &mut streams {
        stream.write_all(&[GET, &GET[..1]].concat()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    }
    let mut rounds = 0;
    while !streams.is_empty() {
        let before = streams.len();
        // The first read blocks for a while. Then each other client has its response or waits.
        let mut served = Vec::new();
        for (at, stream) in streams.iter_mut().enumerate() {
            match outcome(stream) {
                Outcome::Served => served.push(at),
                Outcome::Waiting => {}
                other => panic!("{other:?} although the client should wait"),
            }
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        assert!(served.len() <= 4, "{} clients are served at a time", served.len());
        served.into_iter().rev().for_each(|at| drop(streams.remove(at)));
        if let Some(first) = streams.first() {
            first.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        }
        rounds += usize::from(streams.len() == before);
        assert!(rounds < 40, "{} clients are never served", streams.len());
    }
    stop(server);
}

#[test]
fn rejects_only_the_clients_that_exceed_the_buffer_limit() {
    // The limit has room for six clients.
    let mut config = Config { buffered_bytes_max: 600 * 1024, ..Config::default() };
    config.timeouts.body = Duration::from_secs(3);
    // A function gets each body whole.
    let server =
        serve(config, |_| |_: &Request<'_>, response: &mut Response<'_>| response.body(b"hi"));
    let mut normal = connect(&server);
    let mut greedy: Vec<TcpStream> = (0..8).map(|_| connect(&server)).collect();
    for stream in &mut greedy {
        let head = b"PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
        stream.write_all(head).unwrap();
        // A rejected connection may be closed already.
        let _ = stream.write_all(&[b'x'; 100_000]);
        assert_eq!(ask(&mut normal), Outcome::Served);
    }
    // The accepted clients never finish their bodies and time out.
    let heads = greedy.iter_mut().map(|stream| read_response(stream).0);
    let (kept, rejected): (Vec<_>, Vec<_>) =
        heads.partition(|head| head.starts_with("HTTP/1.1 408 "));
    assert!((1..=6).contains(&kept.len()), "{} clients are kept", kept.len());
    assert!(rejected.iter().all(|head| head.starts_with("HTTP/1.1 503 ")), "{rejected:?}");
    stop(server);
}

#[test]
fn pipelining_clients_take_turns_with_others() {
    const EACH: usize = 20_000;
    // Maximum number of requests that one turn reads and answers.
    const TURN: usize = 2 * 64 * 1024 / GET.len();
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let server = serve(Config::default(), move |_| {
        let (begin, released, mut served) = (begin.clone(), released.clone(), 0);
        move |request: &Request<'_>, response: &mut Response<'_>| {
            if request.path() == "/hold" {
                // Blocks the only thread while more requests arrive.
                begin.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }
            response.body(served.to_string().as_bytes());
            served += 1;
        }
    });
    let mut holder = connect(&server);
    holder.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    begun.recv().unwrap();
    let greedy: Vec<TcpStream> = (0..4).map(|_| connect(&server)).collect();
    let senders: Vec<_> = greedy
        .iter()
        .map(|stream| {
            let mut stream = stream.try_clone().unwrap();
            thread::spawn(move || stream.write_all(&GET.repeat(EACH)))
        })
        .collect();
    let mut normal = connect(&server);
    normal.write_all(GET).unwrap();
    release.send(()).unwrap();

    let before: usize = String::from_utf8(read_response(&mut normal).1).unwrap().parse().unwrap();
    assert!(
        before <= 1 + greedy.len() * TURN,
        "{before} requests were served before the normal client"
    );
    // The remaining responses are not read. Shutting down unblocks the senders.
    greedy.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    senders.into_iter().for_each(|sender| drop(sender.join()));
    stop(server);
}

#[test]
fn survives_running_out_of_file_descriptors() {
    const FILES_MAX: u32 = 64;
    for threads in ["1", "2"] {
        let running = Running::start_within(FILES_MAX, &["--threads", threads, "--no-pin"]);
        let mut streams: Vec<TcpStream> = (0..200).map(|_| running.connect()).collect();
        let outcomes: Vec<Outcome> = streams.iter_mut().map(ask).collect();
        let served = count(&outcomes, Outcome::Served);
        assert!((20..64).contains(&served), "{served} of {outcomes:?}");
        assert_eq!(served + count(&outcomes, Outcome::Closed), 200, "no client hangs");

        let ticks = running.cpu_ticks();
        thread::sleep(Duration::from_secs(1));
        let spent = running.cpu_ticks() - ticks;
        assert!(spent <= 5, "{spent} ticks of 10 ms in an idle second");

        for (stream, outcome) in streams.iter_mut().zip(&outcomes) {
            if *outcome == Outcome::Served {
                assert_eq!(ask(stream), Outcome::Served, "an accepted client stays");
            }
        }
        drop(streams);
        wait_until("descriptors are free again", || ask(&mut running.connect()) == Outcome::Served);
        // The reserved descriptor is back too, so half of the earlier clients fit at once.
        let mut streams: Vec<TcpStream> = (0..served / 2).map(|_| running.connect()).collect();
        assert!(streams.iter_mut().all(|stream| ask(stream) == Outcome::Served));
    }
}

#[test]
fn timeouts_close_each_kind_of_slow_client() {
    let seconds = ["--head-timeout", "--body-timeout", "--idle-timeout", "--write-timeout"];
    let mut arguments = vec!["--threads", "1", "--no-pin"];
    arguments.extend(seconds.iter().flat_map(|option| [*option, "4"]));
    let running = Running::start(&arguments);
    let files = running.open_files();
    let starts = [
        &b""[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
        b"PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n",
    ];
    // The server is frozen, so that all clients are queued before the first timeout starts.
    running.freeze();
    let mut offenders: Vec<TcpStream> = (0..200).map(|_| running.connect()).collect();
    for (n, stream) in offenders.iter_mut().enumerate() {
        stream.write_all(starts[n % 4]).unwrap();
        stream.set_nonblocking(true).unwrap();
        while n % 4 == 3 && stream.write(&[b'x'; 65_536]).is_ok() {}
    }
    let mut normal = running.connect();
    running.thaw();
    assert_eq!(ask(&mut normal), Outcome::Served, "a normal client behind the slow ones");
    assert!(running.open_files() > files + 200, "{} files", running.open_files());
    let begun = Instant::now();
    while running.open_files() > files + 1 {
        for (n, stream) in offenders.iter_mut().enumerate() {
            // Heads and bodies arrive byte by byte, and echoes are never read.
            if matches!(n % 4, 1 | 2) {
                let _ = stream.write_all(b"x");
            }
        }
        assert_eq!(ask(&mut normal), Outcome::Served, "a normal client among the slow ones");
        assert!(begun.elapsed() < Duration::from_secs(30), "{} files", running.open_files());
        thread::sleep(Duration::from_millis(50));
    }
}
