//! The access log of the binary: one line for each request, whatever its outcome, and never
//! at the expense of a client.

use std::fs::{self, File};
use std::io::Write;
use std::net::Shutdown;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGTERM};

use crate::support::process::Running;
use crate::support::{read_response, read_to_end, talk_on, wait_until};

/// Returns a path in the folder for temporary files that only this test uses.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pinloop-test-{}-{name}", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

fn start(log: &str, more: &[&str]) -> Running {
    Running::start_unpinned(&[&["--access-log", log], more].concat())
}

/// Sends `requests` and reads until the server closes.
fn talk(running: &Running, requests: &str) {
    talk_on(&mut running.connect(), requests.as_bytes());
}

/// Returns the lines of the log at `path`: method, target, status, bytes of the body.
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

#[test]
fn logs_each_kind_of_response() {
    let file = path("responses");
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
    running.end(SIGTERM);
    let found = lines(&file);
    let rejection = |at: usize| found.get(at).map_or(0, |line| line.3);
    assert!(rejection(7) > 0 && rejection(8) > 0, "a rejection has a body: {found:?}");
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
fn logs_499_for_a_client_that_left() {
    let file = path("left");
    let running = start(file.to_str().unwrap(), &[]);
    let mut stream = running.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), "");
    running.end(SIGTERM);
    assert_eq!(lines(&file), expected(&[("POST", "/echo", 499, 0)]));
    fs::remove_file(file).unwrap();
}

#[test]
fn clients_cannot_forge_lines_of_the_combined_format() {
    let file = path("combined");
    let running = start(file.to_str().unwrap(), &["--access-log-format", "combined"]);
    talk(&running, "GET /a\"b HTTP/1.0\r\n\r\n");
    talk(
        &running,
        "GET / HTTP/1.0\r\nReferer: http://c/\r\nUser-Agent: \" 200 9 \"\\\u{e9}\r\n\r\n",
    );
    running.end(SIGTERM);
    let text = fs::read_to_string(&file).unwrap();
    let after_time = |line: &str| {
        let (client, rest) = line.split_once(" - - [").unwrap();
        assert_eq!(client, "127.0.0.1");
        rest.split_once(" +0000] ").unwrap().1.to_string()
    };
    let lines: Vec<_> = text.lines().map(after_time).collect();
    assert!(lines[0].starts_with("\"GET /a\\x22b HTTP/1.0\" 400 "), "{}", lines[0]);
    let forged = "\"GET / HTTP/1.0\" 200 14 \"http://c/\" \"\\x22 200 9 \\x22\\x5C\\xC3\\xA9\"";
    assert_eq!(lines[1..], [forged]);
    fs::remove_file(file).unwrap();
}

#[test]
fn sighup_reopens_the_file() {
    let (file, old) = (path("rotated"), path("rotated.1"));
    let running = start(file.to_str().unwrap(), &[]);
    let request = "GET /before HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    talk(&running, request);
    // The response may arrive before its line is written.
    wait_until("the log has a line", || fs::metadata(&file).unwrap().len() > 0);
    fs::rename(&file, &old).unwrap();
    running.signal(SIGHUP);
    wait_until("the log file is opened again", || file.exists());
    talk(&running, &request.replace("before", "after"));
    running.end(SIGTERM);
    assert_eq!(lines(&old), expected(&[("GET", "/before", 404, 0)]));
    assert_eq!(lines(&file), expected(&[("GET", "/after", 404, 0)]));
    fs::remove_file(file).unwrap();
    fs::remove_file(old).unwrap();
}

/// Causes 10 MB of log lines: more than a pipe of 64 KiB and the log's queue hold.
fn cause_10_mb_of_lines(running: &Running) {
    let mut stream = running.connect();
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(10_000));
    for _ in 0..1_000 {
        stream.write_all(request.as_bytes()).unwrap();
        let (head, _) = read_response(&mut stream);
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    }
}

#[test]
fn an_unread_pipe_delays_no_client_and_dropped_lines_are_reported() {
    let (pipe, stderr) = (path("pipe"), path("stderr"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let log = ["--access-log", pipe.to_str().unwrap()];
    let running = Running::start_with_stderr(File::create(&stderr).unwrap(), &log);
    cause_10_mb_of_lines(&running);
    running.end(SIGTERM);
    let text = fs::read_to_string(&stderr).unwrap();
    let dropped = text.lines().find(|line| line.contains("dropped")).expect("a count of lines");
    assert!(dropped.contains("access log"), "{dropped}");
    assert!(dropped.chars().any(|c| ('1'..='9').contains(&c)), "{dropped}");
    // The last lines are still in the queue when the server ends.
    assert!(text.contains("not written"), "{text}");
    fs::remove_file(pipe).unwrap();
    fs::remove_file(stderr).unwrap();
}

#[test]
fn a_closed_pipe_is_reported_once_and_delays_no_client() {
    let stderr = path("closed");
    let running = Running::start_with_log_on_stdout(&stderr, &[]);
    cause_10_mb_of_lines(&running);
    running.end(SIGTERM);
    let text = fs::read_to_string(&stderr).unwrap();
    let reports = text.lines().filter(|line| line.contains("access log"));
    let reports = reports.filter(|line| line.contains("ipe"));
    assert_eq!(reports.count(), 1, "{text}");
    fs::remove_file(stderr).unwrap();
}

#[test]
fn a_log_file_that_cannot_be_written_is_an_error_at_start() {
    let failed = Command::new(crate::support::process::BINARY)
        .args(["--addr", "127.0.0.1:0", "--access-log", "/no/such/folder/log"])
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(2));
    let message = String::from_utf8_lossy(&failed.stderr);
    assert!(message.contains("/no/such/folder/log"), "{message}");
}
