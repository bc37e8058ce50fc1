//! Makes the check of an address and the bind one step, for servers that start at the same moment.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::thread;
use std::time::{Duration, Instant};

use log::warn;

/// Time that a start waits for another one on the same address.
const WAIT: Duration = Duration::from_secs(2);

/// Time between two attempts.
const RETRY: Duration = Duration::from_millis(5);

/// Holds an abstract Unix socket (unix(7)) named after the address, so that of two servers started
/// at the same moment one waits for the other's bind, and then finds the address in use.
///
/// Returns `None` if the socket stays taken, because any process may take it. The check of the
/// address then has to suffice, as it does without abstract sockets in some sandboxes.
pub(super) fn lock(address: &str) -> Option<UnixListener> {
    let name = format!("pinloop-start-{address}");
    let socket = SocketAddr::from_abstract_name(&name).ok()?;
    let begun = Instant::now();
    loop {
        match UnixListener::bind_addr(&socket) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound.ok(),
        }
        if begun.elapsed() >= WAIT {
            warn!(
                "starting without the lock against a second start at the same moment: another \
                 process has held the abstract socket @{name} for {WAIT:?}"
            );
            return None;
        }
        thread::sleep(RETRY);
    }
}
