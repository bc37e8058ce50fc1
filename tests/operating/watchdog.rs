//! Messages to the watchdog of systemd.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use super::path;
use crate::support::process::{BINARY, Running};
use crate::support::wait_until;

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
