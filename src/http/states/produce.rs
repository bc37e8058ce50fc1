//! Has a producer write the body of a response as there is room.

use super::outcome::{End, Next, Outcome, end, end_incomplete};
use crate::http::context::Context;
use crate::http::guard::Guarded;
use crate::http::record::{PendingRecord, pending_bytes};
use crate::http::response::ResponseState;
use crate::http::response::body_encoder::{Flow, Producer};

/// A response while a producer writes its body.
pub(in crate::http) struct Produce {
    producer: Guarded<Producer>,
    state: ResponseState,
    /// True if a part of the request body is left unread.
    pub(super) unread: bool,
    /// True while the producer waits to be woken.
    paused: bool,
    pub(super) record: PendingRecord,
}

impl Produce {
    pub(super) fn new(
        producer: Guarded<Producer>,
        state: ResponseState,
        record: PendingRecord,
    ) -> Produce {
        Produce { producer, state, unread: false, paused: false, record }
    }

    pub(in crate::http) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(in crate::http) fn is_delimited_by_close(&self) -> bool {
        self.state.is_delimited_by_close()
    }

    /// Has the producer called again.
    pub(in crate::http) fn wake(&mut self) {
        self.paused = false;
    }

    /// Returns the memory that the response holds, in bytes.
    pub(in crate::http) fn buffered_bytes(&self) -> usize {
        pending_bytes(&self.record)
    }

    /// Records the request if its connection ends before its response is complete.
    pub(in crate::http) fn abandon(&mut self, context: &Context<'_>) {
        self.record.iter_mut().for_each(|record| record.is_cut = true);
        self.record_end(context);
    }

    fn record_end(&mut self, context: &Context<'_>) {
        context.record_pending(&mut self.record, self.state.summary.body_bytes);
    }

    /// Calls the producer until there is enough output, it pauses, or the body is complete.
    pub(in crate::http) fn step(
        &mut self,
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) -> Outcome<End> {
        while !self.paused {
            if output.len() >= context.limits.output_bytes_high {
                return Outcome::Pending(Next::Flush);
            }
            let before = output.len();
            let mut writer = self.state.writer(output);
            match self.producer.catch(|producer| producer(&mut writer)) {
                Some(Flow::More) if output.len() > before => {}
                Some(Flow::Pause) => self.paused = true,
                Some(Flow::Done) if self.state.encoder.end(output) => {
                    self.record_end(context);
                    return Outcome::Over(end(self.state.persistence, self.unread));
                }
                // A panic, a broken promise of length, or a producer that would be called for
                // ever.
                _ => {
                    self.abandon(context);
                    return Outcome::Over(end_incomplete(&self.state, self.unread));
                }
            }
        }
        Outcome::Pending(Next::Wait)
    }
}
