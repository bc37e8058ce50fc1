//! One connection: its socket, its protocol state, and the bytes that are
//! unfinished.
//!
//! Reads and writes happen here; which connection gets a turn is the event
//! loop's business. An idle connection owns no heap memory.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;

use slab::Slab;

use super::timeouts::{Deadline, Deadlined, Deadlines, Ticks};
use crate::config::{Config, Timeouts};
use crate::http::{
    self, Buffer, Context, Date, DeferredResponse, Next, Recorder, Rejection, ResponseSink,
    Service, Spares, Waiting,
};
use crate::ops::access_log::CoreLog;
use crate::ops::metrics::CoreMetrics;

/// Bytes that count as progress: a peer that moves fewer in a timeout is too slow.
const PROGRESS_BYTES: u32 = 4096;

/// Bytes that one connection may write in one turn: 16 fillings of the output
/// buffer, after which the others have theirs.
const TURN_BYTES_MAX: usize = 1024 * 1024;

/// The output buffer is given back to the allocator where one answer made it
/// larger than this.
const OUTPUT_BYTES_KEPT: usize = 256 * 1024;

/// What all connections of a core share.
pub(super) struct Core<S> {
    pub(super) service: S,
    /// One read goes here, behind what its connection has carried over. It can
    /// hold a whole head and then some, so there is always room to read.
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    pub(super) state: LoopState,
}

/// What a turn depends on besides bytes.
pub(super) struct LoopState {
    pub(super) date: Date,
    pub(super) now: Instant,
    pub(super) draining: bool,
    pub(super) sink: Arc<dyn ResponseSink>,
    /// Where the core counters, if anywhere.
    pub(super) metrics: Option<Arc<CoreMetrics>>,
    /// The core's part of the access log, if there is one.
    pub(super) log: Option<CoreLog>,
    /// What requests leave to others.
    pub(super) spares: Spares,
    /// Bytes that all connections of the core keep.
    pub(super) buffered_bytes: usize,
}

impl LoopState {
    fn context<'a>(&'a self, address: u64, client: &'a IpAddr, config: &'a Config) -> Context<'a> {
        Context {
            limits: &config.limits,
            date: &self.date,
            draining: self.draining,
            sink: Some(&self.sink),
            address,
            client: Some(client),
            counters: self.metrics.as_ref().map(|metrics| &metrics.counters),
            recorder: self.log.as_ref().map(|log| log as &dyn Recorder),
            spares: Some(&self.spares),
        }
    }

    fn count(&self, add: impl FnOnce(&CoreMetrics)) {
        if let Some(metrics) = &self.metrics {
            add(metrics);
        }
    }
}

/// One client.
pub(super) struct Connection {
    stream: TcpStream,
    client: IpAddr,
    /// What a deferred answer finds the connection by: its key, and in the upper half
    /// how many the event loop had opened before, as keys are used again.
    address: u64,
    http: http::Connection,
    stage: Stage,
    /// Input that is not consumed: the beginning of a head or, behind unsent
    /// output, anything.
    carry: Buffer,
    /// Output that the socket did not take.
    unsent: Buffer,
    /// The protocol has more to write once the output is sent.
    stalled: bool,
    /// The poll has said that the peer sends no more, so there is an end to read.
    read_closed: bool,
    /// It waits for another turn, in the queue of those with more to do.
    queued: bool,
    /// A request has been read on this connection.
    used: bool,
    /// Bytes of requests consumed since `class` was last given its time.
    consumed_bytes: u32,
    /// Bytes written since then.
    written_bytes: u32,
    buffered_bytes: usize,
    class: TimeoutKind,
    deadline: Deadline,
    /// When the answer that is waited for was deferred.
    deferred: Option<Instant>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// It closes once the output is sent.
    Ending {
        linger: bool,
    },
    /// The write side is shut; what the peer still sends is discarded.
    Lingering,
}

/// What a connection waits for: says which timeout holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeoutKind {
    Head,
    Content,
    Idle,
    Write,
    /// An answer that is made elsewhere: the service's own time.
    Service,
    Linger,
}

/// How many classes there are.
pub(super) const TIMEOUT_KINDS: usize = 6;

/// The key of the connection that has this address.
pub(super) fn key(address: u64) -> usize {
    address as u32 as usize
}

/// How long each class has, in its order.
pub(super) fn ticks(timeouts: &Timeouts) -> [Ticks; TIMEOUT_KINDS] {
    let Timeouts { head, body, idle, write, linger, drain: _ } = *timeouts;
    let [head, body, idle, write, linger] = [head, body, idle, write, linger].map(Ticks::at_least);
    [head, body, idle, write, Ticks::NEVER, linger]
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next event will say when to go on.
    Wait,
    /// There is more to do, after the others have had their turn.
    Again,
    /// The connection is over.
    Close,
}

impl Connection {
    /// The connection in place `key` of its event loop, which has opened so many.
    pub(super) fn new(stream: TcpStream, client: IpAddr, key: usize, opened: u32) -> Connection {
        Connection {
            stream,
            client,
            address: u64::from(opened) << 32 | key as u64,
            http: http::Connection::default(),
            stage: Stage::Open,
            carry: Buffer::default(),
            unsent: Buffer::default(),
            stalled: false,
            read_closed: false,
            queued: false,
            used: false,
            consumed_bytes: 0,
            written_bytes: 0,
            buffered_bytes: 0,
            // Its first turn finds that it waits for a head, and sets the deadline.
            class: TimeoutKind::Idle,
            deadline: Deadline::NONE,
            deferred: None,
        }
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub(super) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// What went wrong with the connection, of which the poll has said so.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.stream.take_error().ok().flatten()
    }

    pub(super) fn set_read_closed(&mut self) {
        self.read_closed = true;
    }

    pub(super) fn is_queued(&self) -> bool {
        self.queued
    }

    pub(super) fn set_queued(&mut self, queued: bool) {
        self.queued = queued;
    }

    /// Sends, reads, answers and sends, as far as the socket allows.
    pub(super) fn turn<S: Service>(
        &mut self,
        core: &mut Core<S>,
        config: &Config,
    ) -> io::Result<Turn> {
        if !self.unsent.is_empty() && !self.send_unsent(core)? {
            // Nothing is read from a peer that does not read.
            return Ok(Turn::Wait);
        }
        match self.stage {
            Stage::Open if self.http.waiting() == Waiting::Response => Ok(Turn::Wait),
            Stage::Open => self.receive(core, config),
            Stage::Ending { linger } => self.end(linger),
            Stage::Lingering => self.discard(core),
        }
    }

    /// Takes the answer that was deferred, and goes on.
    pub(super) fn deliver<S: Service>(
        &mut self,
        answer: &DeferredResponse,
        core: &mut Core<S>,
        config: &Config,
    ) -> io::Result<Turn> {
        let context = core.state.context(self.address, &self.client, config);
        self.http.deliver(answer, &self.carry, &mut core.output, &context);
        if let Some(deferred) = self.deferred.take() {
            let took = core.state.now - deferred;
            core.state.count(|metrics| metrics.record_deferred(took));
        }
        // What came behind the request can be read now.
        self.stalled = true;
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(&core.output);
            core.output.clear();
        }
        self.turn(core, config)
    }

    /// Gives up what has begun to arrive, with an answer if it can have one.
    pub(super) fn refuse<S>(
        &mut self,
        rejection: Rejection,
        core: &mut Core<S>,
        config: &Config,
    ) -> io::Result<Turn> {
        if !self.unsent.is_empty() || self.stage != Stage::Open {
            return Ok(Turn::Close);
        }
        let context = core.state.context(self.address, &self.client, config);
        self.http.refuse(rejection, &self.carry, &mut core.output, &context);
        self.carry = Buffer::default();
        self.deferred = None;
        self.send(core)?;
        self.end_when_sent(true)
    }

    /// Says that what has not been answered will not be.
    pub(super) fn abandon(&mut self, state: &LoopState, config: &Config) {
        if state.log.is_some() {
            self.http.abandon(&state.context(self.address, &self.client, config));
        }
    }

    /// The deadline of what the connection now waits for has passed.
    pub(super) fn time_out<S>(&mut self, core: &mut Core<S>, config: &Config) -> io::Result<Turn> {
        core.state.count(|metrics| metrics.timeouts[self.class as usize].add(1));
        match self.class {
            TimeoutKind::Head if !self.has_head_begun() => Ok(Turn::Close),
            TimeoutKind::Head | TimeoutKind::Content => {
                self.refuse(Rejection::Timeout, core, config)
            }
            TimeoutKind::Idle | TimeoutKind::Write | TimeoutKind::Service | TimeoutKind::Linger => {
                Ok(Turn::Close)
            }
        }
    }

    /// Whether the connection waits for a request that has not begun.
    pub(super) fn is_idle(&self) -> bool {
        self.class() == TimeoutKind::Idle
    }

    /// Whether nothing has arrived on the connection yet.
    pub(super) fn is_unused(&self) -> bool {
        !self.used && self.class() == TimeoutKind::Head && !self.has_head_begun()
    }

    /// Whether there is more than empty lines, which may come before a head
    /// (RFC 9112, 2.2).
    fn has_head_begun(&self) -> bool {
        self.carry.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// Gives what the connection now waits for its time, where that is due to it.
    pub(super) fn keep_time(
        &mut self,
        key: usize,
        timeouts: &[Ticks; TIMEOUT_KINDS],
        deadlines: &mut Deadlines,
    ) {
        self.keep_time_of(self.class(), key, timeouts, deadlines);
    }

    /// As [`keep_time`](Self::keep_time), where it is known what the connection waits for.
    #[inline]
    pub(super) fn keep_time_of(
        &mut self,
        class: TimeoutKind,
        key: usize,
        timeouts: &[Ticks; TIMEOUT_KINDS],
        deadlines: &mut Deadlines,
    ) {
        let due = class != self.class
            || match class {
                TimeoutKind::Idle | TimeoutKind::Head => self.consumed_bytes > 0,
                TimeoutKind::Content => self.consumed_bytes >= PROGRESS_BYTES,
                TimeoutKind::Write => self.written_bytes >= PROGRESS_BYTES,
                TimeoutKind::Service | TimeoutKind::Linger => false,
            };
        if due {
            self.class = class;
            self.consumed_bytes = 0;
            self.written_bytes = 0;
            deadlines.set(key, &mut self.deadline, timeouts[class as usize]);
        }
    }

    /// Counters what the connection keeps; says by how much that is more than before.
    pub(super) fn account<S>(&mut self, core: &mut Core<S>) -> bool {
        let bytes = self.buffered_now();
        let before = std::mem::replace(&mut self.buffered_bytes, bytes);
        let kept = &mut core.state.buffered_bytes;
        *kept = *kept + bytes - before;
        bytes > before
    }

    /// Whether all that was read is answered, and nothing is kept, nor was when last
    /// counted: the connection waits for its next request, as it usually does.
    pub(super) fn is_at_rest(&self) -> bool {
        self.stage == Stage::Open
            && self.http.waiting() == Waiting::Head
            && self.used
            && !self.stalled
            && self.carry.capacity() == 0
            && self.unsent.capacity() == 0
            && self.buffered_bytes == 0
    }

    fn buffered_now(&self) -> usize {
        self.carry.capacity() + self.unsent.capacity() + self.http.buffered_bytes()
    }

    /// Bytes that the connection keeps, as last counted.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    #[inline]
    fn class(&self) -> TimeoutKind {
        match (self.stage, self.http.waiting()) {
            (Stage::Lingering, _) => TimeoutKind::Linger,
            _ if !self.unsent.is_empty() || self.stalled => TimeoutKind::Write,
            (Stage::Open, Waiting::Response) => TimeoutKind::Service,
            (Stage::Open, Waiting::Body) => TimeoutKind::Content,
            (Stage::Open, Waiting::Head) if self.used && !self.has_head_begun() => {
                TimeoutKind::Idle
            }
            (Stage::Open, Waiting::Head) => TimeoutKind::Head,
            _ => TimeoutKind::Write,
        }
    }

    fn is_reading(&self) -> bool {
        self.stage == Stage::Open
            && self.unsent.is_empty()
            && self.http.waiting() != Waiting::Response
    }

    /// Goes on with what was held up by unsent output, reads once, or until the end
    /// where one is announced, and answers.
    fn receive<S: Service>(&mut self, core: &mut Core<S>, config: &Config) -> io::Result<Turn> {
        loop {
            let carried = self.carry.len();
            if carried > 0 {
                core.input[..carried].copy_from_slice(&self.carry);
            }
            let resumes = self.stalled;
            let read = match resumes {
                true => 0,
                false => match self.read(core, carried) {
                    // All complete requests are answered, and the rest will never be whole.
                    Ok(0) => return Ok(Turn::Close),
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Ok(Turn::Wait);
                    }
                    Err(error) => return Err(error),
                },
            };
            let turn = self.answer(core, carried + read, config)?;
            // A read that did not fill the buffer has emptied the socket.
            let is_emptied = carried + read < core.input.len();
            match turn {
                Turn::Wait if !self.is_reading() => return Ok(turn),
                Turn::Wait if resumes || (is_emptied && self.read_closed) => {}
                Turn::Wait if !is_emptied => return Ok(Turn::Again),
                turn => return Ok(turn),
            }
        }
    }

    /// Reads behind the first `carried` bytes of the input.
    fn read<S>(&mut self, core: &mut Core<S>, carried: usize) -> io::Result<usize> {
        loop {
            match self.stream.read(&mut core.input[carried..]) {
                Ok(read) => {
                    core.state.count(|metrics| metrics.received_bytes.add(read as u64));
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers what the first `filled` bytes of the input hold, and sends the answers.
    fn answer<S: Service>(
        &mut self,
        core: &mut Core<S>,
        filled: usize,
        config: &Config,
    ) -> io::Result<Turn> {
        let mut done = 0;
        let mut written = 0;
        loop {
            let context = core.state.context(self.address, &self.client, config);
            let progress = self.http.advance(
                &core.input[done..filled],
                &mut core.output,
                &mut core.service,
                &context,
            );
            done += progress.consumed;
            written += core.output.len();
            self.used |= progress.consumed > 0;
            self.consumed_bytes = self.consumed_bytes.saturating_add(progress.consumed as u32);
            self.send(core)?;
            self.stalled = progress.next == Next::Flush;
            match progress.next {
                Next::Close { linger } => {
                    self.carry = Buffer::default();
                    return self.end_when_sent(linger);
                }
                Next::Flush if self.unsent.is_empty() && written < TURN_BYTES_MAX => {}
                next => {
                    if next == Next::Wait {
                        self.deferred = Some(core.state.now);
                    }
                    self.keep(&core.input[done..filled]);
                    return Ok(if self.stalled && self.unsent.is_empty() {
                        Turn::Again
                    } else {
                        Turn::Wait
                    });
                }
            }
        }
    }

    /// Keeps input for later. The usual rest is none, and takes no memory.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.carry = Buffer::default();
        } else {
            self.carry.clear();
            self.carry.extend_from_slice(rest);
        }
    }

    /// Sends the output in one write, and keeps what the socket does not take.
    // Inlined, as a call of its own costs a wake-up 20 instructions.
    #[inline(always)]
    fn send<S>(&mut self, core: &mut Core<S>) -> io::Result<()> {
        let output = &mut core.output;
        if output.is_empty() {
            return Ok(());
        }
        let written = write(&mut self.stream, output);
        if let Ok(written) = written {
            self.written_bytes = self.written_bytes.saturating_add(written as u32);
            core.state.count(|metrics| metrics.sent_bytes.add(written as u64));
            if written < output.len() {
                self.unsent = core.state.spares.buffer(output.len() - written);
                self.unsent.extend_from_slice(&output[written..]);
            }
        }
        output.clear();
        if output.capacity() > OUTPUT_BYTES_KEPT {
            output.shrink_to(OUTPUT_BYTES_KEPT);
        }
        written.map(drop)
    }

    /// Whether all of what was left is sent now.
    #[inline(never)]
    fn send_unsent<S>(&mut self, core: &Core<S>) -> io::Result<bool> {
        let written = write(&mut self.stream, &self.unsent)?;
        core.state.count(|metrics| metrics.sent_bytes.add(written as u64));
        self.written_bytes = self.written_bytes.saturating_add(written as u32);
        if written < self.unsent.len() {
            self.unsent.consume(written);
            return Ok(false);
        }
        core.state.spares.leave(std::mem::take(&mut self.unsent));
        Ok(true)
    }

    #[inline(never)]
    fn end_when_sent(&mut self, linger: bool) -> io::Result<Turn> {
        if self.unsent.is_empty() {
            return self.end(linger);
        }
        self.stage = Stage::Ending { linger };
        Ok(Turn::Wait)
    }

    /// All is sent: closes, or shuts the write side and waits for the peer to have
    /// read the answer, which a reset could destroy on its way.
    fn end(&mut self, linger: bool) -> io::Result<Turn> {
        if !linger || self.read_closed {
            return Ok(Turn::Close);
        }
        self.stage = Stage::Lingering;
        self.stream.shutdown(Shutdown::Write)?;
        // What has arrived by now will not be announced again.
        Ok(Turn::Again)
    }

    #[inline(never)]
    fn discard<S>(&mut self, core: &mut Core<S>) -> io::Result<Turn> {
        match self.stream.read(&mut core.input) {
            Ok(0) => Ok(Turn::Close),
            Ok(_) => Ok(Turn::Again),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Turn::Wait),
            Err(error) => Err(error),
        }
    }
}

impl Deadlined for Slab<Connection> {
    fn deadline(&mut self, key: usize) -> Option<&mut Deadline> {
        self.get_mut(key).map(|connection| &mut connection.deadline)
    }
}

/// Bytes that the socket took.
#[inline]
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        return match stream.write(bytes) {
            Ok(written) => Ok(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}
