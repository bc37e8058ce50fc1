//! A file descriptor held for the moment when there are no more.
//!
//! Giving it up makes room to accept a connection and close it, which empties the
//! listener's queue. Otherwise a queue that can't be emptied would either keep the
//! loop spinning or be forgotten by an edge-triggered poll.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The spare of one thread.
#[derive(Debug)]
pub(super) struct ReserveFd {
    file: Option<File>,
    missing: Arc<AtomicUsize>,
}

impl ReserveFd {
    /// `missing` is shared by all threads: how many are without theirs.
    pub(super) fn new(missing: Arc<AtomicUsize>) -> ReserveFd {
        missing.fetch_add(1, Ordering::Relaxed);
        let mut spare = ReserveFd { file: None, missing };
        spare.regain();
        spare
    }

    /// Makes room for one descriptor.
    pub(super) fn give_up(&mut self) {
        if self.file.take().is_some() {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the thread has its spare, again or still.
    pub(super) fn regain(&mut self) -> bool {
        if self.file.is_none() {
            self.file = File::open("/dev/null").ok();
            self.missing.fetch_sub(usize::from(self.file.is_some()), Ordering::Relaxed);
        }
        self.file.is_some()
    }

    /// Whether any thread is without its spare. Then a descriptor that is free is
    /// that spare, and a connection that has got it has to give it back.
    pub(super) fn is_missing_anywhere(&self) -> bool {
        self.missing.load(Ordering::Relaxed) > 0
    }
}

impl Drop for ReserveFd {
    fn drop(&mut self) {
        if self.file.is_none() {
            self.missing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_know_whether_any_of_them_is_without_its_spare() {
        let missing = Arc::new(AtomicUsize::new(0));
        let mut one = ReserveFd::new(missing.clone());
        let mut other = ReserveFd::new(missing.clone());
        assert!(!one.is_missing_anywhere());
        other.give_up();
        other.give_up();
        one.give_up();
        assert!(one.regain() && one.is_missing_anywhere());
        assert!(other.regain() && !one.is_missing_anywhere());
        other.give_up();
        drop(other);
        assert!(!one.is_missing_anywhere());
    }
}
