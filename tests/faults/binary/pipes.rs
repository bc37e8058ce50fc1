//! A pipe that nobody reads stops nothing.

use std::io::{ErrorKind, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};

use signal_hook::consts::{SIGINT, SIGTERM};
use socket2::SockRef;

use crate::support::process::{BINARY, Running};
use crate::support::{GET, connect_to, read_response, wait_until};

/// Returns a pipe. Nobody reads it while the reader is kept.
fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().expect("a pipe")
}

/// Returns a pipe that takes no further byte.
pub(super) fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe();
    // The flag belongs to the pipe, so it must be taken back before the server gets it.
    SockRef::from(&writer).set_nonblocking(true).unwrap();
    for piece in [&[b'x'; 4_096][..], b"x"] {
        loop {
            match writer.write(piece) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    SockRef::from(&writer).set_nonblocking(false).unwrap();
    (reader, writer)
}

/// A server with a start line that nobody reads.
struct Silent {
    child: Child,
    addr: SocketAddr,
}

impl Silent {
    /// Starts the binary on a port that was free a moment ago.
    fn start(files_max: u32, stdout: Stdio, stderr: Stdio, arguments: &[&str]) -> Silent {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let script = format!("ulimit -n {files_max}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, BINARY, "--addr", &addr.to_string()]);
        command.args(["--threads", "2", "--no-pin", "--drain-timeout", "1"]).args(arguments);
        let child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        let silent = Silent { child, addr };
        wait_until("the server listens", || TcpStream::connect(addr).is_ok());
        silent
    }

    fn ask(&self, path: &str) -> String {
        let mut stream = connect_to(self.addr);
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let (head, body) = read_response(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        String::from_utf8(body).unwrap()
    }

    /// Sends `signal` and expects the process to end.
    fn end(&mut self, signal: i32) -> ExitStatus {
        let id = self.child.id().to_string();
        Command::new("kill").args([format!("-{signal}"), id]).status().unwrap();
        let mut status = None;
        wait_until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// With the access log and stderr on one pipe that nobody reads, SIGTERM had no effect (issue
/// 13, number 1).
#[test]
fn a_full_pipe_of_the_access_log_does_not_prevent_a_stop() {
    for signal in [SIGTERM, SIGINT] {
        let (reader, writer) = pipe();
        let stderr = writer.try_clone().unwrap();
        let arguments = ["--access-log", "-", "--metrics"];
        let mut silent = Silent::start(1_000, writer.into(), stderr.into(), &arguments);
        let mut stream = connect_to(silent.addr);
        // A line has 100 bytes and more, and a pipe 64 KiB.
        for _ in 0..200 {
            stream.write_all(&GET.repeat(100)).unwrap();
            (0..100).for_each(|_| drop(read_response(&mut stream)));
        }
        silent.ask("/healthz");
        // Lines are lost, and it is a success that the clients are not.
        assert!(silent.end(signal).code().is_some());
        drop(reader);
    }
}

/// With stdout full at the start line, the server served but ignored signals (issue 13, number
/// 1).
#[test]
fn a_full_stdout_at_the_start_line_does_not_prevent_a_stop() {
    for signal in [SIGTERM, SIGINT] {
        let (_reader, writer) = full_pipe();
        let mut silent = Silent::start(1_000, writer.into(), Stdio::null(), &[]);
        silent.ask("/healthz");
        assert_eq!(silent.end(signal).code(), Some(0));
    }
}

/// With stderr full, one warning blocked every loop, health checks included (issue 13, number
/// 1). Running out of descriptors gives a warning.
#[test]
fn a_full_stderr_blocks_no_event_loop() {
    let (_reader, writer) = full_pipe();
    let mut silent = Silent::start(40, Stdio::null(), writer.into(), &["--metrics"]);
    for _ in 0..3 {
        let mut kept: Vec<TcpStream> = (0..8).map(|_| connect_to(silent.addr)).collect();
        for stream in &mut kept {
            stream.write_all(GET).unwrap();
            read_response(stream);
        }
        let crowd: Vec<TcpStream> = (0..100).map(|_| connect_to(silent.addr)).collect();
        for stream in &mut kept {
            stream.write_all(GET).unwrap();
            assert_eq!(read_response(stream).1, b"Try POST /echo");
        }
        drop(crowd);
        drop(kept);
        wait_until("descriptors are free again", || {
            let mut stream = connect_to(silent.addr);
            let _ = stream.write_all(GET);
            crate::support::response::read_some(&mut stream, &mut [0; 15])
                .is_ok_and(|read| read > 0)
        });
    }
    silent.ask("/healthz");
    assert_eq!(silent.end(SIGTERM).code(), Some(0));
}

/// Diagnostics that nobody reads are dropped and counted (issue 13, number 1).
#[test]
fn dropped_lines_are_counted_in_a_metric() {
    let (_reader, writer) = full_pipe();
    let arguments = ["--access-log", "-", "--metrics"];
    let silent = Silent::start(1_000, writer.into(), Stdio::null(), &arguments);
    let mut stream = connect_to(silent.addr);
    let request = format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8_000));
    // The queue holds 4 MiB of lines.
    for _ in 0..2_000 {
        stream.write_all(request.as_bytes()).unwrap();
        read_response(&mut stream);
    }
    wait_until("a metric counts dropped lines", || {
        silent
            .ask("/metrics")
            .lines()
            .any(|line| !line.starts_with('#') && line.contains("dropped") && !line.ends_with(" 0"))
    });
}

/// A reader that closes its end has the server go on as well (issue 13, number 1).
#[test]
fn closed_pipes_do_not_end_the_server() {
    let (reader, writer) = pipe();
    let stderr = writer.try_clone().unwrap();
    let mut silent = Silent::start(1_000, writer.into(), stderr.into(), &["--access-log", "-"]);
    drop(reader);
    for _ in 0..20 {
        silent.ask("/");
    }
    assert_eq!(silent.end(SIGTERM).code(), Some(0));
    // The same if both were closed before the start.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>&-", BINARY]);
    command.args(["--threads", "1", "--no-pin", "--addr", "127.0.0.1:0"]);
    let running = Running::from(&mut command);
    let mut stream = running.connect();
    stream.write_all(GET).unwrap();
    assert_eq!(read_response(&mut stream).1, b"Try POST /echo");
    running.end(SIGTERM);
}
