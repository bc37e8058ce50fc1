//! io_uring as the rungs on it use it: accepts, receives and sends, without a system call for
//! each.
//!
//! One multishot accept and one multishot receive for each connection stay submitted. The kernel
//! puts what arrives into a ring of buffers that all connections of the thread share. Sends are
//! queued, and submitted together by the system call that waits.

mod kernel;

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use slab::Slab;
use socket2::SockRef;

use kernel::{Arrived, Completion, Kernel, Operation};
pub(super) use kernel::{Output, unavailable};

/// Fails with the reason why io_uring cannot be used, if there is one.
pub(super) fn check() -> io::Result<()> {
    match unavailable() {
        None => Ok(()),
        Some(reason) => Err(io::Error::new(io::ErrorKind::Unsupported, reason)),
    }
}

/// An event of a connection. `C` is what the rung keeps of it.
pub(super) enum Event<'a, C> {
    /// A client has connected.
    Accepted(TcpStream),
    /// Bytes have arrived. They are gone when the next event is taken.
    Received { key: usize, client: &'a mut C, bytes: &'a [u8] },
    /// The socket took `written` bytes of the output; `left` are being sent. With none left, the
    /// buffer of the output comes back, unless it was constant.
    Sent { key: usize, client: &'a mut C, written: usize, left: usize, spare: Option<Vec<u8>> },
    /// Nothing more arrives: the client has shut down its side, or the connection has failed.
    Ended { key: usize, client: &'a mut C, has_failed: bool },
}

/// The ring of a thread, its listener, and its connections.
pub(super) struct Uring<C> {
    kernel: Kernel,
    listener: TcpListener,
    is_accepting: bool,
    connections: Slab<Connection<C>>,
}

struct Connection<C> {
    client: C,
    /// `None` once it is being closed.
    stream: Option<TcpStream>,
    /// Set while the kernel has a receive of this connection.
    is_receiving: bool,
    /// Set unless the rung has paused the connection, or nothing more arrives.
    may_receive: bool,
}

/// A completion after the bookkeeping, without the references of an [`Event`].
enum Report {
    Accepted(TcpStream),
    Received { key: usize, arrived: Arrived },
    Sent { key: usize, written: usize, left: usize, spare: Option<Vec<u8>> },
    Ended { key: usize, has_failed: bool },
}

impl<C> Uring<C> {
    /// Returns the ring of this thread, which accepts connections. Only this thread may use it.
    pub(super) fn new(listener: TcpListener) -> io::Result<Uring<C>> {
        // io_uring waits by itself, and only for sockets that block.
        listener.set_nonblocking(false)?;
        let (kernel, connections) = (Kernel::new()?, Slab::new());
        let mut uring = Uring { kernel, listener, is_accepting: false, connections };
        uring.accept()?;
        Ok(uring)
    }

    /// Submits what is queued and waits for an event, but not longer than `timeout`.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.kernel.wait(timeout)
    }

    /// Takes the next event; `None` says that it is time to wait.
    pub(super) fn next(&mut self) -> io::Result<Option<Event<'_, C>>> {
        let report = loop {
            let Some(completion) = self.kernel.next() else { return Ok(None) };
            if let Some(report) = self.report(completion)? {
                break report;
            }
        };
        let connections = &mut self.connections;
        Ok(Some(match report {
            Report::Accepted(stream) => Event::Accepted(stream),
            Report::Received { key, arrived } => Event::Received {
                key,
                client: &mut connections[key].client,
                bytes: self.kernel.bytes(&arrived),
            },
            Report::Sent { key, written, left, spare } => {
                Event::Sent { key, client: &mut connections[key].client, written, left, spare }
            }
            Report::Ended { key, has_failed } => {
                Event::Ended { key, client: &mut connections[key].client, has_failed }
            }
        }))
    }

    /// Receives from an accepted connection; returns its key.
    pub(super) fn open(&mut self, stream: TcpStream, client: C) -> io::Result<usize> {
        let stream = Some(stream);
        let connection = Connection { client, stream, is_receiving: false, may_receive: true };
        let key = self.connections.insert(connection);
        self.receive(key)?;
        Ok(key)
    }

    /// Returns what the rung keeps of a connection, if it is open.
    #[inline]
    pub(super) fn client(&mut self, key: usize) -> Option<&mut C> {
        let connection = self.connections.get_mut(key)?;
        connection.stream.is_some().then_some(&mut connection.client)
    }

    /// Reports whether all connections are closed.
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Returns all open connections.
    pub(super) fn clients(&self) -> impl Iterator<Item = (usize, &C)> {
        let open = self.connections.iter().filter(|(_, connection)| connection.stream.is_some());
        open.map(|(key, connection)| (key, &connection.client))
    }

    /// Sends `output` with the next wait.
    ///
    /// # Panics
    /// If another output of the connection is being sent.
    pub(super) fn send(&mut self, key: usize, output: Output) -> io::Result<()> {
        match &self.connections[key].stream {
            Some(stream) => self.kernel.send(key, stream, output),
            None => Ok(()),
        }
    }

    /// Receives no more until [`resume`](Self::resume). Bytes that have arrived before the kernel
    /// knows are still reported.
    pub(super) fn pause(&mut self, key: usize) -> io::Result<()> {
        let connection = &mut self.connections[key];
        connection.may_receive = false;
        if connection.is_receiving { self.kernel.cancel(Operation::Receive, key) } else { Ok(()) }
    }

    /// Receives again.
    pub(super) fn resume(&mut self, key: usize) -> io::Result<()> {
        self.connections[key].may_receive = true;
        // Otherwise the end of the receive that is being canceled starts the next one.
        if self.connections[key].is_receiving { Ok(()) } else { self.receive(key) }
    }

    /// Shuts down the side of the server.
    pub(super) fn shut_down_write(&self, key: usize) -> io::Result<()> {
        self.connections[key].stream.as_ref().map_or(Ok(()), |it| it.shutdown(Shutdown::Write))
    }

    /// Closes the connection, and has the client see a reset.
    pub(super) fn reset(&mut self, key: usize) -> io::Result<()> {
        if let Some(stream) = &self.connections[key].stream {
            // If it fails, the connection closes as any other.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        self.close(key)
    }

    /// Closes the connection. No further event has its key, until another connection gets it.
    pub(super) fn close(&mut self, key: usize) -> io::Result<()> {
        let connection = &mut self.connections[key];
        let Some(stream) = connection.stream.take() else { return Ok(()) };
        if connection.is_receiving {
            self.kernel.cancel(Operation::Receive, key)?;
        }
        if self.kernel.is_sending(key) {
            self.kernel.cancel(Operation::Send, key)?;
        }
        self.kernel.close(key, stream)?;
        self.forget_closed(key)
    }

    /// Acts on a completion; returns what the rung must know of it.
    fn report(&mut self, completion: Completion) -> io::Result<Option<Report>> {
        match completion {
            Completion::Accepted { stream, goes_on } => self.accepted(stream, goes_on),
            Completion::Received { key, arrived, goes_on } => self.received(key, arrived, goes_on),
            Completion::Sent { key, written, left, output } => {
                self.sent(key, written, left, output)
            }
            Completion::Other => Ok(None),
        }
    }

    fn accepted(
        &mut self,
        stream: Result<TcpStream, Errno>,
        goes_on: bool,
    ) -> io::Result<Option<Report>> {
        self.is_accepting = goes_on;
        match stream {
            Ok(stream) => {
                self.accept()?;
                Ok(Some(Report::Accepted(stream)))
            }
            // The next connection to close frees a descriptor or memory, and accepts again.
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
                if !self.connections.is_empty() =>
            {
                Ok(None)
            }
            // This client is gone again.
            Err(Errno::CONNABORTED | Errno::INTR | Errno::AGAIN | Errno::PROTO) => {
                self.accept()?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn received(
        &mut self,
        key: usize,
        arrived: Result<Arrived, Errno>,
        goes_on: bool,
    ) -> io::Result<Option<Report>> {
        let connection = &mut self.connections[key];
        connection.is_receiving = goes_on;
        if connection.stream.is_none() {
            self.forget_closed(key)?;
            return Ok(None);
        }
        let report = match arrived {
            Ok(arrived) if arrived.bytes > 0 => Some(Report::Received { key, arrived }),
            // All buffers were taken, and are back when the thread waits again.
            Err(Errno::NOBUFS | Errno::CANCELED | Errno::INTR | Errno::AGAIN) => None,
            end => {
                connection.may_receive = false;
                Some(Report::Ended { key, has_failed: end.is_err() })
            }
        };
        if !goes_on && connection.may_receive {
            self.receive(key)?;
        }
        Ok(report)
    }

    fn sent(
        &mut self,
        key: usize,
        written: Result<usize, Errno>,
        left: usize,
        output: Option<Output>,
    ) -> io::Result<Option<Report>> {
        let Some(stream) = &self.connections[key].stream else {
            self.kernel.give_up(key);
            self.forget_closed(key)?;
            return Ok(None);
        };
        let written = match written {
            Ok(written) => written,
            Err(Errno::INTR | Errno::AGAIN) => 0,
            Err(_) => return Ok(Some(Report::Ended { key, has_failed: true })),
        };
        if output.is_none() {
            self.kernel.send_rest(key, stream)?;
        }
        let spare = match output {
            Some(Output::Buffer(buffer)) => Some(buffer),
            _ => None,
        };
        Ok(Some(Report::Sent { key, written, left, spare }))
    }

    /// Accepts connections until the kernel ends it.
    fn accept(&mut self) -> io::Result<()> {
        if self.is_accepting {
            return Ok(());
        }
        self.is_accepting = true;
        self.kernel.accept(&self.listener)
    }

    /// Receives until the kernel ends it.
    fn receive(&mut self, key: usize) -> io::Result<()> {
        let connection = &mut self.connections[key];
        let Some(stream) = &connection.stream else { return Ok(()) };
        connection.is_receiving = true;
        self.kernel.receive(key, stream)
    }

    /// Frees the key of a closed connection once the kernel has no operation of it.
    fn forget_closed(&mut self, key: usize) -> io::Result<()> {
        if self.connections[key].is_receiving || self.kernel.is_sending(key) {
            return Ok(());
        }
        self.connections.remove(key);
        self.accept()
    }
}
