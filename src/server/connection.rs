//! One connection: its socket, its protocol state, and the bytes that are unfinished.
//!
//! Reads and writes happen here. The event loop decides which connection gets a turn. An idle
//! connection owns no heap memory.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use slab::Slab;
use socket2::SockRef;

use super::buffer::Buffer;
use super::inbox::Message;
use super::loop_state::{Environment, LoopState};
use super::timeouts::{TimeoutKind, Timer, Timers, Wheel};
use crate::http::{self, Close, Next, Rejection, Service, Waiting};

/// Bytes that one connection may write in one turn: 16 fillings of the output buffer, after
/// which other connections have their turns.
const TURN_BYTES_MAX: usize = 1024 * 1024;

/// Requests that one call of the protocol answers. The clock is read between two calls, so that a
/// turn of up to 16 requests costs no look at it.
const CALL_REQUESTS: u32 = 16;

/// Calls of the protocol in one turn.
const TURN_CALLS: u32 = 2;

/// Time since the wake-up after which a turn ends although more requests are there.
const TURN_TIME: Duration = Duration::from_micros(500);

/// Reads of discarded input in one turn.
const DISCARDS_MAX: usize = 4;

/// Bytes sent on a connection up to which all are taken to have arrived when it closes: the
/// initial congestion window of 10 segments (RFC 6928), less headers.
const SENT_BYTES_SMALL: u32 = 12 * 1024;

/// One client.
pub(super) struct Connection {
    stream: TcpStream,
    client: IpAddr,
    /// Number by which messages find the connection: its key, and in the upper half a count of
    /// the connections that the loop has opened, because keys are used again.
    id: u64,
    http: http::Connection,
    state: State,
    /// Input that is not consumed.
    carry: Buffer,
    /// Output that the socket did not take.
    unsent: Buffer,
    timer: Timer,
    buffered_bytes: usize,
    /// Bytes sent on this connection.
    sent_bytes: u32,
    /// A short read does not prove that the socket is empty: the end of the input, or urgent
    /// data, makes a read short.
    reads_on: bool,
    /// The connection is in the queue of those with more to do.
    pub(super) is_queued: bool,
    /// A request has been read on this connection.
    is_used: bool,
}

/// What a connection does at its next turn, once all output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
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
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next event says when to go on.
    Wait,
    /// There is more to do, after other connections have had their turns.
    Again,
    /// The connection is over.
    Close,
}

/// Returns the key of the connection with this number.
pub(super) fn key_of(connection_id: u64) -> usize {
    connection_id as u32 as usize
}

impl Connection {
    /// Returns the connection with key `key`, the `opened`th of its event loop.
    pub(super) fn new(stream: TcpStream, client: IpAddr, key: usize, opened: u32) -> Connection {
        Connection {
            stream,
            client,
            id: u64::from(opened) << 32 | key as u64,
            http: http::Connection::default(),
            state: State::Reading,
            carry: Buffer::default(),
            unsent: Buffer::default(),
            timer: Timer::UNSET,
            buffered_bytes: 0,
            sent_bytes: 0,
            reads_on: false,
            is_queued: false,
            is_used: false,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub(super) fn timer(&self) -> &Timer {
        &self.timer
    }

    /// Takes the error of the socket, if there is one.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.stream.take_error().ok().flatten()
    }

    /// Notes that a short read does not prove that the socket is empty.
    pub(super) fn set_reads_on(&mut self) {
        self.reads_on = true;
    }

    /// Sends, reads, answers and sends, as far as the socket allows.
    pub(super) fn turn<S: Service>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        if !self.unsent.is_empty() && !self.send_unsent(&state.env)? {
            // Nothing is read from a client that does not read.
            return Ok(Turn::Wait);
        }
        match self.state {
            State::Reading | State::Resuming => self.receive(state),
            State::Deferred(_) | State::Paused => Ok(Turn::Wait),
            State::Closing(close) => self.close_when_sent(close),
            State::Lingering { .. } => self.discard(state),
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
            self.reset_on_drop();
        }
    }

    #[cold]
    fn reset_on_drop(&self) {
        // If it fails, the connection closes as any other.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Ends the connection, whose timer has expired.
    pub(super) fn time_out<S>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        let kind = self.timer.kind();
        state.env.count(|metrics| metrics.timeouts[kind as usize].add(1));
        match kind {
            TimeoutKind::Head if !self.has_head_begun() => Ok(Turn::Close),
            TimeoutKind::Head | TimeoutKind::Body => self.reject(Rejection::Timeout, state),
            TimeoutKind::Idle | TimeoutKind::Write | TimeoutKind::Service | TimeoutKind::Linger => {
                Ok(Turn::Close)
            }
        }
    }

    /// Records a request whose connection ends before its response is complete.
    pub(super) fn abandon(&mut self, env: &Environment) {
        if env.log.is_some() {
            self.http.abandon(&env.context(self.id, &self.client));
        }
    }

    /// Restarts the timer after progress.
    pub(super) fn update_timer(&mut self, key: usize, wheel: &mut Wheel) {
        self.timer.update(self.timeout_kind(), key, wheel);
    }

    /// Restarts the timer of a connection that [`is_at_rest`](Self::is_at_rest).
    #[inline]
    pub(super) fn update_idle_timer(&mut self, key: usize, wheel: &mut Wheel) {
        self.timer.update(TimeoutKind::Idle, key, wheel);
    }

    /// Gives the connection a time of its own.
    pub(super) fn set_timer(&mut self, key: usize, timeout: Duration, wheel: &mut Wheel) {
        self.timer.set(key, timeout, wheel);
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
            _ if !self.unsent.is_empty() => TimeoutKind::Write,
            State::Lingering { is_large: true } | State::Closing(_) | State::Resuming => {
                TimeoutKind::Write
            }
            // A client that has shut down its side may be gone.
            State::Paused if self.reads_on => TimeoutKind::Write,
            State::Paused | State::Deferred(_) => TimeoutKind::Service,
            State::Reading => match self.http.waiting() {
                Waiting::Body => TimeoutKind::Body,
                _ if self.is_used && !self.has_head_begun() => TimeoutKind::Idle,
                _ => TimeoutKind::Head,
            },
        }
    }

    /// Answers the input that is kept, reads once, or until the end of the input is reached, and
    /// answers.
    fn receive<S: Service>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        if self.state == State::Resuming {
            self.state = State::Reading;
            let turn = self.answer_kept(state)?;
            if turn != Turn::Wait || self.state != State::Reading || !self.unsent.is_empty() {
                return Ok(turn);
            }
        }
        loop {
            let read = match self.read(state) {
                // All complete requests are answered, and the rest will never be whole.
                Ok(0) => return Ok(Turn::Close),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Wait),
                Err(error) => return Err(error),
            };
            let turn = if self.carry.is_empty() {
                self.answer_read(read, state)?
            } else {
                self.carry.extend_from_slice(&state.input[..read]);
                self.answer_kept(state)?
            };
            if turn != Turn::Wait || self.state != State::Reading || !self.unsent.is_empty() {
                return Ok(turn);
            }
            let is_emptied = read < state.input.len();
            match (is_emptied, self.reads_on) {
                (true, false) => return Ok(Turn::Wait),
                (true, true) => {}
                (false, _) => {
                    // Without another event, only another read can tell.
                    return Ok(Turn::Again);
                }
            }
        }
    }

    fn read<S>(&mut self, state: &mut LoopState<S>) -> io::Result<usize> {
        loop {
            match self.stream.read(&mut state.input) {
                Ok(read) => {
                    state.env.count(|metrics| metrics.received_bytes.add(read as u64));
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers the first `filled` bytes of the input, and keeps the rest.
    #[inline]
    fn answer_read<S: Service>(
        &mut self,
        filled: usize,
        state: &mut LoopState<S>,
    ) -> io::Result<Turn> {
        let (consumed, turn) = self.answer(Some(filled), state)?;
        if consumed < filled && !matches!(self.state, State::Closing(_) | State::Lingering { .. }) {
            self.carry.extend_from_slice(&state.input[consumed..filled]);
        }
        Ok(turn)
    }

    /// Answers the input that is kept.
    #[inline(never)]
    fn answer_kept<S: Service>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        let (consumed, turn) = self.answer(None, state)?;
        self.carry.consume(consumed);
        Ok(turn)
    }

    /// Answers the first bytes of the input, or the kept input for `None`, as far as the budget
    /// of a turn allows, and sends the responses. Returns the number of bytes consumed.
    #[inline(always)]
    fn answer<S: Service>(
        &mut self,
        filled: Option<usize>,
        state: &mut LoopState<S>,
    ) -> io::Result<(usize, Turn)> {
        let mut consumed = 0;
        let mut written = 0;
        let mut calls = 0;
        loop {
            let LoopState { service, input, output, env } = &mut *state;
            let input = match filled {
                Some(filled) => &input[consumed..filled],
                None => &self.carry[consumed..],
            };
            let mut context = env.context(self.id, &self.client);
            context.requests_max = CALL_REQUESTS;
            let progress = self.http.advance(input, output, service, &context);
            consumed += progress.consumed;
            self.is_used |= progress.consumed > 0;
            self.timer.consumed_bytes =
                self.timer.consumed_bytes.saturating_add(progress.consumed as u32);
            let is_full = output.len() >= env.config.limits.output_bytes_high;
            let may_go_on =
                progress.next == Next::Flush && (is_full || has_time(&mut calls, env.now));
            if may_go_on && !is_full {
                continue;
            }
            written += output.len();
            self.send(state)?;
            match progress.next {
                Next::Read => self.state = State::Reading,
                Next::Flush if may_go_on && self.unsent.is_empty() && written < TURN_BYTES_MAX => {
                    continue;
                }
                Next::Flush => {
                    self.state = State::Resuming;
                    let turn = if self.unsent.is_empty() { Turn::Again } else { Turn::Wait };
                    return Ok((consumed, turn));
                }
                Next::Wait => {
                    self.state = match self.http.waiting() {
                        Waiting::Producer => State::Paused,
                        _ => State::Deferred(state.env.now),
                    };
                }
                Next::Close(close) => {
                    // No further byte is read as a request.
                    if filled.is_none() {
                        consumed = self.carry.len();
                    }
                    return Ok((consumed, self.close_when_sent(close)?));
                }
            }
            return Ok((consumed, Turn::Wait));
        }
    }

    /// Sends the output in one write, and keeps the rest that the socket does not take.
    // Inlined, because a call costs a wake-up 20 instructions.
    #[inline(always)]
    fn send<S>(&mut self, state: &mut LoopState<S>) -> io::Result<()> {
        if state.output.is_empty() {
            return Ok(());
        }
        let written = write(&mut self.stream, &state.output);
        if let Ok(written) = written {
            self.note_written(written, &state.env);
            if written < state.output.len() {
                self.unsent.extend_from_slice(&state.output[written..]);
            }
        }
        state.clear_output();
        written.map(drop)
    }

    /// Sends the output that is kept; reports whether all of it is sent.
    #[inline(never)]
    fn send_unsent(&mut self, env: &Environment) -> io::Result<bool> {
        let written = write(&mut self.stream, &self.unsent)?;
        self.note_written(written, env);
        self.unsent.consume(written);
        Ok(self.unsent.is_empty())
    }

    fn note_written(&mut self, written: usize, env: &Environment) {
        self.timer.written_bytes = self.timer.written_bytes.saturating_add(written as u32);
        self.sent_bytes = self.sent_bytes.saturating_add(written as u32);
        env.count(|metrics| metrics.sent_bytes.add(written as u64));
    }

    /// Closes the connection once all output is sent. If a reset could destroy the response on
    /// its way, shuts the write side down and discards input first (RFC 9112, 9.6).
    #[inline(never)]
    fn close_when_sent(&mut self, close: Close) -> io::Result<Turn> {
        if !self.unsent.is_empty() {
            self.state = State::Closing(close);
            return Ok(Turn::Wait);
        }
        let is_large = self.sent_bytes > SENT_BYTES_SMALL;
        match close {
            Close::Now if !is_large => return Ok(Turn::Close),
            Close::Reset => {
                self.reset_on_drop();
                return Ok(Turn::Close);
            }
            _ => {}
        }
        self.state = State::Lingering { is_large };
        self.stream.shutdown(Shutdown::Write)?;
        // Input that has arrived by now is not announced again.
        Ok(Turn::Again)
    }

    /// Discards input. The end of the input proves that the client has closed its side, so that
    /// nothing can arrive later and have the kernel reset the connection.
    #[inline(never)]
    fn discard<S>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        for _ in 0..DISCARDS_MAX {
            match self.stream.read(&mut state.input) {
                Ok(0) => return Ok(Turn::Close),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Wait),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Turn::Again)
    }
}

impl Timers for Slab<Connection> {
    fn timer(&mut self, key: usize) -> Option<&mut Timer> {
        self.get_mut(key).map(|connection| &mut connection.timer)
    }
}

/// Counts a call of the protocol; reports whether the turn may make another one.
#[cold]
fn has_time(calls: &mut u32, woken: Instant) -> bool {
    *calls += 1;
    *calls < TURN_CALLS && woken.elapsed() < TURN_TIME
}

/// Returns the number of bytes that the socket took.
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
