//! The access log of the binary: a line for each request, whatever became of it and
//! whoever reads it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGTERM};

use crate::support::process::Running;
use crate::support::read_answer;

/// A path in the folder for temporary files that nothing else has.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pinloop-test-{}-{name}", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

fn start(log: &str, more: &[&str]) -> Running {
    Running::start(&[&["--threads", "1", "--no-pin", "--access-log", log], more].concat())
}

/// Sends `requests` and reads until the server closes.
fn talk(running: &Running, requests: &str) -> String {
    let mut stream = running.connect();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    String::from_utf8_lossy(&answers).into_owned()
}

fn end(mut running: Running) {
    running.signal(SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
}

/// What the log at `path` has come to: method, target, status, bytes of content.
fn lines(path: &PathBuf) -> Vec<(String, String, u64, u64)> {
    let text = fs::read_to_string(path).unwrap();
    let text_of = |value: &Value| value.as_str().unwrap().to_string();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert_eq!(line["client"], "127.0.0.1");
        assert!(line["duration_us"].is_u64(), "{line}");
        let number = |name: &str| line[name].as_u64().unwrap();
        (text_of(&line["method"]), text_of(&line["target"]), number("status"), number("body_bytes"))
    };
    text.lines().map(line).collect()
}

fn expected(lines: &[(&str, &str, u64, u64)]) -> Vec<(String, String, u64, u64)> {
    lines
        .iter()
        .map(|&(method, target, status, bytes)| (method.into(), target.into(), status, bytes))
        .collect()
}

fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::yield_now();
    }
}

#[test]
fn has_a_line_for_each_answer_however_it_was_made() {
    let file = path("answers");
    let running = start(file.to_str().unwrap(), &["--work", "1"]);
    talk(
        &running,
        "GET /?a HTTP/1.1\r\nHost: a\r\n\r\n\
         HEAD / HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
         POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n\
         GET /data?offload HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /data HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\
         GET /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    talk(&running, "GET /wrong HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    talk(&running, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
    end(running);
    let found = lines(&file);
    let rejection = |at: usize| found.get(at).map_or(0, |line| line.3);
    assert!(rejection(7) > 0 && rejection(8) > 0, "a rejection says why: {found:?}");
    assert_eq!(
        found,
        expected(&[
            ("GET", "/?a", 200, 14),
            ("HEAD", "/", 200, 0),
            ("POST", "/echo", 200, 5),
            ("POST", "/echo", 200, 7),
            ("GET", "/data?offload", 200, 48),
            ("POST", "/data", 405, 0),
            ("GET", "/nope", 404, 0),
            ("GET", "/wrong", 400, rejection(7)),
            ("POST", "/echo", 400, rejection(8)),
        ])
    );
    fs::remove_file(file).unwrap();
}

#[test]
fn has_a_line_for_a_client_that_left() {
    let file = path("left");
    let running = start(file.to_str().unwrap(), &[]);
    let mut stream = running.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    end(running);
    assert_eq!(lines(&file), expected(&[("POST", "/echo", 499, 0)]));
    fs::remove_file(file).unwrap();
}

#[test]
fn the_combined_format_keeps_a_client_from_forging_lines() {
    let file = path("combined");
    let running = start(file.to_str().unwrap(), &["--access-log-format", "combined"]);
    talk(&running, "GET /a\"b HTTP/1.0\r\n\r\n");
    talk(
        &running,
        "GET / HTTP/1.0\r\nReferer: http://c/\r\nUser-Agent: \" 200 9 \"\\\u{e9}\r\n\r\n",
    );
    end(running);
    let text = fs::read_to_string(&file).unwrap();
    let after_time = |line: &str| {
        let (client, rest) = line.split_once(" - - [").unwrap();
        assert_eq!(client, "127.0.0.1");
        rest.split_once(" +0000] ").unwrap().1.to_string()
    };
    let lines: Vec<_> = text.lines().map(after_time).collect();
    assert!(lines[0].starts_with("\"GET /a\\x22b HTTP/1.1\" 400 "), "{}", lines[0]);
    let forged = "\"GET / HTTP/1.0\" 200 14 \"http://c/\" \"\\x22 200 9 \\x22\\x5C\\xC3\\xA9\"";
    assert_eq!(lines[1..], [forged]);
    fs::remove_file(file).unwrap();
}

#[test]
fn sighup_opens_the_file_anew() {
    let (file, old) = (path("rotated"), path("rotated.1"));
    let running = start(file.to_str().unwrap(), &[]);
    let request = "GET /before HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    talk(&running, request);
    // An answer may be there before its line.
    wait_for("the line", || fs::metadata(&file).unwrap().len() > 0);
    fs::rename(&file, &old).unwrap();
    running.signal(SIGHUP);
    wait_for("a new file", || file.exists());
    talk(&running, &request.replace("before", "after"));
    end(running);
    assert_eq!(lines(&old), expected(&[("GET", "/before", 404, 0)]));
    assert_eq!(lines(&file), expected(&[("GET", "/after", 404, 0)]));
    fs::remove_file(file).unwrap();
    fs::remove_file(old).unwrap();
}

/// Has 1,000 requests with targets of 10,000 bytes answered: more than a pipe of 64 KiB
/// and the queue hold.
fn ask_for_10_mb_of_lines(running: &Running) {
    let mut stream = running.connect();
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(10_000));
    for _ in 0..1_000 {
        stream.write_all(request.as_bytes()).unwrap();
        let (head, _) = read_answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    }
}

#[test]
fn a_pipe_that_nobody_reads_holds_nobody_up_and_the_drops_are_said() {
    let (pipe, said) = (path("pipe"), path("said"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let log = ["--threads", "1", "--no-pin", "--access-log", pipe.to_str().unwrap()];
    let running = Running::start_saying_to(File::create(&said).unwrap(), &log);
    ask_for_10_mb_of_lines(&running);
    end(running);
    let text = fs::read_to_string(&said).unwrap();
    assert!(text.contains("lines of the access log were dropped"), "{text}");
    assert!(text.contains("nobody reads the access log"), "{text}");
    fs::remove_file(pipe).unwrap();
    fs::remove_file(said).unwrap();
}

#[test]
fn a_pipe_that_is_closed_is_said_once_and_holds_nobody_up() {
    let said = path("closed");
    // The test has read the line on start and closed the pipe.
    let log = ["--threads", "1", "--no-pin", "--access-log", "-"];
    let running = Running::start_saying_to(File::create(&said).unwrap(), &log);
    ask_for_10_mb_of_lines(&running);
    end(running);
    let text = fs::read_to_string(&said).unwrap();
    assert_eq!(text.matches("cannot write the access log").count(), 1, "{text}");
    fs::remove_file(said).unwrap();
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_on_start() {
    let failed = Command::new(crate::support::process::BINARY)
        .args(["--addr", "127.0.0.1:0", "--access-log", "/no/such/folder/log"])
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(2));
    let message = String::from_utf8_lossy(&failed.stderr);
    assert!(message.contains("cannot write an access log to /no/such/folder/log: "), "{message}");
}
