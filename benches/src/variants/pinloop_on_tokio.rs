//! Adds Tokio's current-thread runtime, in place of the event loop and its timeouts; otherwise as
//! `pinloop`: the same protocol core, the same buffers per core, one read and one write a wake-up.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll, ready};
use std::time::SystemTime;

use pinloop::app::App;
use pinloop::http::{Close, Connection, Context, Date, Limits, Next};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};

use super::Ready;
use super::common::{self, Settings};

/// Size of the input buffer, as the server has it: its largest head and one read.
const INPUT_BYTES: usize = 128 * 1024;

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    common::per_core(settings, ready, move |listener| run(listener, rounds))
}

fn run(listener: TcpListener, rounds: u32) -> io::Result<()> {
    // Its tasks stay on its thread, so that their shared state needs no lock.
    let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?;
    runtime.block_on(accept(listener, rounds))
}

async fn accept(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let core = Rc::new(RefCell::new(Core {
        app: App::new(rounds),
        limits: Limits::default(),
        date: Date::at(SystemTime::now()),
        input: vec![0; INPUT_BYTES],
        output: Vec::new(),
    }));
    loop {
        let (stream, _) = listener.accept().await?;
        let http = Connection::default();
        let client = Client { stream, http, carry: Vec::new(), unsent: Vec::new() };
        tokio::task::spawn_local(client.serve(Rc::clone(&core)));
    }
}

/// State shared by the connections of a core.
struct Core {
    app: App,
    limits: Limits,
    date: Date,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// One connection. An idle one owns no heap memory but its task.
struct Client {
    stream: TcpStream,
    http: Connection,
    /// Input that the protocol core has not consumed.
    carry: Vec<u8>,
    /// Output that the socket has not taken.
    unsent: Vec<u8>,
}

impl Client {
    async fn serve(mut self, core: Rc<RefCell<Core>>) -> io::Result<()> {
        let mut next = Next::Read;
        loop {
            next = match next {
                Next::Read => poll_fn(|task| self.receive(&mut core.borrow_mut(), task)).await?,
                Next::Flush => self.answer(&mut core.borrow_mut(), 0)?,
                Next::Wait => unreachable!("this service has no workers to defer an answer to"),
                Next::Close(close) => return self.end(close).await,
            };
            if !self.unsent.is_empty() {
                self.stream.write_all(&self.unsent).await?;
                self.unsent = Vec::new();
            }
        }
    }

    /// Reads once, behind what was carried over, and answers.
    fn receive(&mut self, core: &mut Core, task: &mut task::Context<'_>) -> Poll<io::Result<Next>> {
        let mut free = ReadBuf::new(&mut core.input[self.carry.len()..]);
        // try_read would not record that it has emptied the socket.
        ready!(Pin::new(&mut self.stream).poll_read(task, &mut free))?;
        let read = free.filled().len();
        if read == 0 {
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        core.date.update(SystemTime::now());
        Poll::Ready(self.answer(core, read))
    }

    /// Advances the protocol core over the carried and the `read` bytes, and sends the answers.
    fn answer(&mut self, core: &mut Core, read: usize) -> io::Result<Next> {
        let filled = self.carry.len() + read;
        core.input[..self.carry.len()].copy_from_slice(&self.carry);
        let context = Context::new(&core.limits, &core.date);
        let progress =
            self.http.advance(&core.input[..filled], &mut core.output, &mut core.app, &context);
        // In the usual case nothing is left, and nothing is allocated.
        self.carry = core.input[progress.consumed..filled].to_vec();
        self.send(&mut core.output)?;
        Ok(progress.next)
    }

    /// Sends in one write, and keeps the bytes that the socket does not take.
    fn send(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        let written = match self.stream.try_write(output) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            written => written?,
        };
        self.unsent = output[written..].to_vec();
        output.clear();
        Ok(())
    }

    /// Lets a client that is still sending read its answer: see
    /// [`Next::Close`].
    async fn end(mut self, close: Close) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut discarded = [0; 1024];
        while close == Close::Linger && self.stream.read(&mut discarded).await? > 0 {}
        Ok(())
    }
}
