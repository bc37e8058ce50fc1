//! One connection: its socket, its protocol state, and the bytes that are unfinished.
//!
//! The event loop decides which connection gets a turn. An idle connection owns no heap memory.

use std::io;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use slab::Slab;

use super::buffer::Buffer;
use super::inbox::Message;
use super::loop_state::{Environment, LoopState};
use super::socket::Socket;
use super::timeouts::{TimeoutKind, Timer, Timers};
use super::wheel::{Deadline, Deadlines};
use crate::http::{self, Close, Peer, Rejection, Service, Waiting};

/// Reads of discarded input in one turn.
const DISCARDS_MAX: usize = 4;

/// One client.
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) client: Peer,
    /// Number of the connection, for messages: its key, and in the upper half a count of the
    /// connections that the loop has opened, because keys are used again.
    pub(super) id: u64,
    pub(super) http: http::Connection,
    pub(super) state: State,
    /// Input that is not consumed.
    pub(super) carry: Buffer,
    /// Output that the socket did not take.
    pub(super) unsent: Buffer,
    pub(super) timer: Timer,
    pub(super) buffered_bytes: usize,
    /// A short read does not prove that the socket is empty: the end of the input, or urgent
    /// data, makes a read short.
    pub(super) reads_on: bool,
    /// The connection is in the queue of those with more to do.
    pub(super) is_queued: bool,
    /// A request has been read on this connection.
    pub(super) is_used: bool,
}

/// The task of a connection at its next turn, once all output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Reads, and answers.
    Reading,
    /// Answers the input that is kept, and goes on reading.
    Resuming,
    /// Waits for the response that was deferred at this time.
    Deferred(Instant),
    /// Waits for the waker of a paused stream.
    Paused,
    /// Closes.
    Closing(Close),
    /// Discards input until the client has read the last response and closes its side. The
    /// write side is shut down.
    Lingering {
        /// The response may still be on its way when the linger timeout has passed.
        is_large: bool,
    },
    /// Waits for the header of the PROXY protocol.
    ProxyHeader,
}

/// The result of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next event says when to go on.
    Wait,
    /// There is more to do, after other connections have had their turns.
    Again,
    /// All that has arrived is answered. The responses are at the end of the output, to be sent
    /// with those of other connections.
    Send,
    /// The connection is over.
    Close,
}

/// Returns the key of the connection with this number.
pub(super) fn key_of(connection_id: u64) -> usize {
    connection_id as u32 as usize
}

impl Connection {
    /// Returns the connection with key `key`, the `opened`th of its event loop.
    pub(super) fn new(stream: TcpStream, client: Peer, key: usize, opened: u32) -> Connection {
        Connection {
            socket: Socket::new(stream),
            client,
            id: u64::from(opened) << 32 | key as u64,
            http: http::Connection::default(),
            state: State::Reading,
            carry: Buffer::default(),
            unsent: Buffer::default(),
            timer: Timer::UNSET,
            buffered_bytes: 0,
            reads_on: false,
            is_queued: false,
            is_used: false,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn client(&self) -> &Peer {
        &self.client
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        self.socket.source()
    }

    pub(super) fn timer(&self) -> &Timer {
        &self.timer
    }

    /// Takes the error of the socket, if there is one.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.socket.take_error()
    }

    /// Notes that a short read does not prove that the socket is empty.
    pub(super) fn set_reads_on(&mut self) {
        self.reads_on = true;
    }

    /// Sends, reads, answers and sends, as far as the socket allows.
    pub(super) fn turn<S: Service>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        if !self.unsent.is_empty() && !self.send_unsent(&state.env)? {
            return self.read_ahead(state);
        }
        match self.state {
            State::Reading | State::Resuming => self.receive(state),
            State::Deferred(_) | State::Paused => Ok(Turn::Wait),
            State::Closing(close) => self.close_when_sent(close),
            State::Lingering { .. } => self.discard(state),
            State::ProxyHeader => self.read_proxy_header(state),
        }
    }

    /// Takes a message from another thread, and goes on.
    pub(super) fn take_message<S: Service>(
        &mut self,
        message: Message,
        state: &mut LoopState<S>,
    ) -> io::Result<Turn> {
        match (message, self.state) {
            (Message::Respond(response), State::Deferred(since)) => {
                let context = state.env.context(self.id, &self.client);
                self.http.deliver(response, &self.carry, &mut state.output, &context);
                let took = state.env.now - since;
                state.env.count(|metrics| metrics.record_deferred(took));
                self.unsent.extend_from_slice(&state.output);
                state.clear_output();
            }
            (Message::Resume, State::Paused) if self.http.wake() => {}
            // The response was rejected meanwhile, or the stream goes on anyway.
            _ => return Ok(Turn::Wait),
        }
        self.state = State::Resuming;
        self.turn(state)
    }

    /// Gives up a request that has begun to arrive; responds if no response has begun.
    pub(super) fn reject<S>(
        &mut self,
        rejection: Rejection,
        state: &mut LoopState<S>,
    ) -> io::Result<Turn> {
        if !self.unsent.is_empty() || matches!(self.state, State::Closing(_)) {
            return Ok(Turn::Close);
        }
        if let State::Lingering { .. } = self.state {
            return Ok(Turn::Close);
        }
        let context = state.env.context(self.id, &self.client);
        let close = self.http.reject(rejection, &self.carry, &mut state.output, &context);
        self.carry = Buffer::default();
        self.send(state)?;
        self.close_when_sent(close)
    }

    /// Has the client see a reset when the connection is dropped, if a response that is cut off
    /// would look complete otherwise.
    pub(super) fn reset_if_cut_off(&self) {
        let is_unsent = matches!(self.state, State::Closing(_)) && !self.unsent.is_empty();
        if is_unsent || self.http.is_delimited_by_close() {
            self.socket.reset_on_drop();
        }
    }

    /// Ends the connection after its timer has expired.
    pub(super) fn time_out<S>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        let kind = self.timer.kind();
        state.env.count(|metrics| metrics.timeouts[kind as usize].add(1));
        match kind {
            TimeoutKind::Head if !self.has_head_begun() => Ok(Turn::Close),
            TimeoutKind::Head | TimeoutKind::Body => self.reject(Rejection::Timeout, state),
            _ => Ok(Turn::Close),
        }
    }

    /// Records the request if its connection ends before its response is complete.
    pub(super) fn abandon(&mut self, env: &Environment) {
        if env.log.is_some() {
            self.http.abandon(&env.context(self.id, &self.client));
        }
    }

    /// Restarts the timer after progress.
    pub(super) fn update_timer(&mut self, key: usize, timers: &mut Timers) {
        self.timer.update(self.timeout_kind(), key, timers);
    }

    /// Restarts the timer of a connection that [`is_at_rest`](Self::is_at_rest).
    #[inline]
    pub(super) fn update_idle_timer(&mut self, key: usize, timers: &mut Timers) {
        self.timer.update(TimeoutKind::Idle, key, timers);
    }

    /// Gives the connection a time of its own.
    pub(super) fn set_timer(&mut self, key: usize, timeout: Duration, timers: &mut Timers) {
        self.timer.set(key, timeout, timers);
    }

    /// Counts the memory that the connection holds; reports whether it has grown.
    pub(super) fn account(&mut self, env: &mut Environment) -> bool {
        let bytes = self.carry.capacity() + self.unsent.capacity() + self.http.buffered_bytes();
        let before = std::mem::replace(&mut self.buffered_bytes, bytes);
        env.buffered_bytes = env.buffered_bytes + bytes - before;
        bytes > before
    }

    /// Returns the memory that the connection held when it was last counted, in bytes.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Reports whether all input is answered and nothing is kept or counted as kept: the usual
    /// state between two requests.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        self.state == State::Reading
            && self.http.waiting() == Waiting::Head
            && self.is_used
            && self.carry.capacity() == 0
            && self.unsent.capacity() == 0
            && self.buffered_bytes == 0
    }

    /// Reports whether the connection waits for a request that has not begun.
    pub(super) fn is_idle(&self) -> bool {
        self.timeout_kind() == TimeoutKind::Idle
    }

    /// Reports whether no part of a request has arrived since the last response, or since the
    /// beginning.
    pub(super) fn waits_for_a_request(&self) -> bool {
        self.is_idle() || self.is_unused()
    }

    /// Reports whether nothing has arrived on the connection yet.
    pub(super) fn is_unused(&self) -> bool {
        !self.is_used && self.timeout_kind() == TimeoutKind::Head && !self.has_head_begun()
    }

    /// Reports whether a request has begun and its response has not been sent whole.
    pub(super) fn is_unfinished(&self) -> bool {
        match self.state {
            State::Lingering { .. } => false,
            State::Closing(_) => !self.unsent.is_empty(),
            _ => !self.unsent.is_empty() || !self.waits_for_a_request(),
        }
    }

    /// Reports whether there is more than empty lines, which may come before a head (RFC 9112,
    /// 2.2).
    fn has_head_begun(&self) -> bool {
        self.carry.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    fn timeout_kind(&self) -> TimeoutKind {
        match self.state {
            State::Lingering { is_large: false } => TimeoutKind::Linger,
            _ if !self.unsent.is_empty() => match self.http.waiting() {
                Waiting::Body => TimeoutKind::Stall,
                _ => TimeoutKind::Write,
            },
            State::Lingering { is_large: true } | State::Closing(_) | State::Resuming => {
                TimeoutKind::Write
            }
            // A client that has shut down its side may be gone.
            State::Paused if self.reads_on => TimeoutKind::Write,
            State::Paused | State::Deferred(_) => TimeoutKind::Service,
            State::ProxyHeader => TimeoutKind::Head,
            State::Reading => match self.http.waiting() {
                Waiting::Body => TimeoutKind::Body,
                _ if self.is_used && !self.has_head_begun() => TimeoutKind::Idle,
                _ => TimeoutKind::Head,
            },
        }
    }

    /// Sends the output of this connection in one write, and keeps the rest that the socket does
    /// not take.
    // Inlined, because a call costs a wake-up 20 instructions.
    #[inline(always)]
    pub(super) fn send<S>(&mut self, state: &mut LoopState<S>) -> io::Result<()> {
        let begin = state.batch.end();
        if state.output.len() == begin {
            return Ok(());
        }
        let sent = self.send_part(&state.output[begin..], &state.env);
        state.clear_output();
        sent
    }

    /// Sends `output` in one write, and keeps the rest that the socket does not take.
    #[inline(always)]
    pub(super) fn send_part(&mut self, output: &[u8], env: &Environment) -> io::Result<()> {
        let written = self.socket.write(output, env)?;
        self.timer.note_written(written);
        if written < output.len() {
            self.unsent.extend_from_slice(&output[written..]);
        }
        Ok(())
    }

    /// Sends the output that is kept; reports whether all of it is sent.
    #[inline(never)]
    fn send_unsent(&mut self, env: &Environment) -> io::Result<bool> {
        let written = self.socket.write(&self.unsent, env)?;
        self.timer.note_written(written);
        self.unsent.consume(written);
        Ok(self.unsent.is_empty())
    }

    /// Closes the connection once all output is sent. If a reset could destroy the response on
    /// its way, shuts the write side down and discards input first (RFC 9112, 9.6).
    #[inline(never)]
    pub(super) fn close_when_sent(&mut self, close: Close) -> io::Result<Turn> {
        if !self.unsent.is_empty() {
            self.state = State::Closing(close);
            return Ok(Turn::Wait);
        }
        let is_large = self.socket.has_sent_much();
        match close {
            Close::Now if !is_large => return Ok(Turn::Close),
            Close::Reset => {
                self.socket.reset_on_drop();
                return Ok(Turn::Close);
            }
            _ => {}
        }
        self.state = State::Lingering { is_large };
        self.socket.shut_down_write()?;
        // Input that has arrived by now is not announced again.
        Ok(Turn::Again)
    }

    /// Discards input. The end of the input proves that the client has closed its side, so that
    /// nothing can arrive later and have the kernel reset the connection.
    #[inline(never)]
    fn discard<S>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        for _ in 0..DISCARDS_MAX {
            match self.socket.read(&mut state.input, &state.env) {
                Ok(0) => return Ok(Turn::Close),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Wait),
                Err(error) => return Err(error),
            }
        }
        Ok(Turn::Again)
    }
}

impl Deadlines for Slab<Connection> {
    fn deadline(&mut self, key: usize) -> Option<&mut Deadline> {
        self.get_mut(key).map(|connection| connection.timer.deadline())
    }
}
