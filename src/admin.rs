//! The address for operators: a server of its own with one thread, so that it answers while the
//! other one is full or busy.

use std::num::NonZeroUsize;
use std::time::Duration;

use pinloop::app::Pages;
use pinloop::{Config, Listeners, Server, StartError};

use crate::descriptors::ADMIN_CONNECTIONS;

/// Memory for unfinished requests and unsent responses: [`ADMIN_CONNECTIONS`] that each read a
/// page of 256 KiB, which is the size of the metrics of 64 threads.
const BUFFERED_BYTES: usize = ADMIN_CONNECTIONS * 256 * 1024;

/// Starts the server on `listeners`. `config` is that of the other server.
///
/// # Errors
/// If the system refuses a thread or a descriptor.
pub(crate) fn start(listeners: Listeners, config: &Config) -> Result<Server, StartError> {
    let pages = Pages { metrics: config.metrics.clone(), readiness: config.readiness.clone() };
    let mut admin = Config {
        threads: Some(NonZeroUsize::MIN),
        pin: Some(false),
        connections_max: ADMIN_CONNECTIONS,
        buffered_bytes_max: BUFFERED_BYTES,
        ..Config::default()
    };
    admin.timeouts.drain = Duration::ZERO;
    pinloop::start_on(listeners, &admin, move |_core| pages.clone())
}

/// Stops the server. Its last responses need no time, because nothing else is left to show.
pub(crate) fn stop(admin: Option<Server>) {
    if let Some(admin) = admin {
        admin.stop();
        // Requests that are cut off here lose nothing.
        let _ = admin.join();
    }
}
