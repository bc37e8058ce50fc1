//! Messages to the watchdog of systemd.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use signal_hook::consts::SIGTERM;

use super::{next_message, path};
use crate::support::process::{BINARY, Running};
use crate::support::{GET, PATIENCE, read_response, wait_until};

/// systemd ends a service that sends no message for `WatchdogSec`, and starts it again.
#[test]
fn the_watchdog_hears_nothing_while_an_event_loop_hangs() {
    let (notify, messages) = (path("watchdog"), path("watchdog-messages"));
    let socket = UnixDatagram::bind(&notify).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--addr", "127.0.0.1:0", "--threads", "2", "--no-pin", "--work", "4000000000"]);
    command.env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "300000");
    let running = Running::from(command.stderr(File::create(&messages).unwrap()));
    // The work of this request takes minutes. The other event loop is alive.
    let mut stream = running.connect();
    stream.write_all(b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let complaints = || {
        let text = fs::read_to_string(&messages).unwrap();
        text.matches("an event loop has not woken for 100ms").count()
    };
    wait_until("the loop is at work", || running.cpu_ticks() > 10);
    // A loop that hangs never wakes, so the first complaint from now on is not the last one.
    let before = complaints();
    wait_until("the server sees the loop that hangs", || complaints() > before + 1);
    while socket.recv(&mut [0; 256]).is_ok() {}
    let before = complaints();
    wait_until("the server has looked again", || complaints() > before + 2);
    let silence = socket.recv(&mut [0; 256]).unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);
    drop(running);
    fs::remove_file(notify).unwrap();
    fs::remove_file(messages).unwrap();
}

/// A loop that had drained was taken for one that hangs, while another loop had a connection.
#[test]
fn the_watchdog_hears_of_a_stop_until_the_last_connection_ends() {
    let notify = path("watchdog-stop");
    let socket = UnixDatagram::bind(&notify).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--addr", "127.0.0.1:0", "--threads", "2", "--no-pin"]);
    command.args(["--drain-timeout", "3600"]);
    command.env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "300000");
    let mut running = Running::from(&mut command);
    let mut stream = running.connect();
    stream.write_all(&[GET, &GET[..9]].concat()).unwrap();
    read_response(&mut stream);
    running.signal(SIGTERM);
    let loops = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", running.id())).unwrap();
        let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
        let is_loop = |name: &String| ["pinloop-0\n", "pinloop-1\n"].contains(&&**name);
        names.flatten().filter(is_loop).count()
    };
    wait_until("a loop has drained", || loops() == 1);
    socket.set_nonblocking(true).unwrap();
    while socket.recv(&mut [0; 256]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    for _ in 0..2 {
        assert_eq!(next_message(&socket), "WATCHDOG=1\n");
    }
    stream.write_all(&GET[9..]).unwrap();
    read_response(&mut stream);
    assert_eq!(running.wait_patiently().code(), Some(0));
    fs::remove_file(notify).unwrap();
}
