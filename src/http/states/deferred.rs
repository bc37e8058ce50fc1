//! Waits for a response that is made elsewhere.

use crate::http::context::Context;
use crate::http::record::{PendingRecord, pending_bytes};
use crate::http::response::ResponseFraming;

/// A request that another thread answers.
pub(in crate::http) struct Deferred {
    pub(in crate::http) framing: ResponseFraming,
    /// True if a part of the request body is left unread.
    pub(in crate::http) unread: bool,
    pub(in crate::http) record: PendingRecord,
}

impl Deferred {
    /// Records the request if its connection ends before its response has begun.
    pub(in crate::http) fn abandon(&mut self, context: &Context<'_>) {
        self.record.iter_mut().for_each(|record| record.is_cut = true);
        context.record_pending(&mut self.record, 0);
    }

    /// Returns the memory that the request holds, in bytes.
    pub(in crate::http) fn buffered_bytes(&self) -> usize {
        pending_bytes(&self.record)
    }
}
