//! Reads the requests of a connection and answers them, within the budget of a turn.

use std::io;
use std::time::{Duration, Instant};

use super::connection::{Connection, State, Turn};
use super::loop_state::LoopState;
use crate::http::{Next, Service, Waiting};

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

impl Connection {
    /// Answers the input that is kept, reads once, or until the end of the input is reached, and
    /// answers.
    pub(super) fn receive<S: Service>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        if self.state == State::Resuming {
            self.state = State::Reading;
            let turn = self.answer_kept(state)?;
            if turn != Turn::Wait || self.state != State::Reading || !self.unsent.is_empty() {
                return Ok(turn);
            }
        }
        loop {
            let read = match self.socket.read(&mut state.input, &state.env) {
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

    /// Answers the first `filled` bytes of the input, and keeps the rest.
    #[inline]
    fn answer_read<S: Service>(
        &mut self,
        filled: usize,
        state: &mut LoopState<S>,
    ) -> io::Result<Turn> {
        // Beyond a short read nothing is left to do in this turn.
        let may_wait = state.batch.is_open() && filled < state.input.len() && !self.reads_on;
        let (consumed, turn) = self.answer(Some(filled), may_wait, state)?;
        if consumed < filled && !matches!(self.state, State::Closing(_) | State::Lingering { .. }) {
            self.carry.extend_from_slice(&state.input[consumed..filled]);
        }
        Ok(turn)
    }

    /// Answers the input that is kept.
    #[inline(never)]
    pub(super) fn answer_kept<S: Service>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        let (consumed, turn) = self.answer(None, false, state)?;
        self.carry.consume(consumed);
        Ok(turn)
    }

    /// Answers the first bytes of the input, or the kept input for `None`, as far as the budget
    /// of a turn allows, and sends the responses, unless they `may_wait` for those of other
    /// connections. Returns the number of bytes consumed.
    #[inline(always)]
    fn answer<S: Service>(
        &mut self,
        filled: Option<usize>,
        may_wait: bool,
        state: &mut LoopState<S>,
    ) -> io::Result<(usize, Turn)> {
        let mut consumed = 0;
        let begin = state.batch.end();
        let mut written = 0;
        let mut calls = 0;
        loop {
            let LoopState { service, input, output, env, .. } = &mut *state;
            let input = match filled {
                Some(filled) => &input[consumed..filled],
                None => &self.carry[consumed..],
            };
            let mut context = env.context(self.id, &self.client);
            context.requests_max = CALL_REQUESTS;
            let progress = self.http.advance(input, output, service, &context);
            consumed += progress.consumed;
            self.is_used |= progress.consumed > 0;
            self.timer.note_consumed(progress.consumed);
            let is_full = output.len() >= env.config.limits.output_bytes_high;
            let may_go_on =
                progress.next == Next::Flush && (is_full || has_time(&mut calls, env.now));
            if may_go_on && !is_full {
                continue;
            }
            if may_wait && progress.next == Next::Read && output.len() > begin {
                self.state = State::Reading;
                return Ok((consumed, Turn::Send));
            }
            written += output.len() - begin;
            // Kept input may be answered although the socket is full: see `read_ahead`.
            if filled.is_none() && !self.unsent.is_empty() {
                self.keep_output(state);
            } else {
                self.send(state)?;
            }
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
}

/// Counts a call of the protocol; reports whether the turn may make another one.
#[cold]
fn has_time(calls: &mut u32, woken: Instant) -> bool {
    *calls += 1;
    *calls < TURN_CALLS && woken.elapsed() < TURN_TIME
}
