//! Adds hyper, in place of this project's core and its timeouts. An executor of one page polls
//! hyper's futures over mio, without Tokio; otherwise as `pinloop`.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use hyper::rt::{self, ReadBufCursor};
use hyper::service::service_fn;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Registry, Token};
use slab::Slab;

use super::Ready;
use super::common::{self, Settings};
use super::hyper_service;

/// Size of one read, as the server has it: a head and a body of 64 KiB fit.
const INPUT_BYTES: usize = 128 * 1024;

/// Rounds of woken tasks between two waits for events. A task that wakes itself again and again
/// must not keep the others from their events; Tokio allows 61 tasks.
const WOKEN_ROUNDS: usize = 16;

/// Number of events taken from the kernel at once, as the server has it.
const EVENTS: usize = 1024;

const LISTENER: Token = Token(usize::MAX);

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    common::per_core(settings, ready, move |listener| run(listener, rounds))
}

fn run(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let mut listener = mio::net::TcpListener::from_std(listener);
    let mut poll = mio::Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;

    let mut tasks = Slab::new();
    let core = Core { input: Rc::new(RefCell::new(vec![0; INPUT_BYTES])), woken: Arc::default() };
    loop {
        let wait = if core.woken.is_empty() { None } else { Some(Duration::ZERO) };
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => result?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, poll.registry(), &mut tasks, &core, rounds)?,
                Token(key) => {
                    tasks[key].readiness.announce(event);
                    advance(&mut tasks, key);
                }
            }
        }
        // An echo wakes its own task with each piece of the body; to wait for events before that
        // task is polled again would take a system call more than Tokio takes.
        for _ in 0..WOKEN_ROUNDS {
            core.woken.take().into_iter().for_each(|key| advance(&mut tasks, key));
            if core.woken.is_empty() {
                break;
            }
        }
    }
}

fn accept(
    listener: &mio::net::TcpListener,
    registry: &Registry,
    tasks: &mut Slab<Task>,
    core: &Core,
    rounds: u32,
) -> io::Result<()> {
    let http = hyper_service::http();
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let entry = tasks.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(entry.key()), both)?;

        let readiness = Rc::new(Readiness::default());
        let io = Io { stream, readiness: Rc::clone(&readiness), input: Rc::clone(&core.input) };
        let service = service_fn(move |request| hyper_service::answer(request, rounds));
        let connection = Box::pin(http.serve_connection(io, service));
        let waker = Alarm { key: entry.key(), woken: Arc::clone(&core.woken) };
        entry.insert(Task { connection, readiness, waker: Waker::from(Arc::new(waker)) });
    }
}

/// Polls a connection, and drops it when it has ended. A connection may have ended since it was
/// woken, and its key may belong to another one, which then has nothing to do.
fn advance(tasks: &mut Slab<Task>, key: usize) {
    let Some(task) = tasks.get_mut(key) else { return };
    let ended = task.connection.as_mut().poll(&mut Context::from_waker(&task.waker));
    if ended.is_ready() {
        tasks.remove(key);
    }
}

/// State shared by the connections of a core.
struct Core {
    input: Rc<RefCell<Vec<u8>>>,
    woken: Arc<Woken>,
}

struct Task {
    connection: Pin<Box<dyn Future<Output = hyper::Result<()>>>>,
    readiness: Rc<Readiness>,
    waker: Waker,
}

/// Tasks to poll again without an event. Only this thread ever locks the mutex, but a `Waker` must
/// be ready to be sent to other threads.
#[derive(Default)]
struct Woken(Mutex<Vec<usize>>);

impl Woken {
    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Alarm {
    key: usize,
    woken: Arc<Woken>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.woken.lock().push(self.key);
    }
}

/// Events that epoll has reported once, and that no read has used up.
#[derive(Default)]
struct Readiness {
    readable: Cell<bool>,
    read_closed: Cell<bool>,
}

impl Readiness {
    fn announce(&self, event: &Event) {
        self.readable.set(self.readable.get() || event.is_readable() || event.is_error());
        self.read_closed.set(self.read_closed.get() || event.is_read_closed());
    }
}

/// A socket as hyper wants it. It keeps no waker, because an event wakes its one task.
struct Io {
    stream: TcpStream,
    readiness: Rc<Readiness>,
    /// Buffer for each read. hyper's own buffer is uninitialized memory, and reading into it takes
    /// unsafe code. The copy is an unfairness that `docs/method.md` counts.
    input: Rc<RefCell<Vec<u8>>>,
}

impl rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut free: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.readiness.readable.get() {
            return Poll::Pending;
        }
        let input = Rc::clone(&self.input);
        let mut input = input.borrow_mut();
        let room = free.remaining().min(INPUT_BYTES);
        let read = self.stream.read(&mut input[..room]);
        // A read that does not fill the buffer has emptied the socket.
        if !matches!(read, Ok(read) if read == room) {
            self.readiness.readable.set(self.readiness.read_closed.get());
        }
        unless_blocked(read).map_ok(|read| free.put_slice(&input[..read]))
    }
}

impl rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        unless_blocked(self.stream.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        unless_blocked(self.stream.write_vectored(slices))
    }
}

/// Maps an error of a socket that would block to `Pending`, because epoll reports the socket later.
fn unless_blocked(done: io::Result<usize>) -> Poll<io::Result<usize>> {
    match done {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}
