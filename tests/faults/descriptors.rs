//! A server that says that it listens can serve.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{has_program, is_root, skip};
use crate::support::process::{BINARY, Running};
use crate::support::response::{read_some, try_read_response};
use crate::support::{GET, connect_to, read_response, wait_until};

/// Starts a server that may fail. Returns its address if it says that it listens.
fn spawn(command: &mut Command) -> (Child, Option<SocketAddr>) {
    let command = command.args(["--no-pin", "--addr", "127.0.0.1:0"]);
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line
        .split_once("listening on http://")
        .map(|(_, rest)| rest.split_whitespace().next().unwrap().parse().expect("an address"));
    (child, addr)
}

/// With `ulimit -n` just large enough to start, the server printed its start line and accepted
/// nobody, without a word (issue 13, number 9).
#[test]
fn a_server_without_descriptors_for_clients_does_not_start() {
    let (mut refused, mut served) = (0, 0);
    for threads in ["1", "3"] {
        for files_max in 4..=40 {
            let script = format!("ulimit -n {files_max}; exec \"$0\" \"$@\"");
            let mut command = Command::new("sh");
            command.args(["-c", &script, BINARY, "--threads", threads]);
            let (mut child, addr) = spawn(&mut command);
            if let Some(addr) = addr {
                let ask = || {
                    let mut stream = connect_to(addr);
                    let _ = stream.write_all(GET);
                    let response = try_read_response(&mut stream);
                    response.is_some_and(|(head, _)| head.starts_with("HTTP/1.1 200 "))
                };
                assert!(ask(), "{files_max} files for {threads} threads");
                // The server may have room for the next client only when the last one is gone.
                wait_until("the next client is served", ask);
                served += 1;
                child.kill().unwrap();
                child.wait().unwrap();
            } else {
                refused += 1;
                let mut message = String::new();
                child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
                assert_ne!(child.wait().unwrap().code(), Some(0), "{files_max} files");
                assert!(!message.is_empty(), "{files_max} files: no message");
            }
        }
    }
    assert!(refused > 0 && served > 0, "{refused} refused, {served} served");
}

/// Copies the binary and its libraries to `root`. Reports whether that is possible.
fn copy_program(root: &Path) -> bool {
    let Ok(libraries) = Command::new("ldd").arg(BINARY).output() else { return false };
    let libraries = String::from_utf8_lossy(&libraries.stdout).into_owned();
    let paths = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    paths.chain([BINARY]).all(|path| {
        let to = root.join(if path == BINARY { "pinloop" } else { path.trim_start_matches('/') });
        fs::create_dir_all(to.parent().unwrap()).and_then(|()| fs::copy(path, to)).is_ok()
    })
}

/// Without `/dev/null`, in a chroot, the server printed its start line and accepted nobody
/// (issue 13, number 9).
#[test]
fn a_server_without_dev_null_serves() {
    if !is_root() || !has_program("chroot") {
        return skip("a chroot needs root");
    }
    let root = std::env::temp_dir().join(format!("pinloop-test-{}-chroot", std::process::id()));
    if !copy_program(&root) {
        return skip("the libraries of the binary could not be copied");
    }
    let mut command = Command::new("chroot");
    command.arg(&root).args(["/pinloop", "--threads", "2"]);
    let (mut child, addr) = spawn(&mut command);
    let Some(addr) = addr else {
        child.wait().unwrap();
        fs::remove_dir_all(&root).unwrap();
        return skip("the binary does not start in a chroot");
    };
    let mut streams: Vec<TcpStream> = (0..20).map(|_| connect_to(addr)).collect();
    for stream in &mut streams {
        stream.write_all(GET).unwrap();
        assert_eq!(read_response(stream).1, b"Try POST /echo");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(&root).unwrap();
}

/// The reserve works without `/dev/null`: when descriptors run out, every client gets an end,
/// and the queue does not stop (issue 13, number 9).
#[test]
fn clients_beyond_the_descriptors_are_closed_and_later_ones_served() {
    let running = Running::start_within(40, &["--threads", "2", "--no-pin"]);
    for _ in 0..3 {
        let mut streams: Vec<TcpStream> = (0..120).map(|_| running.connect()).collect();
        let mut served = 0;
        for stream in &mut streams {
            let _ = stream.write_all(GET);
            // A closed connection may be reset.
            let mut response = [0; 15];
            served += usize::from(read_some(stream, &mut response).is_ok_and(|read| read > 0));
        }
        assert!((1..40).contains(&served), "{served} clients are served");
        drop(streams);
        wait_until("descriptors are free again", || {
            let mut stream = running.connect();
            let _ = stream.write_all(GET);
            read_some(&mut stream, &mut [0; 15]).is_ok_and(|read| read > 0)
        });
    }
}
