//! The promises to operators, each with the real binary.

mod activation;
mod admin;
mod check;
mod config;
mod deploy;
mod handover;
mod last_lines;
mod late_failure;
mod log;
mod metrics;
mod notify;
mod proxies;
mod real_proxies;
mod reload;
mod restart;
mod stopping;
mod unix;
mod watchdog;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use crate::support::process::BINARY;
use crate::support::{connect_to, talk_on};

/// Options of a server with one thread and an address for operators.
const ADMIN: [&str; 2] = ["--admin-addr", "127.0.0.1:0"];

/// Returns the response to a GET request on a connection of its own.
fn get(addr: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    talk_on(&mut connect_to(addr), request.as_bytes())
}

/// Returns the message of a command line that must be refused.
fn refused(arguments: &[&str]) -> String {
    let failed = Command::new(BINARY).args(arguments).output().expect("the binary runs");
    let message = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(2), "{arguments:?}: {message}");
    message
}

/// Returns a path in the folder for temporary files that only the caller uses.
fn path(name: &str) -> PathBuf {
    let path =
        std::env::temp_dir().join(format!("pinloop-operating-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Returns the next message to systemd. The socket has a timeout.
fn next_message(socket: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let bytes = loop {
        match socket.recv(&mut message) {
            // A pause of this process interrupts what has a timeout.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => break received.expect("a message"),
        }
    };
    String::from_utf8_lossy(&message[..bytes]).into_owned()
}
