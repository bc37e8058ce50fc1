//! The address for operators: a server of its own with one thread, so that it answers while the
//! other one is full or busy.

use std::num::NonZeroUsize;
use std::time::Duration;

use pinloop::app::Pages;
use pinloop::{Config, Server, StartError};

use crate::cli::Arguments;
use crate::descriptors::ADMIN_CONNECTIONS;

/// Memory for unfinished requests and unsent responses: [`ADMIN_CONNECTIONS`] that each read a
/// page of 256 KiB, which is the size of the metrics of 64 threads.
const BUFFERED_BYTES: usize = ADMIN_CONNECTIONS * 256 * 1024;

/// Starts the server for `--admin-addr`, if it was given. `config` is that of the other server.
///
/// # Errors
/// If the address cannot be listened on, or the system refuses a thread or a descriptor.
pub(crate) fn start(arguments: &Arguments, config: &Config) -> Result<Option<Server>, StartError> {
    let Some(addr) = arguments.admin_addr else { return Ok(None) };
    let pages = Pages { metrics: config.metrics.clone(), readiness: config.readiness.clone() };
    let mut admin = Config {
        addr,
        threads: Some(NonZeroUsize::MIN),
        pin: Some(false),
        connections_max: ADMIN_CONNECTIONS,
        buffered_bytes_max: BUFFERED_BYTES,
        ..Config::default()
    };
    admin.timeouts.drain = Duration::ZERO;
    pinloop::start(&admin, move |_core| pages.clone()).map(Some)
}

/// Stops the server. Its last responses need no time, because nothing else is left to show.
pub(crate) fn stop(admin: Option<Server>) {
    if let Some(admin) = admin {
        admin.stop();
        // Requests that are cut off here lose nothing.
        let _ = admin.join();
    }
}
