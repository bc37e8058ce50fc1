//! Messages to systemd (sd_notify(3)). Without systemd they go nowhere.

use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::thread;
use std::time::Duration;

use log::{debug, error, warn};
use pinloop::Stopper;
use sd_notify::NotifyState;

/// Variable with the socket that takes the messages.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Time that a message waits while the queue of its reader is full. A reader that hangs must not keep
/// the server from starting or from stopping.
const SEND_WAIT: Duration = Duration::from_secs(1);

/// Shortest interval between two messages to the watchdog.
const WATCHDOG_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Says that this process serves, and is the main process of its service.
pub(crate) fn ready() {
    send(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
}

/// Says that this process stops.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Says that this process reads its configuration again. [`ready`] ends it.
pub(crate) fn reloading() {
    let now = NotifyState::monotonic_usec_now().ok();
    let states: Vec<NotifyState<'_>> = [NotifyState::Reloading].into_iter().chain(now).collect();
    send(&states);
}

/// Starts a thread that tells systemd that all event loops are alive, if systemd asks for it. Each
/// message means that every loop has woken since the message before.
pub(crate) fn watch(stopper: Stopper) {
    // Zero is not a valid time (sd_watchdog_enabled(3)).
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    let interval = (limit / 3).max(WATCHDOG_INTERVAL_MIN);
    debug!("chosen: a message to the watchdog every {interval:?}");
    let run = move || {
        loop {
            thread::sleep(interval);
            match stopper.pulse() {
                true => send(&[NotifyState::Watchdog]),
                false => error!("an event loop has not woken for {interval:?}"),
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("pinloop-watchdog".into()).spawn(run) {
        error!("no thread for the watchdog: {error}");
    }
}

/// Sends a message. The crate `sd-notify` would wait for a full queue without end, and knows no
/// abstract sockets.
fn send(states: &[NotifyState<'_>]) {
    let Some(name) = std::env::var_os(SOCKET).filter(|name| !name.is_empty()) else { return };
    let mut message = String::new();
    for state in states {
        // Writing to a String does not fail.
        let _ = writeln!(message, "{state}");
    }
    if let Err(error) = send_to(&name, message.as_bytes()) {
        let sent = message.trim_end().replace('\n', ", ");
        warn!("{SOCKET} did not take the message {sent}: {error}");
    }
}

fn send_to(name: &OsString, message: &[u8]) -> io::Result<()> {
    let addr = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_WAIT))?;
    loop {
        match socket.send_to_addr(message, &addr) {
            // A pause (SIGSTOP, a frozen container) interrupts what has a timeout (signal(7)).
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let text = format!("its queue is full for {SEND_WAIT:?}");
                return Err(io::Error::new(error.kind(), text));
            }
            sent => return sent.map(drop),
        }
    }
}
