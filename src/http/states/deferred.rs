//! Waits for a response that is made elsewhere.

use super::produce::Produce;
use super::respond::{After, after};
use crate::http::context::Context;
use crate::http::deferred::DeferredResponse;
use crate::http::record::{PendingRecord, pending_bytes};
use crate::http::response::{Finished, Response, ResponseFraming};

/// A request whose response is made elsewhere.
pub(in crate::http) struct Deferred {
    pub(in crate::http) framing: ResponseFraming,
    /// True if a part of the request body is left unread.
    pub(in crate::http) unread: bool,
    pub(in crate::http) record: PendingRecord,
}

impl Deferred {
    /// Returns the memory that the request holds, in bytes.
    pub(in crate::http) fn buffered_bytes(&self) -> usize {
        pending_bytes(&self.record)
    }

    /// Writes the response. `input` is what has arrived behind the request.
    pub(in crate::http) fn deliver(
        mut self,
        deferred: DeferredResponse,
        input: &[u8],
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) -> After {
        if context.is_last_before(input) {
            self.framing.persistence = self.framing.persistence.ended();
        }
        let mut response = Response::new(output, context, self.framing);
        response.write_deferred(deferred);
        match response.finish() {
            Finished::Whole(persistence, summary) => {
                context.count_response(summary.status);
                context.record_pending_as(self.record, summary);
                after(persistence, self.unread)
            }
            Finished::Streaming(state, producer) => {
                context.count_response(state.summary.status);
                if let Some(record) = &mut self.record {
                    record.status = state.summary.status;
                }
                let mut produce = Produce::new(producer, state, self.record);
                produce.unread = self.unread;
                After::Produce(Box::new(produce))
            }
            // A deferred response is never deferred again.
            Finished::Deferred(..) => After::NextRequest,
        }
    }
}
