//! Parts that every rung shares: the listening socket, and a pinned thread per core.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;

use rustix::thread::{CpuSet, sched_setaffinity};
use socket2::{Domain, Protocol, Socket, Type};

use super::Ready;

/// Number of connections that the kernel queues before they are accepted. The kernel caps it at
/// `net.core.somaxconn`, 4096 on a current Linux.
pub(super) const BACKLOG: u16 = 4096;

/// Settings that a rung is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address to listen on; port 0 picks a free one.
    pub address: SocketAddr,
    /// CPUs to pin one thread to each; never empty.
    pub cores: Vec<usize>,
    /// Rounds of the work function for one `GET /data`.
    pub rounds: u32,
    /// Connections to admit; more than a rung's own default raises that limit. Only pinloop has
    /// one.
    pub connections: usize,
}

/// Runs `run` on one pinned thread per core, each with a listener of its own on
/// the same port. Returns the first error of any thread.
pub(super) fn per_core<F>(settings: &Settings, ready: Ready<'_>, run: F) -> io::Result<()>
where
    F: Fn(TcpListener) -> io::Result<()> + Clone + Send + 'static,
{
    // All listeners are bound before `ready` is called, because the kernel spreads
    // connections over the listeners that exist when a connection arrives.
    let mut address = settings.address;
    let mut listeners = Vec::new();
    for _ in &settings.cores {
        let listener = listen(address, true)?;
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    ready(address);

    let (ended, first_end) = mpsc::channel();
    for (&core, listener) in settings.cores.iter().zip(listeners) {
        let (run, ended) = (run.clone(), ended.clone());
        thread::Builder::new().name(format!("core-{core}")).spawn(move || {
            let end = pin(&[core]).and_then(|()| run(listener));
            // The receiver is gone only if another thread has ended first.
            let _ = ended.send(end);
        })?;
    }
    first_end.recv().map_err(io::Error::other)?
}

/// Runs `run` on this thread, pinned to the first core.
pub(super) fn single(
    settings: &Settings,
    ready: Ready<'_>,
    run: impl FnOnce(TcpListener) -> io::Result<()>,
) -> io::Result<()> {
    let listener = listen(settings.address, false)?;
    ready(listener.local_addr()?);
    pin(&settings.cores[..1])?;
    run(listener)
}

/// Runs `run` on this thread. It and the threads that it starts may use every core.
pub(super) fn shared(
    settings: &Settings,
    ready: Ready<'_>,
    run: impl FnOnce(TcpListener) -> io::Result<()>,
) -> io::Result<()> {
    let listener = listen(settings.address, false)?;
    ready(listener.local_addr()?);
    pin(&settings.cores)?;
    run(listener)
}

/// A non-blocking listener. Accepted sockets inherit
/// `TCP_NODELAY` from it, so that no rung pays a system call for it.
fn listen(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG.into())?;
    Ok(socket.into())
}

/// Allows this thread to run on `cores` only.
fn pin(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        if core >= CpuSet::MAX_CPU {
            return Err(io::Error::other(format!("core {core}: at most {}", CpuSet::MAX_CPU - 1)));
        }
        set.set(core);
    }
    sched_setaffinity(None, &set)
        .map_err(|error| io::Error::other(format!("cannot pin to cores {cores:?}: {error}")))
}

/// Gives this thread the lowest priority, so that an event loop on the same CPU does not wait for
/// the end of its time slice.
pub(super) fn yield_to_event_loops() {
    // On Linux this sets the priority of this thread, not of the process.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        eprintln!("a thread's priority could not be lowered: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

    #[test]
    fn accepted_sockets_inherit_no_delay() {
        let listener = listen(ANY_PORT.into(), true).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // The connection is complete once connect has returned.
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }

    #[test]
    fn listeners_share_a_port() {
        let first = listen(ANY_PORT.into(), true).unwrap();
        let address = first.local_addr().unwrap();
        assert!(listen(address, true).is_ok());
        assert!(listen(address, false).is_err());
    }
}
