//! Signals: which ones the binary handles, and how.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::{debug, error, warn};
use pinloop::Stopper;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::diagnostics::Diagnostics;
use crate::notify;
use crate::reload::Reload;
use crate::takeover::Offer;

/// Variables that systemd means for one process. The successor finds its sockets at `--takeover`.
/// Without `WATCHDOG_PID`, the watchdog's time is meant for each process.
const OF_ONE_PROCESS: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// Time that the event loops have after a second signal. An idle loop takes less than a
/// millisecond; a loop that a service blocks is not waited for.
const CUT_OFF_WAIT: Duration = Duration::from_millis(200);

/// Catches the signals from now on. [`Watch::start`] handles them.
///
/// # Errors
/// Returns the system's error if a handler cannot be installed.
pub(crate) fn catch() -> io::Result<Signals> {
    Signals::new([SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2])
}

/// All that a signal has an effect on.
pub(crate) struct Watch {
    pub(crate) stopper: Stopper,
    pub(crate) reload: Reload,
    pub(crate) offer: Option<Offer>,
    pub(crate) successor: Successor,
    pub(crate) diagnostics: Diagnostics,
    /// Disconnected once the event loops have ended.
    pub(crate) has_ended: Receiver<()>,
    /// Number of signals that stop the server.
    pub(crate) stops: u32,
}

impl Watch {
    /// Starts the thread that handles signals. It never waits for a log. It returns the number of
    /// signals that stop the server.
    ///
    /// # Errors
    /// Returns the system's error if the thread cannot be started.
    pub(crate) fn start(mut self, mut signals: Signals) -> io::Result<JoinHandle<u32>> {
        let watch = move || {
            signals.forever().for_each(|signal| self.handle(signal));
            self.stops
        };
        thread::Builder::new().name("pinloop-signals".into()).spawn(watch)
    }

    fn handle(&mut self, signal: i32) {
        debug!("signal {signal} has arrived");
        match signal {
            SIGHUP => self.reload.run(),
            SIGUSR1 => self.reload.reopen(),
            SIGUSR2 if self.offer.is_some() => self.successor.start(),
            SIGUSR2 => warn!("SIGUSR2 starts a successor only with --takeover"),
            _ => {
                self.stops += 1;
                if self.stops == 1 { self.stop() } else { self.cut_off() }
            }
        }
    }

    fn stop(&self) {
        // Otherwise the sockets would listen until the end of the process.
        self.offer.iter().for_each(Offer::withdraw);
        self.stopper.stop();
        // Last, because the message may have to wait.
        notify::stopping();
    }

    /// Has the event loops end at once. Ends the process if a service keeps one from doing so.
    fn cut_off(&self) {
        self.stopper.cut_off();
        if self.has_ended.recv_timeout(CUT_OFF_WAIT) == Err(RecvTimeoutError::Timeout) {
            error!(
                "a second signal has cut off the unfinished requests; their number is unknown, \
                 because a thread is busy with one of them"
            );
            self.diagnostics.flush();
            std::process::exit(1);
        }
    }
}

/// The program that SIGUSR2 starts: this one, with the same arguments.
#[derive(Clone)]
pub(crate) struct Successor {
    /// Path of the program when this process started. An upgrade replaces the file there.
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
}

impl Successor {
    /// Remembers the program and its command line.
    pub(crate) fn new(line: &[OsString]) -> Successor {
        let arguments = line.iter().skip(1).cloned().collect();
        Successor { program: std::env::current_exe().ok(), arguments }
    }

    /// Starts the program, which takes the sockets over. If it fails, this process serves on.
    fn start(&self) {
        let Some(program) = &self.program else {
            return error!("the path of this program is unknown; start the successor yourself");
        };
        let mut command = Command::new(program);
        OF_ONE_PROCESS.iter().for_each(|name| {
            command.env_remove(name);
        });
        let started = command.args(&self.arguments).spawn().and_then(|mut child| {
            let wait = move || match child.wait() {
                Ok(status) => error!("the successor has ended: {status}"),
                Err(error) => error!("the state of the successor is unknown: {error}"),
            };
            thread::Builder::new().name("pinloop-successor".into()).spawn(wait)
        });
        if let Err(error) = started {
            error!("cannot start the successor {}: {error}", program.display());
        }
    }
}
