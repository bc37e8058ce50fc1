//! Messages to systemd that meet an odd socket, and the watchdog after a takeover.

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use signal_hook::consts::{SIGTERM, SIGUSR2};

use super::path;
use crate::support::process::{BINARY, Running};
use crate::support::{PATIENCE, wait_until};

/// Returns a command that starts a server with one thread.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["--addr", "127.0.0.1:0", "--threads", "1", "--no-pin"]).args(arguments);
    command
}

/// Returns the next message.
fn next(socket: &UnixDatagram) -> String {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut message = [0; 256];
    loop {
        match socket.recv(&mut message) {
            // A pause of this process interrupts what has a timeout.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => {
                let bytes = received.expect("a message");
                return String::from_utf8_lossy(&message[..bytes]).into_owned();
            }
        }
    }
}

/// A reader that hung kept the server from printing its start line, and from stopping at SIGTERM.
#[test]
fn a_full_queue_of_messages_keeps_the_server_from_nothing() {
    let (file, stdout) = (path("notify-full"), path("notify-full.stdout"));
    let _reader = UnixDatagram::bind(&file).unwrap();
    let writer = UnixDatagram::unbound().unwrap();
    writer.connect(&file).unwrap();
    writer.set_nonblocking(true).unwrap();
    while writer.send(b"x").is_ok() {}
    let mut command = command(&[]);
    command.env("NOTIFY_SOCKET", &file).stdout(fs::File::create(&stdout).unwrap());
    let mut child = Child(command.spawn().unwrap());
    wait_until("the start line is there", || {
        fs::read_to_string(&stdout).unwrap().contains("listening on")
    });
    assert!(kill(SIGTERM, child.0.id()));
    let mut status = None;
    wait_until("the server ends", || {
        status = child.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
    fs::remove_file(file).unwrap();
    fs::remove_file(stdout).unwrap();
}

/// A child that does not outlive its test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill(signal: i32, pid: u32) -> bool {
    let arguments = [format!("-{signal}"), pid.to_string()];
    Command::new("kill").args(arguments).status().expect("kill runs").success()
}

#[test]
fn an_abstract_socket_gets_the_messages() {
    let name = format!("pinloop-notify-{}", std::process::id());
    let addr = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&addr).unwrap();
    let running = Running::from(command(&[]).env("NOTIFY_SOCKET", format!("@{name}")));
    assert!(next(&socket).contains("READY=1\n"));
    running.end(SIGTERM);
    assert_eq!(next(&socket), "STOPPING=1\n");
}

/// A time of zero made the server send messages without a pause.
#[test]
fn a_watchdog_without_a_time_gets_no_message() {
    let file = path("notify-zero");
    let socket = UnixDatagram::bind(&file).unwrap();
    let mut command = command(&[]);
    let running = Running::from(command.env("NOTIFY_SOCKET", &file).env("WATCHDOG_USEC", "0"));
    assert!(next(&socket).contains("READY=1\n"));
    running.end(SIGTERM);
    assert_eq!(next(&socket), "STOPPING=1\n");
    fs::remove_file(file).unwrap();
}

/// The successor took the `WATCHDOG_PID` of the process before it for that of another service, so
/// that systemd would have killed it.
#[test]
fn a_successor_feeds_the_watchdog() {
    let (file, takeover) = (path("notify-successor"), path("notify-takeover"));
    let socket = UnixDatagram::bind(&file).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\"", BINARY]);
    command.args(["--addr", "127.0.0.1:0", "--threads", "1", "--no-pin"]);
    command.arg("--takeover").arg(&takeover);
    command.env("NOTIFY_SOCKET", &file).env("WATCHDOG_USEC", "300000");
    let mut running = Running::from(&mut command);
    assert!(next(&socket).contains(&format!("MAINPID={}\n", running.id())));
    running.signal(SIGUSR2);
    let successor = loop {
        let message = next(&socket);
        if let Some((_, pid)) = message.split_once("MAINPID=") {
            break Successor(pid.trim().parse().expect("a number"));
        }
    };
    assert_eq!(running.wait_patiently().code(), Some(0));
    // The messages of the process before.
    socket.set_nonblocking(true).unwrap();
    while socket.recv(&mut [0; 256]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    assert_eq!(next(&socket), "WATCHDOG=1\n");
    drop(successor);
    fs::remove_file(file).unwrap();
    let _ = fs::remove_file(takeover);
}

/// A process that is not a child of the test. Dropping it kills the process.
struct Successor(u32);

impl Drop for Successor {
    fn drop(&mut self) {
        kill(9, self.0);
    }
}
