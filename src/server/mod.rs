//! All I/O: one pinned thread per core, each with its own event loop and its own
//! listener on the same port.
//!
//! The threads share a counter of connections and a flag to stop; nothing of
//! that is touched for a request.

mod admission;
mod connection;
mod event_loop;
mod inbox;
mod reserve_fd;
mod timeouts;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use core_affinity::CoreId;
use mio::Poll;

use crate::config::{Config, ConfigError};
use crate::http::Service;
use event_loop::{EventLoop, Shared};
use inbox::Inbox;

/// The core that a service is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// Which of the server's threads this is, from 0.
    pub index: usize,
    /// The CPU that the thread is pinned to, if it is.
    pub cpu: Option<usize>,
}

/// A running server. Dropping it leaves it running; [`stop`](Server::stop) and
/// [`join`](Server::join) end it.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    cores: Vec<Core>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    stopper: Stopper,
}

/// Tells a server to stop, from any thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    posts: Arc<[Arc<Inbox>]>,
    shared: Arc<Shared>,
}

/// Starts a server: `make` makes the service of each core, on that core's thread,
/// so the service can own whatever it likes.
///
/// Returns once every thread is pinned, has its service, and accepts connections.
pub fn start<F, S>(config: &Config, make: F) -> Result<Server, StartError>
where
    F: Fn(Core) -> S + Send + Sync + 'static,
    S: Service + 'static,
{
    config.check()?;
    let cores = cores(config)?;
    let listen_error = |error| StartError::Listen(config.addr, error);

    let mut addr = config.addr;
    admission::check_free(addr).map_err(listen_error)?;
    let mut listeners = Vec::new();
    for _ in &cores {
        let listener = admission::bind(addr, config.backlog).map_err(listen_error)?;
        addr = listener.local_addr().map_err(listen_error)?;
        listeners.push(listener);
    }

    let polls: Vec<Poll> = cores.iter().map(|_| Poll::new()).collect::<io::Result<_>>()?;
    let post = |poll: &Poll| Inbox::new(poll.registry()).map(Arc::new);
    let posts: Arc<[Arc<Inbox>]> = polls.iter().map(post).collect::<io::Result<_>>()?;
    let shared = Arc::new(Shared::default());
    let make = Arc::new(make);
    let (ready, all_ready) = mpsc::channel();
    let mut threads = Vec::new();
    for (((&core, listener), poll), post) in
        cores.iter().zip(listeners).zip(polls).zip(posts.iter().cloned())
    {
        let (make, config, shared) = (make.clone(), config.clone(), shared.clone());
        let ready = ready.clone();
        let run = move || {
            if let Some(id) = core.cpu
                && !core_affinity::set_for_current(CoreId { id })
            {
                log::warn!("thread {} could not be pinned to CPU {id}", core.index);
            }
            let event_loop = EventLoop::new(poll, listener, post, make(core), config, shared)?;
            // Whoever started the server may have given up waiting, which is no failure.
            let _ = ready.send(());
            drop(ready);
            event_loop.run()
        };
        let name = format!("pinloop-{}", core.index);
        threads.push(std::thread::Builder::new().name(name).spawn(run)?);
    }
    drop(ready);
    let stopper = Stopper { posts, shared };
    if all_ready.iter().count() < threads.len() {
        stopper.stop();
        return Err(StartError::Io(
            join(threads).err().unwrap_or_else(|| io::Error::other("a thread ended")),
        ));
    }
    Ok(Server { addr, cores, threads, stopper })
}

fn join(threads: Vec<JoinHandle<io::Result<()>>>) -> io::Result<()> {
    let ended = threads.into_iter().map(|thread| {
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the server panicked")))
    });
    ended.fold(Ok(()), Result::and)
}

impl Server {
    /// Where the server listens, with the port that it has.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its threads.
    pub fn cores(&self) -> &[Core] {
        &self.cores
    }

    /// What tells it to stop.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Tells it to stop: no more connections, the requests that have arrived are
    /// answered, and [`Timeouts::drain`](crate::Timeouts::drain) holds.
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits until all threads have ended. The first failure, if there was one.
    pub fn join(self) -> io::Result<()> {
        join(self.threads)
    }
}

impl Stopper {
    /// As [`Server::stop`].
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.posts.iter().for_each(|post| post.wake());
    }
}

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// A setting can't be honoured.
    Config(ConfigError),
    /// The address can't be listened on.
    Listen(SocketAddr, io::Error),
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

/// The cores that a server with this configuration has its threads on.
pub fn cores(config: &Config) -> Result<Vec<Core>, ConfigError> {
    let usable: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    let list = |cpus: &[usize]| cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let wanted = config.cores.as_deref();

    if !config.pin {
        if let Some(cores) = wanted {
            return Err(ConfigError(format!(
                "cores {} and no-pin exclude each other; give one",
                list(cores)
            )));
        }
        let count = config.threads.map_or(usable.len().max(1), usize::from);
        return Ok((0..count).map(|index| Core { index, cpu: None }).collect());
    }
    let cpus = wanted.unwrap_or(&usable);
    if let Some(cpu) = cpus.iter().find(|cpu| !usable.contains(cpu)) {
        return Err(ConfigError(format!(
            "core {cpu} is none that this process may use; allowed are {}",
            list(&usable)
        )));
    }
    if (1..cpus.len()).any(|at| cpus[..at].contains(&cpus[at])) {
        return Err(ConfigError(format!(
            "cores {} names one twice; a core has one thread",
            list(cpus)
        )));
    }
    let count = config.threads.map_or(cpus.len(), usize::from);
    if count > cpus.len() || count == 0 {
        return Err(ConfigError(format!(
            "threads is {count}; there are {} cores to pin them to ({}), so 1 to {} are allowed, or no-pin",
            cpus.len(),
            list(cpus),
            cpus.len()
        )));
    }
    Ok(cpus
        .iter()
        .take(count)
        .enumerate()
        .map(|(index, &cpu)| Core { index, cpu: Some(cpu) })
        .collect())
}
