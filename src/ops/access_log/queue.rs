//! The queue between the cores and the writer, and the count of lost lines.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// Interval between two reports of lost lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The lines of one wake-up of one core.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

/// State that the cores share with the writer.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) queued_bytes: AtomicUsize,
    /// Number of lines that were lost for any reason.
    pub(super) dropped: Arc<AtomicU64>,
    /// Number of lines that the system did not take.
    unwritten: AtomicU64,
    /// Values of the two counters in the last report.
    reported: (AtomicU64, AtomicU64),
    pub(super) reopen: AtomicBool,
    /// Path of the file; `None` for standard output.
    pub(super) path: Mutex<Option<PathBuf>>,
    pub(super) is_combined: AtomicBool,
}

impl Shared {
    /// Counts lines that found the queue full.
    pub(super) fn drop_lines(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Counts lines that the system did not take.
    pub(super) fn drop_unwritten(&self, lines: u64) {
        self.unwritten.fetch_add(lines, Ordering::Relaxed);
        self.drop_lines(lines);
    }

    pub(super) fn report_dropped(&self) {
        let new = |counter: &AtomicU64, reported: &AtomicU64| {
            let count = counter.load(Ordering::Relaxed);
            count - reported.swap(count, Ordering::Relaxed)
        };
        // In this order, because a line counts as dropped after it counts as unwritten.
        let dropped = new(&self.dropped, &self.reported.0);
        let unwritten = new(&self.unwritten, &self.reported.1);
        if unwritten > 0 {
            log::warn!("{unwritten} lines of the access log could not be written, and are lost");
        }
        let unread = dropped.saturating_sub(unwritten);
        if unread > 0 {
            log::warn!("{unread} lines of the access log were dropped: its reader is too slow");
        }
    }
}

/// Reports lost lines until the log is closed.
pub(super) fn report_while_alive(shared: &Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        shared.report_dropped();
        drop(shared);
        std::thread::sleep(REPORT_INTERVAL);
    }
}
