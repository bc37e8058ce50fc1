//! The gate against servers that are wrong under load only, and against an honest one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use pinloop_bench::load::Expected;
use pinloop_bench::results::{Contender, Settings};
use pinloop_bench::rig::fleet::{Entrant, Fleet};
use pinloop_bench::rig::host::Host;
use pinloop_bench::rig::load_hosts::LoadHosts;
use pinloop_bench::rig::machine::allowed_cores;
use pinloop_bench::rig::process::{PARENT, Readiness};
use pinloop_bench::rig::regimes::{self, Regime};
use pinloop_bench::rig::rehearsal::{self, Rehearsed};
use pinloop_bench::rig::slice::Lane;

const PATIENCE: Duration = Duration::from_secs(10);

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Function that decides about the `nth` request, counted from 1 over all connections.
type Behavior = fn(u64) -> Act;

enum Act {
    Say(&'static str),
    SayAndClose(&'static str),
}

#[test]
fn an_honest_server_passes_without_complaint() {
    for regime in regimes::quick() {
        let rehearsed = rehearse(&regime, |_| Act::Say(ANSWER)).unwrap();
        assert_eq!(rehearsed.bytes_per_answer, ANSWER.len() as f64);
        assert!(rehearsed.expected.is_some());
    }
}

#[test]
fn servers_that_are_wrong_under_load_are_named() {
    let behaviors: [(&str, Behavior); 6] = [
        ("byte 4 of its body is 'O' in place of 'o'", |nth| match nth % 1000 {
            0 => Act::Say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhellO"),
            _ => Act::Say(ANSWER),
        }),
        ("byte 0 of its body is 'j' in place of 'h'", |nth| match nth {
            1001.. => Act::Say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\njello"),
            _ => Act::Say(ANSWER),
        }),
        ("'content-length: 0' in place of 'content-length: 5'", |nth| match nth {
            1001.. => Act::Say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            _ => Act::Say(ANSWER),
        }),
        ("the answer's status was 503", |nth| match nth {
            1001.. => Act::Say("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"),
            _ => Act::Say(ANSWER),
        }),
        ("'connection: close' as well", |nth| match nth % 50 {
            0 => Act::SayAndClose(
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
            ),
            _ => Act::Say(ANSWER),
        }),
        ("it closed connections", |nth| match nth % 50 {
            0 => Act::SayAndClose(ANSWER),
            _ => Act::Say(ANSWER),
        }),
    ];
    let regime = &regimes::quick()[0];
    for (said, behavior) in behaviors {
        let reason = rehearse(regime, behavior).unwrap_err();
        assert!(reason.contains(said), "{said}: {reason}");
    }
}

#[test]
fn connections_that_the_regime_closes_are_allowed() {
    let all = regimes::all();
    for key in ["connect", "connect10"] {
        let regime = all.iter().find(|regime| regime.key == key).unwrap();
        assert!(rehearse(regime, |_| Act::Say(ANSWER)).is_ok(), "{key}");
        let reason = rehearse(regime, |nth| match nth % 3 {
            0 => Act::SayAndClose(ANSWER),
            _ => Act::Say(ANSWER),
        });
        assert_eq!(reason.is_err(), key == "connect10", "{key}");
    }
}

#[test]
fn a_slice_is_compared_with_the_answer_from_the_gate() {
    let core = allowed_cores().unwrap()[0];
    let settings = Settings {
        server_cores: vec![core],
        generator_cores: vec![core],
        slice_ms: 10,
        warm_up_ms: 10,
        ..Settings::default()
    };
    let host = Host::local(Path::new(env!("CARGO_BIN_EXE_pinloop-bench"))).unwrap();
    let load_hosts = LoadHosts::from([]);
    let regime = &regimes::quick()[0];
    let wrong = Expected::new(b"HTTP/1.1 200 OK\r\n\r\n", b"another answer");
    for (expected, fails) in [(None, false), (Some(wrong), true)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinloop-bench"));
        command.args(["serve", "pinloop", "--cores", &core.to_string()]);
        command.args(["--parent", PARENT]);
        let mut entrants = [Entrant {
            contender: Contender {
                key: "pinloop".to_string(),
                variant: "pinloop".to_string(),
                about: String::new(),
                base: None,
                adds: String::new(),
                command: None,
            },
            answers: true,
            works: true,
            command,
            readiness: Readiness::Announced,
            patience: PATIENCE,
            expected: expected.map(|of| (regime.key.to_string(), of)).into_iter().collect(),
        }];
        let mut fleet = Fleet::start(&host, &mut entrants, &[core], &|| true);
        let slice = Lane::open(&mut fleet.members[0], regime, &settings, &load_hosts).slice();
        assert_eq!(slice.is_err(), fails, "{slice:?}");
        if let Err(reason) = slice {
            assert!(reason.contains("the answer differs from the first one"), "{reason}");
        }
    }
}

fn rehearse(regime: &Regime, behavior: Behavior) -> Result<Rehearsed, String> {
    rehearsal::run(serve(behavior), regime, PATIENCE)
}

/// Serves on a thread for each connection, to the end of this process.
fn serve(behavior: Behavior) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let requests = Arc::clone(&requests);
            thread::spawn(move || answer(stream.unwrap(), behavior, &requests));
        }
    });
    address
}

fn answer(mut stream: TcpStream, behavior: Behavior, requests: &AtomicU64) {
    let mut pending = Vec::new();
    let mut piece = [0; 64 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        pending.extend_from_slice(&piece[..read]);
        let mut answers = String::new();
        let mut closes = false;
        while let Some(end) = pending.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            pending.drain(..end + 4);
            match behavior(requests.fetch_add(1, Relaxed) + 1) {
                Act::Say(text) => answers += text,
                Act::SayAndClose(text) => {
                    answers += text;
                    closes = true;
                    break;
                }
            }
        }
        if stream.write_all(answers.as_bytes()).is_err() || closes {
            return;
        }
    }
}
