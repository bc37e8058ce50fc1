//! The gate over real sockets: each variant serves on a thread of this process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use pinloop_bench::results::Subject;
use pinloop_bench::rig::gate;
use pinloop_bench::rig::gate::Server;
use pinloop_bench::rig::regimes::Regime;
use pinloop_bench::rig::{machine, regimes};
use pinloop_bench::variants::{self, Settings, Variant};

#[test]
fn all_variants_give_the_same_answers_and_the_floor_as_many_bytes() {
    let servers: Vec<Server> = available().map(|variant| serve(variant.name, 10)).collect();
    assert!(servers.len() > 1);
    let gate = gate::run(&servers, &regimes::quick(), &|| true).gate;
    let differences: Vec<String> = gate
        .differences
        .iter()
        .filter(|difference| difference.subject.is_binding())
        .map(|d| format!("{}: {}\n{}\n{}\n", d.contender, d.exchange, d.expected, d.found))
        .collect();
    assert!(differences.is_empty(), "{}", differences.concat());
    assert!(gate.exchanges.len() > 20);
}

#[test]
fn a_wrong_answer_to_a_measured_request_names_its_regime() {
    let servers = [serve("hyper_single", 100), serve("hyper_single", 7)];
    let gate = gate::run(&servers, &regimes::quick(), &|| true).gate;
    let of_data = Subject::Measured("data".to_string());
    assert!(gate.differences.iter().any(|difference| difference.subject == of_data));
    let data = gate.differences.iter().find(|d| d.exchange == "GET /data").unwrap();
    assert_eq!(data.subject, Subject::Service);
    assert!(data.expected.ends_with(
        "{\\\"street\\\":\\\"10 Downing Street\\\",\\\"city\\\":\\\"Value: 99\\\"}\n(stays open)"
    ));
    assert!(data.found.contains("Value: 6"));
}

#[test]
fn another_answer_from_outside_is_counted_and_not_a_fault() {
    let mut servers = [serve("hyper_single", 100), serve("hyper_single", 7)];
    servers[1].outside = true;
    servers[1].works = false;
    let gate = gate::run(&servers, &regimes::quick(), &|| true).gate;
    let data = gate.differences.iter().find(|d| d.exchange == "GET /data").unwrap();
    assert_eq!(data.subject, Subject::Outside);
    assert!(gate.is_passed());
    // GET /data three times: alone, with an absolute URL, and between two other requests.
    let counted = &gate.outside[0];
    assert_eq!((gate.outside.len(), counted.different), (1, 3), "{counted:?}");
    assert!(counted.same > 15, "{counted:?}");
}

#[test]
fn a_server_from_outside_that_claims_the_work_must_show_its_result() {
    let mut servers = [serve("hyper_single", 100), serve("hyper_single", 7)];
    servers[1].outside = true;
    let verdict = gate::run(&servers, &regimes::quick(), &|| true);
    assert!(!verdict.gate.is_passed());
    assert!(verdict.failures_in("closed").is_empty());
    let failures = verdict.failures_in("data");
    assert_eq!(failures[0].contender, servers[1].key);
    assert_eq!(failures[0].reason, "its answer differs from that of hyper_single");
}

#[test]
fn an_echo_that_is_answered_before_it_has_arrived_is_named() {
    let echo = regimes::full().into_iter().find(|regime| regime.key == "echo").unwrap();
    let head = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 64\r\n\r\n";
    let request = [head.as_slice(), &[b'x'; 64]].concat();
    let echo = [Regime { connections: 2, request, ..echo }];
    let mut honest = serve("hyper_single", 1);
    honest.outside = true;
    let early = Server { key: "early".to_string(), address: serve_early(), ..honest.clone() };
    let verdict = gate::run(&[serve("pinloop", 1), honest, early], &echo, &|| true);
    let failures = verdict.failures_in("echo");
    assert!(failures.iter().all(|failure| failure.contender == "early"), "{failures:?}");
    assert_eq!(failures[0].reason, "its answer differs from that of pinloop");
}

#[test]
fn the_gate_keeps_the_answer_of_each_server_in_each_regime() {
    let servers = [serve("pinloop", 1), serve("axum", 1)];
    let regimes = regimes::quick();
    let verdict = gate::run(&servers, &regimes, &|| true);
    for (server, regime) in servers.iter().flat_map(|s| regimes.iter().map(move |r| (s, r))) {
        let key = (server.key.clone(), regime.key.to_string());
        assert!(verdict.expected.contains_key(&key), "{key:?}");
    }
    let of = |key: &str| verdict.expected[&(key.to_string(), "data".to_string())].clone();
    assert!(of("pinloop") == of("axum"));
}

#[test]
fn a_server_that_is_gone_differs_in_everything() {
    let live = serve("hyper_single", 100);
    // Bound and dropped: nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Server {
        key: "gone".to_string(),
        address: gone,
        answers: true,
        outside: false,
        works: true,
    };
    let gate = gate::run(&[live, gone], &[], &|| true).gate;
    assert_eq!(gate.differences.len(), gate.exchanges.len());
}

#[test]
fn a_server_that_hangs_is_asked_once_only() {
    let live = serve("hyper_single", 100);
    // Connections are queued by the kernel; nobody accepts them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = Server {
        key: "silent".to_string(),
        address: listener.local_addr().unwrap(),
        answers: true,
        outside: false,
        works: true,
    };
    let verdict = gate::run(&[live, silent], &[], &|| true);
    assert_eq!(verdict.failures.len(), 1);
    assert_eq!(verdict.failures[0].contender, "silent");
    assert!(verdict.gate.differences.is_empty());
    assert!(verdict.gate.exchanges.len() > 20);
}

/// Serves echoes as soon as it has their head, with a body that is right for the measured echo.
fn serve_early() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer_early(&stream.unwrap()));
        }
    });
    address
}

fn answer_early(mut stream: &TcpStream) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(digits) = line.trim().strip_prefix("content-length: ") {
            length = digits.parse().unwrap_or(0);
        }
        if line == "\r\n" {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")?;
            stream.write_all(&b"x".repeat(length))?;
            io::copy(&mut requests.by_ref().take(length as u64), &mut io::sink())?;
            length = 0;
        }
    }
}

/// Returns the rungs of the ladder that this machine can run.
fn available() -> impl Iterator<Item = &'static Variant> {
    variants::full_ladder().filter(|variant| {
        let reason = variants::unavailable(variant);
        reason.iter().for_each(|reason| println!("{} is left out: {reason}", variant.name));
        reason.is_none()
    })
}

fn serve(variant: &str, rounds: u32) -> Server {
    let variant = variants::find(variant).unwrap();
    let cores = vec![machine::allowed_cores().unwrap()[0]];
    let (ready, address) = mpsc::channel();
    thread::spawn(move || {
        let settings =
            Settings { address: ([127, 0, 0, 1], 0).into(), cores, rounds, connections: 0 };
        let announce = |address: SocketAddr| ready.send(address).unwrap();
        (variant.serve)(&settings, &announce).unwrap();
    });
    Server {
        key: variant.name.to_string(),
        address: address.recv().unwrap(),
        answers: variant.answers,
        outside: false,
        works: true,
    }
}
