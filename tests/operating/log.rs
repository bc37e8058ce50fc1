//! The access log and the messages of the binary.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::process::Command;

use serde_json::Value;
use signal_hook::consts::SIGTERM;

use super::path;
use crate::support::process::{BINARY, Running};
use crate::support::{GET, read_response, read_to_end, talk_on, wait_until};

fn lines(running: Running, log: &std::path::Path) -> Vec<Value> {
    running.end(SIGTERM);
    let text = fs::read_to_string(log).unwrap();
    fs::remove_file(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_line_tells_the_version_the_id_the_bodies_and_the_rejection() {
    let log = path("fields");
    let file = log.to_str().unwrap();
    let running = Running::start_unpinned(&["--access-log", file, "--trust", "127.0.0.1"]);
    talk_on(
        &mut running.connect(),
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc-1\r\n\r\n\
          GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n\
          POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
          POST /data HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n1234567\
          POST /data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n\
          POST /data HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    );
    talk_on(&mut running.connect(), b"GET / HTTP/1.0\r\n\r\n");
    talk_on(&mut running.connect(), b"GET / HTTP/1.1\r\n\r\n");
    let lines = lines(running, &log);
    assert_eq!(lines[0]["request_id"], "abc-1");
    let made: Vec<&str> = lines[1..].iter().map(|l| l["request_id"].as_str().unwrap()).collect();
    assert!(made.iter().all(|id| id.len() > 16 && id.matches('-').count() == 1), "{made:?}");
    let bodies: Vec<(u64, u64)> = lines
        .iter()
        .map(|line| (&line["request_body_bytes"], &line["body_bytes"]))
        .map(|(read, sent)| (read.as_u64().unwrap(), sent.as_u64().unwrap()))
        .take(6)
        .collect();
    assert_eq!(bodies, [(0, 14), (0, 14), (5, 5), (7, 0), (2, 0), (0, 0)]);
    let versions: Vec<&str> = lines.iter().map(|l| l["http_version"].as_str().unwrap()).collect();
    assert_eq!(versions[5..], ["1.1", "1.0", "1.1"]);
    assert_eq!(lines[7]["rejection"], "host");
    assert!(lines[..7].iter().all(|line| line.get("rejection").is_none()), "{lines:?}");
}

#[test]
fn a_line_says_that_a_request_was_cut() {
    let log = path("cut");
    let running = Running::start_unpinned(&["--access-log", log.to_str().unwrap()]);
    for target in ["/echo", "/data"] {
        let mut stream = running.connect();
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
        stream.write_all(head.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut stream), "");
    }
    talk_on(&mut running.connect(), b"GET / HTTP/1.0\r\n\r\n");
    let lines = lines(running, &log);
    for line in &lines[..2] {
        assert_eq!((&line["status"], &line["cut"]), (&499.into(), &true.into()), "{line}");
        assert_eq!(line["request_body_bytes"], 4, "{line}");
    }
    assert!(lines[2].get("cut").is_none(), "{}", lines[2]);
}

#[test]
fn the_start_line_goes_to_stderr_if_the_log_goes_to_stdout() {
    let stderr = path("start-line");
    let running = Running::start_with_log_on_stdout(&stderr, &[]);
    assert!(running.line().starts_with("pinloop listening on http://"), "{}", running.line());
    running.end(SIGTERM);
    fs::remove_file(stderr).unwrap();
}

#[test]
fn debug_messages_say_what_was_chosen_what_was_rejected_and_the_steps_of_a_stop() {
    let stderr = path("debug");
    let mut command = Command::new(BINARY);
    command.args(["--addr", "127.0.0.1:0", "--threads", "1", "--no-pin"]).env("RUST_LOG", "debug");
    let running = Running::from(command.stderr(fs::File::create(&stderr).unwrap()));
    talk_on(&mut running.connect(), b"GET / HTTP/1.1\r\n\r\n");
    let mut idle = running.connect();
    idle.write_all(GET).unwrap();
    read_response(&mut idle);
    running.end(SIGTERM);
    let mut text = String::new();
    wait_until("the messages are written", || {
        text = fs::read_to_string(&stderr).unwrap();
        text.contains("stopping: over")
    });
    for message in [
        "chosen: 1 threads",
        "chosen: at most 10000 connections",
        "head_bytes_max: 16384",
        "rejecting a request of 127.0.0.1: host",
        "signal 15 has arrived",
        "stopping: accepting ended; 1 connections",
        "stopping: idle connections closed; 0 others",
    ] {
        assert!(text.contains(message), "no '{message}' in {text}");
    }
    fs::remove_file(stderr).unwrap();
}
