//! Makes the check of an address and the bind one step, for servers that start at the same moment.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::thread;
use std::time::{Duration, Instant};

/// Time that a start waits for another one on the same address.
const WAIT: Duration = Duration::from_secs(2);

/// Holds an abstract Unix socket (unix(7)) named after the address, so that of two servers started
/// at the same moment one waits for the other's bind, and then finds the address in use.
pub(super) fn lock(address: &str) -> io::Result<Option<UnixListener>> {
    let name = SocketAddr::from_abstract_name(format!("pinloop-start-{address}"))?;
    let begun = Instant::now();
    loop {
        match UnixListener::bind_addr(&name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if begun.elapsed() >= WAIT {
                    return Err(error);
                }
                thread::sleep(Duration::from_millis(5));
            }
            // Without abstract sockets, as in some sandboxes, the check has to suffice.
            bound => return Ok(bound.ok()),
        }
    }
}
