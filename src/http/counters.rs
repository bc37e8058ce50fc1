//! Counters that one thread writes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::rejection::Rejection;

/// A counter with one writer. It adds with a load and a store, and so without a locked
/// instruction. Any thread may read it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `more`. Only the one thread that writes may call this.
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Sets the counter. Only the one thread that writes may call this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Returns the present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Responses that one event loop has sent.
#[derive(Debug, Default)]
pub struct Counters {
    /// Final responses by the first digit of their status code: `responses[2]` counts 2xx. A
    /// response that is taken back for a rejection is not counted.
    pub responses: [Counter; 6],
    /// Those of the responses that had status 429.
    pub too_many_requests: Counter,
    /// Rejections by reason, in the order of [`Rejection::ALL`].
    pub rejections: [Counter; Rejection::ALL.len()],
}

impl Counters {
    /// Returns the number of final responses, rejections included.
    pub fn responses_total(&self) -> u64 {
        self.responses.iter().map(Counter::get).fold(0, u64::wrapping_add)
    }
}
