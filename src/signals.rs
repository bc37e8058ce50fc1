//! Signals: which ones the binary handles, and how.

use std::io;
use std::thread::{self, JoinHandle};

use log::{debug, error};
use pinloop::{AccessLog, Stopper};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::diagnostics::Diagnostics;

/// Catches the signals from now on. [`watch`] handles them.
///
/// # Errors
/// Returns the system's error if a handler cannot be installed.
pub(crate) fn catch() -> io::Result<Signals> {
    Signals::new([SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1])
}

/// Starts the thread that handles signals. It never waits for a log.
///
/// # Errors
/// Returns the system's error if the thread cannot be started.
pub(crate) fn watch(
    mut signals: Signals,
    stopper: Stopper,
    log: Option<AccessLog>,
    diagnostics: Diagnostics,
) -> io::Result<JoinHandle<()>> {
    let mut is_stopping = false;
    let watch = move || {
        for signal in &mut signals {
            debug!("signal {signal} has arrived");
            match signal {
                SIGHUP | SIGUSR1 => log.iter().for_each(AccessLog::reopen),
                _ if is_stopping => {
                    error!("a second signal has cut off the unfinished requests");
                    diagnostics.flush();
                    std::process::exit(1);
                }
                _ => {
                    is_stopping = true;
                    stopper.stop();
                }
            }
        }
    };
    thread::Builder::new().name("pinloop-signals".into()).spawn(watch)
}
