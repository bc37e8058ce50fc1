//! Hands the body of a request to its receiver as it arrives.

use super::outcome::{End, Next, Outcome, end, end_incomplete};
use super::respond::{RequestInfo, reject};
use crate::http::body::{Decoded, Decoder};
use crate::http::context::Context;
use crate::http::guard::Guarded;
use crate::http::record::{PendingRecord, pending_bytes};
use crate::http::rejection::Rejection;
use crate::http::response::ResponseState;
use crate::http::service::Receiver;

/// A request while its body goes to a receiver.
pub(in crate::http) struct Stream {
    pub(in crate::http) decoder: Decoder,
    pub(in crate::http) receiver: Guarded<Receiver>,
    pub(in crate::http) state: ResponseState,
    /// The response so far, until its first byte may be sent: see
    /// [`Limits::held_bytes_max`](crate::http::Limits::held_bytes_max).
    pub(in crate::http) held: Vec<u8>,
    /// True once the response cannot be taken back.
    pub(in crate::http) begun: bool,
    pub(in crate::http) is_head: bool,
    pub(in crate::http) record: PendingRecord,
}

impl Stream {
    /// Returns the memory that the request holds, in bytes.
    pub(in crate::http) fn buffered_bytes(&self) -> usize {
        self.held.capacity() + pending_bytes(&self.record)
    }

    /// Returns what is known of the request, unless its response has begun.
    pub(in crate::http) fn info(&mut self) -> Option<RequestInfo<'static>> {
        (!self.begun)
            .then(|| RequestInfo::Pending { record: self.record.take(), is_head: self.is_head })
    }

    /// Records the request if its connection ends before its response is complete.
    pub(in crate::http) fn abandon(&mut self, context: &Context<'_>) {
        let summary = self.state.summary;
        let summary = if self.begun { summary } else { summary.unsent() };
        self.record.iter_mut().for_each(|record| record.is_cut = true);
        context.record_pending_as(self.record.take(), summary);
    }

    /// Continues the request, with the response that was held back. Returns the number of bytes
    /// used.
    pub(in crate::http) fn step(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) -> (usize, Outcome<End>) {
        let start = output.len();
        output.append(&mut self.held);
        self.receive(start, input, output, context)
    }

    /// Hands the body to the receiver as it arrives. The response, which begins at `start` of
    /// the output, is held back until it is long enough or complete, so that a malformed body
    /// can still be rejected.
    pub(in crate::http) fn receive(
        &mut self,
        start: usize,
        input: &[u8],
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) -> (usize, Outcome<End>) {
        let mut used = 0;
        loop {
            if output.len() >= context.limits.output_bytes_high {
                // Responses before this one may be what fills the output.
                if start == 0 {
                    self.begin(context);
                }
                return (used, self.pending(Next::Flush, start, output));
            }
            let (step, decoded) = self.decoder.decode(&input[used..]);
            used += step;
            let rejection = match decoded {
                Ok(Decoded::Partial) => return (used, self.pending(Next::Read, start, output)),
                Ok(decoded) => {
                    let piece = match &decoded {
                        Decoded::Piece(piece) => Some(piece),
                        Decoded::End | Decoded::Partial => None,
                    };
                    let mut writer = self.state.writer(output);
                    let received = self.receiver.catch(|receiver| receiver(piece, &mut writer));
                    match (received, piece) {
                        (Some(()), Some(piece)) => {
                            if let Some(record) = &mut self.record {
                                record.request_body_bytes += piece.data.len() as u64;
                            }
                            if output.len() - start > context.limits.held_bytes_max {
                                self.begin(context);
                            }
                            continue;
                        }
                        (Some(()), None) if self.state.encoder.end(output) => {
                            let is_last = context.is_last_before(&input[used..]);
                            return (
                                used,
                                Outcome::Over(self.end(is_last, start, output, context)),
                            );
                        }
                        _ => Rejection::Service,
                    }
                }
                Err(rejection) => rejection,
            };
            return (used, Outcome::Over(self.fail(rejection, start, output, context)));
        }
    }

    fn end(
        &mut self,
        is_last: bool,
        start: usize,
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) -> End {
        if is_last && !self.begun {
            self.state.make_last(start, output);
        }
        self.begin(context);
        context.record_pending(&mut self.record, self.state.summary.body_bytes);
        end(self.state.persistence, false)
    }

    fn fail(
        &mut self,
        rejection: Rejection,
        start: usize,
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) -> End {
        if let Some(info) = self.info() {
            output.truncate(start);
            return reject(rejection, info, output, context);
        }
        self.abandon(context);
        end_incomplete(&self.state, true)
    }

    /// Holds the response back unless it has begun.
    fn pending(&mut self, next: Next, start: usize, output: &mut Vec<u8>) -> Outcome<End> {
        if !self.begun {
            self.held.extend_from_slice(&output[start..]);
            output.truncate(start);
        }
        Outcome::Pending(next)
    }

    /// Notes that the response can no longer be taken back.
    fn begin(&mut self, context: &Context<'_>) {
        if !std::mem::replace(&mut self.begun, true) {
            context.count_response(self.state.summary.status);
        }
    }
}
