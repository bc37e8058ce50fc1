//! Reads from a client that does not read, within bounds: a client that sends a whole body before
//! it reads anything, such as `fetch` in a browser, would wait for the server as the server waits
//! for it.

use std::io;

use super::connection::{Connection, State, Turn};
use super::loop_state::LoopState;
use crate::http::{Service, Waiting};

/// Share of one connection in the memory of its thread for output that its client does not take
/// yet. Half of the memory stays free for other requests.
const SHARE: usize = 8;

impl Connection {
    /// Reads once, answers, and keeps the output behind the output that the socket did not take,
    /// if the client reads late. Nothing is read from other clients that do not read.
    #[cold]
    #[inline(never)]
    pub(super) fn read_ahead<S: Service>(&mut self, state: &mut LoopState<S>) -> io::Result<Turn> {
        if !self.may_read_ahead(state) {
            return Ok(Turn::Wait);
        }
        if self.state == State::Reading {
            match self.socket.read(&mut state.input, &state.env) {
                // The request will never be whole, but the client can take what is kept.
                Ok(0) => return Ok(Turn::Wait),
                Ok(read) => self.carry.extend_from_slice(&state.input[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Wait),
                Err(error) => return Err(error),
            }
        }
        let turn = self.answer_kept(state)?;
        let goes_on = matches!(self.state, State::Reading | State::Resuming);
        Ok(if goes_on { Turn::Again } else { turn })
    }

    /// Reports whether the client is in the middle of a body, has taken nothing of the response for
    /// a while, and there is memory for another read.
    fn may_read_ahead<S>(&self, state: &LoopState<S>) -> bool {
        let bytes_max = state.env.config.buffered_bytes_max;
        self.http.waiting() == Waiting::Body
            && self.timer.has_stalled()
            && self.unsent.len() + state.input.len() <= bytes_max / SHARE
            && state.env.buffered_bytes <= bytes_max / 2
    }

    /// Keeps the output of this connection behind the output that the socket did not take.
    #[cold]
    pub(super) fn keep_output<S>(&mut self, state: &mut LoopState<S>) {
        self.unsent.extend_from_slice(&state.output[state.batch.end()..]);
        state.clear_output();
    }
}
