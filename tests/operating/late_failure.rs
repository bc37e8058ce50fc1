//! A successor that fails after it has accepted connections.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::path;
use crate::faults::{has_program, skip};
use crate::support::process::{BINARY, Running};
use crate::support::{GET, connect_to, read_response, read_to_end, wait_until};

const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Makes the last step of a takeover fail, after a pause in which the event loops accept.
const INJECTION: &str = "inject=?rename,?renameat,?renameat2:error=EIO:delay_enter=200000";

/// A successor that could not publish its offer ended with the connections that it had accepted.
#[test]
fn a_successor_that_fails_late_answers_on_the_connections_that_it_has_accepted() {
    if !has_program("strace") {
        return skip("without strace, no system call of a successor can be made to fail");
    }
    let (socket, calls) = (path("late"), path("late-calls"));
    let file = socket.to_str().unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--addr", "127.0.0.1:0", "--threads", "1", "--no-pin", "--takeover", file]);
    let running = Running::from(command.args(["--max-connections", "1", "--when-full", "wait"]));
    let addr = running.addr();
    // The process is full, so the other connections stay in the queue for its successor.
    let mut held = running.connect();
    held.write_all(&[GET, &GET[..9]].concat()).unwrap();
    read_response(&mut held);
    let mut queued: Vec<TcpStream> = (0..20).map(|_| connect_to(addr)).collect();
    queued.iter_mut().for_each(|stream| stream.write_all(&CLOSE[..9]).unwrap());
    let mut successor = Command::new("strace");
    successor.args([
        "-f",
        "-qq",
        "-e",
        "trace=?rename,?renameat,?renameat2",
        "-e",
        INJECTION,
        "-o",
    ]);
    successor.arg(&calls).args([BINARY, "--addr", &addr.to_string(), "--takeover", file]);
    successor.args(["--threads", "2", "--no-pin", "--drain-grace", "3600"]);
    successor.args(["--drain-timeout", "3600"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut successor = successor.spawn().unwrap();
    let mut has_ended = false;
    wait_until("the last step has failed", || {
        has_ended = successor.try_wait().unwrap().is_some();
        has_ended || fs::read_to_string(&calls).is_ok_and(|calls| calls.contains("INJECTED"))
    });
    let is_traced = fs::read_to_string(&calls).is_ok_and(|calls| calls.contains("INJECTED"));
    if has_ended && !is_traced {
        return skip("strace may not trace here");
    }
    queued.iter_mut().for_each(|stream| stream.write_all(&CLOSE[9..]).unwrap());
    // The successor answers what it has accepted. The other connections wait for the first process.
    let failed = successor.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&failed.stderr);
    assert!(message.contains("cannot offer a takeover: Input/output error"), "{message}");
    assert_eq!(failed.status.code(), Some(1));
    drop(held);
    for (number, stream) in queued.iter_mut().enumerate() {
        let response = read_to_end(stream);
        assert!(response.starts_with("HTTP/1.1 200 "), "connection {number}: {response}");
    }
    // The offer of the first process is still there.
    let mut command = Command::new(BINARY);
    command.args(["--addr", &addr.to_string(), "--no-pin", "--takeover", file]);
    let next = Running::from(&mut command);
    assert_eq!(next.addr(), addr);
    fs::remove_file(calls).unwrap();
}
