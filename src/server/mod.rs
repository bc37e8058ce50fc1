//! All I/O: one pinned thread per core, each with its own event loop and its own listener on the
//! same port.
//!
//! The threads share a count of connections and a flag to stop, and touch neither for a request.

mod acceptor;
pub(crate) mod address;
mod admission;
mod answer;
mod batch;
mod bind;
mod buffer;
mod connection;
mod connections;
mod cores;
mod defer_accept;
mod drain;
mod event_loop;
mod eviction;
mod inbox;
mod listener;
mod listeners;
mod loads;
mod loop_state;
mod proxy_header;
mod read_ahead;
mod room;
mod settings;
mod shared;
mod socket;
mod start_lock;
mod steer;
pub(crate) mod timeouts;
mod unix_socket;
mod wheel;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use core_affinity::CoreId;
use mio::Poll;

use crate::config::{Balance, Config, ConfigError};
use crate::http::Service;
pub use address::Address;
pub use cores::{Core, cores};
use event_loop::EventLoop;
use inbox::Inbox;
pub use listeners::Listeners;
pub use settings::Settings;
use shared::Shared;
pub use unix_socket::UnixSocket;

/// A running server. Dropping it leaves it running; [`stop`](Server::stop) and
/// [`join`](Server::join) end it.
#[derive(Debug)]
pub struct Server {
    address: Address,
    cores: Vec<Core>,
    threads: Vec<Thread>,
    stopper: Stopper,
    settings: Settings,
}

/// Tells a server to stop, from any thread.
///
/// ```no_run
/// # fn serve(_: &pinloop::Request<'_>, response: &mut pinloop::Response<'_>) {
/// #     response.body(b"");
/// # }
/// use signal_hook::consts::{SIGINT, SIGTERM};
/// use signal_hook::iterator::Signals;
///
/// let mut signals = Signals::new([SIGINT, SIGTERM])?;
/// let server = pinloop::start(&pinloop::Config::default(), |_core| serve)?;
/// let stopper = server.stopper();
/// std::thread::spawn(move || {
///     signals.forever().next();
///     stopper.stop();
/// });
/// server.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stopper {
    shared: Arc<Shared>,
}

/// A thread of the server; returns the number of requests that its drain has cut off.
type Thread = JoinHandle<io::Result<usize>>;

/// Starts a server. `make` makes the service of each core, on the thread of that core, so the
/// service can own anything.
///
/// Returns once every thread is pinned, has its service, and accepts connections.
///
/// # Errors
/// If a setting cannot be honored, the address cannot be listened on, or the system refuses a
/// thread or a file descriptor. Then no thread is left.
pub fn start<F, S>(config: &Config, make: F) -> Result<Server, StartError>
where
    F: Fn(Core) -> S + Send + Sync + 'static,
    S: Service + 'static,
{
    config.check()?;
    let count = cores(config)?.len();
    let listeners = Listeners::bind(config.addr, config.backlog, count)
        .map_err(|error| StartError::Listen(config.addr.into(), error))?;
    start_on(listeners, config, make)
}

/// Starts a server as [`start`] does, on sockets that listen already. [`Config::addr`] and
/// [`Config::backlog`] have no effect.
///
/// # Errors
/// See [`start`].
pub fn start_on<F, S>(
    mut listeners: Listeners,
    config: &Config,
    make: F,
) -> Result<Server, StartError>
where
    F: Fn(Core) -> S + Send + Sync + 'static,
    S: Service + 'static,
{
    config.check()?;
    let cores = cores(config)?;
    let (address, are_shared) = (listeners.address().clone(), listeners.are_shared());
    config.check_for(&address)?;
    steer::check(config.steer, listeners.sockets().len(), cores.len())?;
    let file = listeners.take_file();
    let hands = listeners.deal(cores.len())?;
    // Also by the hash, because the process before this one may have steered.
    if !address.is_unix() {
        steer::apply(config.steer, &hands, &cores)?;
    }
    if config.defer_accept {
        for listener in hands.iter().flatten() {
            defer_accept::defer_accept(listener, config.timeouts.head)?;
        }
    }
    let polls: Vec<Poll> = cores.iter().map(|_| Poll::new()).collect::<io::Result<_>>()?;
    let inbox = |poll: &Poll| Inbox::new(poll.registry()).map(Arc::new);
    let inboxes: Vec<Arc<Inbox>> = polls.iter().map(inbox).collect::<io::Result<_>>()?;
    let readiness = config.readiness.clone();
    // A Unix socket has no kernel's choice.
    let balance = if address.is_unix() { Balance::Connections } else { config.balance };
    let shared = Arc::new(Shared::new(&inboxes, readiness, are_shared, balance, file));
    let stopper = Stopper { shared: shared.clone() };
    let settings = Settings::new(shared.clone(), cores.len(), config);
    let make = Arc::new(make);
    let mut starting = Starting::new(stopper.clone());
    for (((&core, sockets), poll), inbox) in cores.iter().zip(hands).zip(polls).zip(inboxes) {
        let (make, mut config, shared) = (make.clone(), config.clone(), shared.clone());
        config.buffered_bytes_max = config.buffered_bytes_of_thread(cores.len());
        starting.spawn(core, move || {
            if let Some(id) = core.cpu
                && !core_affinity::set_for_current(CoreId { id })
            {
                log::warn!("thread {} could not be pinned to CPU {id}", core.index);
            }
            EventLoop::new(core.index, poll, sockets, inbox, make(core), config, shared)
        })?;
    }
    let threads = starting.finish()?;
    Ok(Server { address, cores, threads, stopper, settings })
}

/// The threads of a server that starts: either all of them serve, or none.
struct Starting {
    threads: Vec<Thread>,
    stopper: Stopper,
    ready: mpsc::Sender<()>,
    are_ready: mpsc::Receiver<()>,
    /// One for each thread, which serves when it receives.
    go: Vec<mpsc::Sender<()>>,
}

impl Starting {
    fn new(stopper: Stopper) -> Starting {
        let (ready, are_ready) = mpsc::channel();
        Starting { threads: Vec::new(), stopper, ready, are_ready, go: Vec::new() }
    }

    /// Spawns a thread that makes its event loop, and runs it once all threads have made theirs.
    fn spawn<S: Service + 'static>(
        &mut self,
        core: Core,
        make: impl FnOnce() -> io::Result<EventLoop<S>> + Send + 'static,
    ) -> io::Result<()> {
        let ready = self.ready.clone();
        let (go, may_go) = mpsc::channel();
        let stop_on_drop = StopOnDrop(self.stopper.clone());
        let run = move || {
            let event_loop = make()?;
            // The start may have failed, and then nobody receives.
            let _ = ready.send(());
            drop(ready);
            if may_go.recv().is_err() {
                return Ok(0);
            }
            let _stop_on_drop = stop_on_drop;
            event_loop.run()
        };
        let name = format!("pinloop-{}", core.index);
        match std::thread::Builder::new().name(name).spawn(run) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                self.give_up();
                return Err(error);
            }
        }
        self.go.push(go);
        Ok(())
    }

    /// Waits until all threads are ready, and has them serve.
    fn finish(mut self) -> io::Result<Vec<Thread>> {
        drop(std::mem::replace(&mut self.ready, mpsc::channel().0));
        if self.are_ready.iter().count() < self.threads.len() {
            let failed = self.give_up();
            return Err(failed.unwrap_or_else(|| io::Error::other("a thread ended")));
        }
        for go in &self.go {
            // A thread that waits receives.
            let _ = go.send(());
        }
        Ok(self.threads)
    }

    /// Ends all threads; returns the first failure, if there is one.
    fn give_up(&mut self) -> Option<io::Error> {
        self.go.clear();
        join(std::mem::take(&mut self.threads)).err()
    }
}

/// Stops the server when a thread ends, for whatever reason, so that the process does not run on
/// with the other threads.
struct StopOnDrop(Stopper);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Waits for all threads; returns the number of requests that were cut off, or the first
/// failure.
fn join(threads: Vec<Thread>) -> io::Result<usize> {
    let ended: Vec<io::Result<usize>> = threads
        .into_iter()
        .map(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("an event loop panicked")))
        })
        .collect();
    ended.into_iter().sum()
}

impl Server {
    /// Returns the IP address on which the server listens, with the port that it has.
    ///
    /// # Panics
    /// If the server listens on a Unix socket, which only
    /// [`Listeners::bind_unix`] and inherited [`Listeners`] do. [`address`](Server::address) returns
    /// its path.
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        match &self.address {
            Address::Ip(addr) => *addr,
            Address::Unix(path) => panic!("the server listens on unix:{}", path.display()),
        }
    }

    /// Returns the address on which the server listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the cores of its threads.
    pub fn cores(&self) -> &[Core] {
        &self.cores
    }

    /// Returns a handle that tells the server to stop.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Returns a handle that changes the settings of the server.
    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// Tells the server to stop, in these steps:
    ///
    /// 1. [`Config::readiness`] says so, and the server goes on for
    ///    [`Timeouts::drain_delay`](crate::Timeouts::drain_delay).
    /// 2. It takes no more connections, and each response is the last one of its connection. Idle
    ///    connections have [`Timeouts::drain_grace`](crate::Timeouts::drain_grace) to send one
    ///    more request.
    /// 3. It closes the idle connections, and gives unfinished requests
    ///    [`Timeouts::drain`](crate::Timeouts::drain).
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits until all threads have ended. Returns the number of requests that were cut off
    /// by the drain timeout or [`Stopper::cut_off`].
    ///
    /// # Errors
    /// The first failure of an event loop. When one event loop ends, the others drain and end as
    /// well.
    pub fn join(self) -> io::Result<usize> {
        join(self.threads)
    }
}

impl Stopper {
    /// Tells the server to stop: see [`Server::stop`].
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Tells the server to stop because another process has its sockets and serves. The server
    /// leaves the connections in the queues of the sockets to that process, and does not wait
    /// for [`Timeouts::drain_delay`](crate::Timeouts::drain_delay).
    pub fn hand_over(&self) {
        self.shared.hand_over();
    }

    /// Leaves the file of a Unix socket at its place when the server stops, because another process
    /// has the socket and is about to serve.
    pub fn keep_file(&self) {
        self.shared.keep_file();
    }

    /// Wakes all event loops. Reports whether each of them has woken since the last call, so
    /// that a watchdog that calls this every few seconds knows that none hangs.
    pub fn pulse(&self) -> bool {
        self.shared.pulse()
    }

    /// Tells the server to stop at once: it closes all connections, also those with unfinished
    /// requests. [`Server::join`] returns the number of those requests.
    ///
    /// A thread that is busy with a request stops when the service has returned.
    pub fn cut_off(&self) {
        self.shared.cut_off();
    }
}

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// A setting can't be honoured.
    Config(ConfigError),
    /// The address can't be listened on.
    Listen(Address, io::Error),
    /// The system refused something else, such as a thread.
    Io(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Config(error) => write!(f, "{error}"),
            StartError::Listen(addr, error) => write!(f, "cannot listen on {addr}: {error}"),
            StartError::Io(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> StartError {
        StartError::Config(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Io(error)
    }
}
