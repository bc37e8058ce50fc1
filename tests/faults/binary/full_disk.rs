//! The access log on a full disk, and what its lines may hold.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use signal_hook::consts::SIGTERM;

use crate::faults::{is_root, skip};
use crate::support::process::Running;
use crate::support::{connect_to, read_response, talk_on, wait_until};

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("pinloop-test-{}-{name}", std::process::id()))
}

/// A small file system in memory, which is unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let path = temporary("disk");
        fs::create_dir_all(&path).ok()?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=128k", "pinloop-test"]).arg(&path);
        let is_mounted = command.output().is_ok_and(|output| output.status.success());
        is_mounted.then_some(SmallDisk(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// Returns the query of each line. Panics at a line that is not whole.
fn queries(log: &Path) -> Vec<usize> {
    let text = fs::read_to_string(log).unwrap();
    let query = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("torn: {line}"));
        let target = line["target"].as_str().unwrap().to_string();
        target[2..].split('&').next().unwrap().parse().unwrap()
    };
    text.lines().map(query).collect()
}

/// A full disk tore a line and joined it to the next one, and the warning blamed the reader
/// (issue 13, number 16).
#[test]
fn a_full_disk_costs_whole_lines_and_the_error_is_named() {
    if !is_root() {
        return skip("a small file system needs root");
    }
    let Some(disk) = SmallDisk::mount() else { return skip("tmpfs cannot be mounted") };
    let (log, filler, messages) =
        (disk.0.join("log"), disk.0.join("filler"), temporary("messages"));
    fs::write(&filler, [b'x'; 60_000]).unwrap();
    let stderr = File::create(&messages).unwrap();
    let arguments = ["--access-log", log.to_str().unwrap()];
    let running = Running::start_with_stderr(stderr, &arguments);
    let mut stream = connect_to(running.addr());
    let mut sent = 0;
    let mut ask = |count: usize| {
        for _ in 0..count {
            // Lines of different lengths, so that the disk is full in the middle of one.
            let rest = "x".repeat(50 + sent * 37 % 900);
            let request = format!("GET /?{sent}&{rest} HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            read_response(&mut stream);
            sent += 1;
        }
    };
    wait_until("the disk is full", || {
        ask(50);
        fs::read_to_string(&messages).unwrap().contains("No space left")
    });
    fs::remove_file(&filler).unwrap();
    let bytes = || fs::metadata(&log).unwrap().len();
    let before = bytes();
    wait_until("lines are written again", || {
        ask(1);
        bytes() > before
    });
    ask(20);
    running.end(SIGTERM);
    let written = queries(&log);
    assert!(written.is_sorted_by(|a, b| a < b), "lines in order, each once");
    let message = fs::read_to_string(&messages).unwrap();
    let lost = sent - written.len();
    assert!(lost > 0 && message.contains("line"), "{lost} lines lost: {message}");
    assert!(!message.contains("reader"), "a disk has no reader: {message}");
    fs::remove_file(&messages).unwrap();
}

/// A device that is always full costs no client its response (issue 13, number 16).
#[test]
fn a_device_that_is_always_full_costs_no_response() {
    let messages = temporary("full-messages");
    let stderr = File::create(&messages).unwrap();
    let running = Running::start_with_stderr(stderr, &["--access-log", "/dev/full"]);
    let mut stream = running.connect();
    let mut ask = || {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_response(&mut stream).1, b"Try POST /echo");
    };
    wait_until("the error is named", || {
        ask();
        fs::read_to_string(&messages).unwrap().contains("No space left")
    });
    running.end(SIGTERM);
    fs::remove_file(&messages).unwrap();
}

/// JSON lines held DEL, C1 and bidi controls as they are, which the combined format escapes
/// (issue 13, number 16).
#[test]
fn json_lines_escape_the_controls_that_the_combined_format_escapes() {
    for format in ["json", "combined"] {
        let log = temporary(&format!("controls-{format}"));
        let _ = fs::remove_file(&log);
        let arguments = ["--access-log", log.to_str().unwrap(), "--access-log-format", format];
        let running = Running::start_unpinned(&arguments);
        let agent = "a\u{85}b\u{9b}c\u{202e}d\u{2066}e\u{200f}f";
        let request = format!("GET / HTTP/1.0\r\nUser-Agent: {agent}\r\n\r\n");
        talk_on(&mut running.connect(), request.as_bytes());
        running.end(SIGTERM);
        let text = fs::read_to_string(&log).unwrap();
        let control = text.chars().find(|&each| {
            matches!(each, '\0'..='\x09' | '\x7f'..='\u{9f}' | '\u{200e}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert_eq!(control, None, "{format}: {text:?}");
        if format == "json" {
            let line: Value = serde_json::from_str(text.trim_end()).unwrap();
            assert_eq!(line["user_agent"], agent, "the escapes are JSON's own");
        }
        fs::remove_file(&log).unwrap();
    }
}

/// A server on both families logged IPv4 clients as `::ffff:127.0.0.1` (issue 13, number 16).
#[test]
fn a_dual_stack_server_logs_ipv4_clients_as_ipv4() {
    let log = temporary("dual");
    let _ = fs::remove_file(&log);
    let mut command = Command::new(crate::support::process::BINARY);
    command.args(["--threads", "1", "--no-pin", "--addr", "[::]:0", "--access-log"]);
    let running = Running::from(command.arg(&log));
    if running.line().is_empty() {
        return skip("this machine has no IPv6");
    }
    let addr = ([127, 0, 0, 1], running.addr().port()).into();
    talk_on(&mut connect_to(addr), b"GET / HTTP/1.0\r\n\r\n");
    running.end(SIGTERM);
    let line: Value = serde_json::from_str(fs::read_to_string(&log).unwrap().trim_end()).unwrap();
    assert_eq!(line["client"], "127.0.0.1");
    fs::remove_file(&log).unwrap();
}

/// A 400 was logged without the method, the path and the user agent of its head (issue 13,
/// number 19).
#[test]
fn a_rejected_head_is_logged_as_far_as_it_was_read() {
    let log = temporary("rejected");
    let _ = fs::remove_file(&log);
    let running = Running::start_unpinned(&["--access-log", log.to_str().unwrap()]);
    let head = "GET /wrong?x HTTP/1.1\r\nUser-Agent: probe\r\nHost: a\r\nHost: b\r\n\r\n";
    talk_on(&mut running.connect(), head.as_bytes());
    talk_on(&mut running.connect(), b"PUT /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n");
    running.end(SIGTERM);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines.iter().all(|line| line["status"] == 400), "{text}");
    assert_eq!((&lines[0]["method"], &lines[0]["target"]), (&"GET".into(), &"/wrong?x".into()));
    assert_eq!(lines[0]["user_agent"], "probe");
    assert_eq!(lines[1]["method"], "PUT", "{text}");
    fs::remove_file(&log).unwrap();
}
