//! An access log: one line for each request, written without blocking an event loop.
//!
//! ```text
//! core 0: lines of a wake-up ──┐  bounded queue
//! core 1: lines of a wake-up ──┴─▶ ▢▢▢▢▢▢ ─▶ one thread ─▶ file, pipe, terminal
//! ```
//!
//! Each core formats its lines in its own buffer and sends them to the writer once a wake-up.
//! If the queue is full, because the reader of the log is too slow, the core drops its lines
//! and counts them. The writer counts the lines that the system does not take.

mod line;
mod queue;
mod request_id;
mod timestamp;
mod writer;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::http::{Record, Recorder};
use queue::{Batch, Shared};
use request_id::RequestIds;
use timestamp::Timestamp;

/// Format of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum LogFormat {
    /// A JSON object with
    ///
    /// - `time` (RFC 3339, when the response ended), `client`, `request_id`, `method`, `target`,
    ///   `http_version`, `status`, and `request_body_bytes` and `body_bytes` without framing;
    /// - `duration_us`, in microseconds: from the wake-up that brought the end of the head, or
    ///   the end of a body that is collected, to the last byte of the response in the output
    ///   buffer. The way to the client is not in it;
    /// - `peer` if the request came through a proxy, `rejection` if the server itself refused
    ///   it, and `cut` if the connection ended before the request or the response was complete;
    /// - `referer` and `user_agent` if the request has them.
    #[default]
    Json,
    /// The combined log format of Apache and nginx, which has no duration.
    Combined,
}

/// An access log for [`Config::access_log`](crate::Config::access_log).
///
/// Clones share the log. Dropping the last clone writes the queued lines, and waits at most
/// 0.6 seconds for it. Dropped lines are reported by the crate `log`, at most once a second.
///
/// ```no_run
/// use pinloop::{AccessLog, Config, LogFormat};
///
/// let log = AccessLog::file("/var/log/pinloop.log", LogFormat::Json)?;
/// let config = Config { access_log: Some(log), ..Config::default() };
/// # let _ = config;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AccessLog {
    log: Arc<Log>,
}

/// Maximum bytes of lines that wait to be written, over all cores. 4 MiB: some 25,000 lines,
/// or a quarter of a second at 100,000 requests a second.
const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Maximum number of queued batches. 4,096: the batches that two cores with 100,000 wake-ups
/// a second send while the writer pauses, twice over.
const QUEUE_BATCHES_MAX: usize = 4096;

/// Capacity of a new batch. 1 KiB holds some six lines, so they need one allocation.
const BATCH_BYTES: usize = 1024;

/// Time that the last clone waits for the writer. A reader that is alive takes 4 MiB in that
/// time. Without one, a process ends within a second after the drain.
const CLOSE_WAIT: Duration = Duration::from_millis(600);

#[derive(Debug)]
struct Log {
    shared: Arc<Shared>,
    sender: Option<SyncSender<Batch>>,
    /// Disconnects when the writer ends.
    writer: Mutex<Receiver<()>>,
}

impl AccessLog {
    /// Appends to the file at `path`, which is created if it does not exist. The path can be
    /// a named pipe, with or without a reader.
    ///
    /// # Errors
    /// Returns the system's error if the file cannot be opened or a thread cannot be started.
    pub fn file(path: impl AsRef<Path>, format: LogFormat) -> io::Result<AccessLog> {
        let path = path.as_ref().to_path_buf();
        let file = writer::open(&path)?;
        AccessLog::start(file, Some(path), format)
    }

    /// Writes to standard output.
    ///
    /// # Errors
    /// Returns the system's error if the descriptor cannot be duplicated or a thread cannot
    /// be started.
    pub fn stdout(format: LogFormat) -> io::Result<AccessLog> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        AccessLog::start(file, None, format)
    }

    fn start(file: File, path: Option<PathBuf>, format: LogFormat) -> io::Result<AccessLog> {
        let shared = Arc::new(Shared::default());
        *shared.path.lock().unwrap_or_else(PoisonError::into_inner) = path;
        shared.is_combined.store(format == LogFormat::Combined, Ordering::Relaxed);
        let (sender, batches) = mpsc::sync_channel(QUEUE_BATCHES_MAX);
        let (ended, writer) = mpsc::channel::<()>();
        let write = {
            let shared = shared.clone();
            move || {
                writer::write(&batches, file, &shared);
                drop(ended);
            }
        };
        std::thread::Builder::new().name("pinloop-log".into()).spawn(write)?;
        // A thread of its own, because the writer blocks while it has drops to report.
        let watched = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("pinloop-report".into())
            .spawn(move || queue::report_while_alive(&watched))?;
        let writer = Mutex::new(writer);
        Ok(AccessLog { log: Arc::new(Log { shared, sender: Some(sender), writer }) })
    }

    /// Opens the file again before the next write, for example after a log rotation renamed
    /// it. Without effect on standard output.
    pub fn reopen(&self) {
        self.log.shared.reopen.store(true, Ordering::Release);
        // Wakes the writer. If the queue is full, the writer is awake.
        self.log.sender.as_ref().map(|sender| sender.try_send(Batch::default()));
    }

    /// Goes on with the file at `path`, in `format`. Lines that are queued are written to the old
    /// file or to the new one.
    ///
    /// # Errors
    /// If the log goes to standard output, or the system's error if the file cannot be opened.
    pub fn move_to(&self, path: impl AsRef<Path>, format: LogFormat) -> io::Result<()> {
        let path = path.as_ref();
        writer::open(path)?;
        let mut own = self.log.shared.path.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_none() {
            return Err(io::Error::other("a log on standard output cannot move to a file"));
        }
        *own = Some(path.to_path_buf());
        drop(own);
        self.log.shared.is_combined.store(format == LogFormat::Combined, Ordering::Relaxed);
        self.reopen();
        Ok(())
    }

    /// Returns the number of lines that were dropped since the log was opened, because the
    /// reader was too slow or because they could not be written.
    pub fn dropped_lines(&self) -> u64 {
        self.log.shared.dropped.load(Ordering::Relaxed)
    }

    /// Returns the counter of [`dropped_lines`](Self::dropped_lines), for
    /// [`Metrics::add_counter`](crate::Metrics::add_counter).
    pub fn dropped_counter(&self) -> Arc<AtomicU64> {
        self.log.shared.dropped.clone()
    }

    /// Returns the part of one core, which starts at `now`.
    pub(crate) fn core(&self, now: Instant) -> CoreLog {
        CoreLog {
            shared: self.log.shared.clone(),
            sender: self.log.sender.clone(),
            epoch: now,
            woken: Cell::new((now, SystemTime::now())),
            lines: RefCell::default(),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.sender.take());
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if writer.recv_timeout(CLOSE_WAIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            let bytes = self.shared.queued_bytes.load(Ordering::Relaxed);
            log::warn!("nobody reads the access log; {bytes} bytes of it were not written");
        }
        self.shared.report_dropped();
    }
}

/// The part of one core: formats lines and sends them to the writer.
#[derive(Debug)]
pub(crate) struct CoreLog {
    shared: Arc<Shared>,
    sender: Option<SyncSender<Batch>>,
    epoch: Instant,
    /// Time of the last wake-up, by both clocks.
    woken: Cell<(Instant, SystemTime)>,
    lines: RefCell<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    batch: Batch,
    timestamp: Timestamp,
    ids: RequestIds,
}

impl CoreLog {
    /// Notes the time of a wake-up.
    pub(crate) fn begin_wakeup(&self, now: Instant) {
        self.woken.set((now, SystemTime::now()));
    }

    /// Sends the lines of the wake-up to the writer.
    pub(crate) fn end_wakeup(&self) {
        let mut lines = self.lines.borrow_mut();
        if lines.batch.lines == 0 {
            return;
        }
        let batch = std::mem::take(&mut lines.batch);
        let (bytes, count) = (batch.bytes.len(), batch.lines);
        self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.sender.as_ref().is_none_or(|sender| sender.try_send(batch).is_err()) {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.drop_lines(count);
        }
    }
}

impl Drop for CoreLog {
    fn drop(&mut self) {
        self.end_wakeup();
    }
}

impl Recorder for CoreLog {
    /// Returns the nanoseconds from the core's start to its last wake-up.
    fn now(&self) -> u64 {
        (self.woken.get().0 - self.epoch).as_nanos() as u64
    }

    fn record(&self, record: &Record<'_>) {
        let mut lines = self.lines.borrow_mut();
        let Lines { batch, timestamp, ids } = &mut *lines;
        let queued = self.shared.queued_bytes.load(Ordering::Relaxed);
        if queued + batch.bytes.len() > QUEUE_BYTES_MAX {
            return self.shared.drop_lines(1);
        }
        let (woken, woken_time) = self.woken.get();
        let began = record.began.map_or(woken, |began| self.epoch + Duration::from_nanos(began));
        let now = Instant::now();
        timestamp.update(woken_time + (now - woken));
        if batch.bytes.is_empty() {
            batch.bytes.reserve(BATCH_BYTES);
        }
        if self.shared.is_combined.load(Ordering::Relaxed) {
            line::combined(&mut batch.bytes, timestamp, record);
        } else {
            let duration = now.saturating_duration_since(began);
            line::json(&mut batch.bytes, timestamp, duration, ids.next(), record);
        }
        batch.lines += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn record() -> Record<'static> {
        Record {
            client: None,
            peer: None,
            id: None,
            began: None,
            method: Cow::Borrowed(b"GET"),
            target: Cow::Borrowed(b"/"),
            minor_version: 1,
            referer: None,
            user_agent: None,
            request_body_bytes: 0,
            status: 200,
            body_bytes: 14,
            rejection: None,
            is_cut: false,
        }
    }

    fn fifo(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("pinloop-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        path
    }

    /// Records twice the queue's bytes in lines of 1,000 bytes, and returns their number.
    fn overfill(core: &CoreLog) -> u64 {
        let target = vec![b'a'; 1_000];
        let record = Record { target: Cow::Borrowed(&target), ..record() };
        let lines = 2 * QUEUE_BYTES_MAX / 1_000;
        for _ in 0..lines / 100 {
            core.begin_wakeup(Instant::now());
            (0..100).for_each(|_| core.record(&record));
            core.end_wakeup();
        }
        lines as u64 / 100 * 100
    }

    #[test]
    fn each_line_is_written_or_counted_as_dropped() {
        let path = fifo("slow");
        let log = AccessLog::file(&path, LogFormat::Json).unwrap();
        let core = log.core(Instant::now());
        // The pipe has no reader yet, and the core does not wait for one.
        let recorded = overfill(&core);
        let dropped = log.dropped_lines();
        assert!(dropped > 0 && dropped < recorded, "{dropped} of {recorded}");
        let reader = File::open(&path).unwrap();
        let counted = std::thread::spawn(move || {
            let lines = io::BufRead::lines(io::BufReader::new(reader));
            lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.contains("last"))).count()
        });
        // The queue has room again after the reader has taken its lines.
        while log.log.shared.queued_bytes.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        core.record(&Record { target: Cow::Borrowed(b"last"), ..record() });
        drop((core, log));
        assert_eq!(counted.join().unwrap() as u64, recorded - dropped);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_last_drop_does_not_wait_until_a_reader_comes() {
        let path = fifo("none");
        let log = AccessLog::file(&path, LogFormat::Combined).unwrap();
        overfill(&log.core(Instant::now()));
        drop(log);
        std::fs::remove_file(path).unwrap();
    }
}
