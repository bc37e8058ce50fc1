//! More clients than there may be, or than there are file descriptors for.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pinloop::{Config, Request, Response, WhenFull};

use crate::support::process::Running;
use crate::support::{connect, read_answer, serve, serve_app, stop};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// What became of a client that asked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    /// 503, then the end.
    Shed,
    /// Closed without an answer.
    Closed,
    /// No answer yet.
    Waiting,
}

fn ask(stream: &mut TcpStream) -> Fate {
    // Whoever is shed may find the connection closed already.
    let _ = stream.write_all(GET);
    fate(stream)
}

fn fate(stream: &mut TcpStream) -> Fate {
    let mut answer = [0; 4096];
    match stream.read(&mut answer).map_err(|error| error.kind()) {
        Ok(0) | Err(ErrorKind::ConnectionReset) => Fate::Closed,
        Ok(_) if answer.starts_with(b"HTTP/1.1 200 ") => Fate::Served,
        Ok(_) if answer.starts_with(b"HTTP/1.1 503 ") => Fate::Shed,
        Err(ErrorKind::WouldBlock) => Fate::Waiting,
        other => panic!("{other:?}"),
    }
}

fn count(fates: &[Fate], fate: Fate) -> usize {
    fates.iter().filter(|&&found| found == fate).count()
}

#[test]
fn whoever_is_too_many_is_told_so_until_there_is_room() {
    for threads in [1, 2] {
        let threads = NonZeroUsize::new(threads);
        let server = serve_app(Config { connections_max: 8, threads, ..Config::default() });
        let mut streams: Vec<TcpStream> = Vec::new();
        let mut fates = Vec::new();
        for _ in 0..100 {
            let mut stream = connect(&server);
            fates.push(ask(&mut stream));
            streams.push(stream);
        }
        assert_eq!(count(&fates, Fate::Served), 8, "{fates:?}");
        assert_eq!(count(&fates, Fate::Shed) + count(&fates, Fate::Closed), 92, "{fates:?}");
        assert!(count(&fates, Fate::Shed) > 50, "most are told: {fates:?}");

        for (stream, fate) in streams.iter_mut().zip(&fates) {
            if *fate == Fate::Served {
                assert_eq!(ask(stream), Fate::Served, "who is in stays in");
            }
        }
        drop(streams);
        let begun = Instant::now();
        while ask(&mut connect(&server)) != Fate::Served {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody is let in again");
            thread::sleep(Duration::from_millis(10));
        }
        stop(server);
    }
}

#[test]
fn whoever_is_too_many_can_be_left_waiting_until_there_is_room() {
    let config = Config { connections_max: 4, when_full: WhenFull::Wait, ..Config::default() };
    let server = serve_app(config);
    let mut streams: Vec<TcpStream> = (0..20).map(|_| connect(&server)).collect();
    for stream in &mut streams {
        stream.write_all(GET).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    }
    let mut rounds = 0;
    while !streams.is_empty() {
        let before = streams.len();
        // The first has been waited for, the others answer at once or not yet.
        let mut served = Vec::new();
        for (at, stream) in streams.iter_mut().enumerate() {
            match fate(stream) {
                Fate::Served => served.push(at),
                Fate::Waiting => {}
                other => panic!("{other:?} instead of waiting"),
            }
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        assert!(served.len() <= 4, "{} at a time", served.len());
        served.into_iter().rev().for_each(|at| drop(streams.remove(at)));
        if let Some(first) = streams.first() {
            first.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        }
        rounds += usize::from(streams.len() == before);
        assert!(rounds < 40, "{} are never served", streams.len());
    }
    stop(server);
}

#[test]
fn whoever_makes_a_thread_keep_too_much_is_refused_and_nobody_else() {
    // Room for what six have sent.
    let mut config = Config { buffered_bytes_max: 600 * 1024, ..Config::default() };
    config.timeouts.body = Duration::from_secs(3);
    let server = serve_app(config);
    let mut normal = connect(&server);
    let mut greedy: Vec<TcpStream> = (0..8).map(|_| connect(&server)).collect();
    for stream in &mut greedy {
        let head = b"PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
        stream.write_all(head).unwrap();
        // Whoever is refused may find the connection closed already.
        let _ = stream.write_all(&[b'x'; 100_000]);
        assert_eq!(ask(&mut normal), Fate::Served);
    }
    // Those who are kept never send the rest.
    let heads = greedy.iter_mut().map(|stream| read_answer(stream).0);
    let (kept, refused): (Vec<_>, Vec<_>) =
        heads.partition(|head| head.starts_with("HTTP/1.1 408 "));
    assert!((1..=6).contains(&kept.len()), "{} are kept", kept.len());
    assert!(refused.iter().all(|head| head.starts_with("HTTP/1.1 503 ")), "{refused:?}");
    stop(server);
}

#[test]
fn whoever_sends_much_has_turns_like_the_others() {
    const EACH: usize = 20_000;
    // What one turn can read at most, and so answer.
    const TURN: usize = 2 * 64 * 1024 / GET.len();
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let server = serve(Config::default(), move |_| {
        let (begin, released, mut served) = (begin.clone(), released.clone(), 0);
        move |request: &Request<'_>, response: &mut Response<'_>| {
            if request.path() == "/hold" {
                // The only thread stands still while requests arrive.
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

    let before: usize = String::from_utf8(read_answer(&mut normal).1).unwrap().parse().unwrap();
    assert!(before <= 1 + greedy.len() * TURN, "{before} were served before");
    // Nobody reads the other answers; the ends free whoever is still sending.
    greedy.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    senders.into_iter().for_each(|sender| drop(sender.join()));
    stop(server);
}

#[test]
fn without_file_descriptors_those_who_are_in_go_on_and_others_are_let_in_later() {
    const FILES_MAX: u32 = 64;
    for threads in ["1", "2"] {
        let running = Running::start_within(FILES_MAX, &["--threads", threads, "--no-pin"]);
        let mut streams: Vec<TcpStream> = (0..200).map(|_| running.connect()).collect();
        let fates: Vec<Fate> = streams.iter_mut().map(ask).collect();
        let served = count(&fates, Fate::Served);
        assert!((20..64).contains(&served), "{served} of {fates:?}");
        assert_eq!(served + count(&fates, Fate::Closed), 200, "nobody is left hanging");

        let ticks = running.cpu_ticks();
        thread::sleep(Duration::from_secs(1));
        let spent = running.cpu_ticks() - ticks;
        assert!(spent <= 5, "{spent} ticks of 10 ms in a second in which nothing happened");

        for (stream, fate) in streams.iter_mut().zip(&fates) {
            if *fate == Fate::Served {
                assert_eq!(ask(stream), Fate::Served, "who is in stays in");
            }
        }
        drop(streams);
        let begun = Instant::now();
        while ask(&mut running.connect()) != Fate::Served {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody is let in again");
            thread::sleep(Duration::from_millis(10));
        }
        // And not one, but as many as before.
        let mut streams: Vec<TcpStream> = (0..served / 2).map(|_| running.connect()).collect();
        assert!(streams.iter_mut().all(|stream| ask(stream) == Fate::Served));
    }
}

#[test]
fn offenders_of_all_kinds_are_gone_when_their_time_is_up() {
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
    // All are in the queue before the first one's time begins.
    running.freeze();
    let mut offenders: Vec<TcpStream> = (0..200).map(|_| running.connect()).collect();
    for (n, stream) in offenders.iter_mut().enumerate() {
        stream.write_all(starts[n % 4]).unwrap();
        stream.set_nonblocking(true).unwrap();
        while n % 4 == 3 && stream.write(&[b'x'; 65_536]).is_ok() {}
    }
    let mut normal = running.connect();
    running.thaw();
    assert_eq!(ask(&mut normal), Fate::Served, "a normal client behind them");
    assert!(running.open_files() > files + 200, "{} files", running.open_files());
    let begun = Instant::now();
    while running.open_files() > files + 1 {
        for (n, stream) in offenders.iter_mut().enumerate() {
            // One byte at a time of head and content, and none of an echo is read.
            if matches!(n % 4, 1 | 2) {
                let _ = stream.write_all(b"x");
            }
        }
        assert_eq!(ask(&mut normal), Fate::Served, "a normal client among them");
        assert!(begun.elapsed() < Duration::from_secs(30), "{} files", running.open_files());
        thread::sleep(Duration::from_millis(50));
    }
}
