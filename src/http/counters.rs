//! Counters that one thread writes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::rejection::Rejection;

/// A counter with one writer: it adds with a load and a store, and so without a
/// locked instruction. Any thread may read it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `more`; for the one thread that writes.
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Sets the counter; for the one thread that writes.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What has been counted.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a core's connections have been answered.
#[derive(Debug, Default)]
pub struct Counters {
    /// Final answers by the first digit of their status code: `answers[2]` of 2xx. One
    /// that is taken back for a rejection is not among them.
    pub answers: [Counter; 6],
    /// Refusals by reason, in the order of [`Rejection::ALL`].
    pub rejections: [Counter; Rejection::ALL.len()],
}

impl Counters {
    /// Final answers, rejections among them.
    pub fn answers_total(&self) -> u64 {
        self.answers.iter().map(Counter::get).fold(0, u64::wrapping_add)
    }
}
