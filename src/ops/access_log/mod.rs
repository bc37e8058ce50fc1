//! A line for each request, written without ever holding up an event loop.
//!
//! ```text
//! core 0: lines of a wake-up ──┐  bounded queue
//! core 1: lines of a wake-up ──┴─▶ ▢▢▢▢▢▢ ─▶ one thread ─▶ file, pipe, terminal
//! ```
//!
//! Each core forms its lines in a buffer of its own and hands them over once a
//! wake-up. Where the queue is full, because whoever reads the log does not keep up,
//! lines are dropped and counted; nobody waits.
//!
//! User instructions for a line where a wake-up brings one request, as callgrind counters
//! them (x86-64, rustc 1.95): 1,960 in the combined format, 3,390 as JSON. Where there is
//! no log, a request costs some 65 for that there could be one.

mod line;
mod writer;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::http::{Record, Recorder};
use line::{Client, Moment, Stamp};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object with `time` (RFC 3339, the answer's), `client`, `method`, `target`,
    /// `status`, `body_bytes`, `duration_us` and, where the request has them,
    /// `referer` and `user_agent`.
    #[default]
    Json,
    /// The combined log format of Apache and nginx, which has no duration.
    Combined,
}

/// Where a server writes its access log: [`Config::access_log`](crate::Config::access_log).
/// Clones are the same log; when the last one is gone, what is in the queue is written.
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

/// Bytes of lines that wait to be written, over all cores. 4 MiB: some 25,000 lines,
/// or what 100,000 requests a second bring in a quarter of a second.
const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Wake-ups whose lines wait to be written: what two cores with 100,000 wake-ups a
/// second each bring while the writer pauses, twice over.
const QUEUE_BATCHES_MAX: usize = 4096;

/// Room that a batch begins with. 1 KiB: some six lines, and one allocation for them.
const BATCH_BYTES: usize = 1024;

/// How long the end of a log waits for its writer: a reader that is alive has taken
/// 4 MiB by then, and one that is not should hold nobody up.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Log {
    format: LogFormat,
    shared: Arc<Shared>,
    sender: Option<SyncSender<Batch>>,
    /// Disconnected when the writer has ended.
    writer: Mutex<Receiver<()>>,
}

/// What the cores share with the writer.
#[derive(Debug, Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    /// Lines that are not in the log, and have not been reported.
    dropped: AtomicU64,
    reopen: AtomicBool,
}

/// The lines of one wake-up of one core.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

impl AccessLog {
    /// A log at the end of the file at `path`, which is made where there is none. A
    /// named pipe will do, whether or not anybody reads it.
    pub fn file(path: impl AsRef<Path>, format: LogFormat) -> io::Result<AccessLog> {
        let path = path.as_ref().to_path_buf();
        let file = writer::open(&path)?;
        AccessLog::start(file, Some(path), format)
    }

    /// A log on the standard output.
    pub fn stdout(format: LogFormat) -> io::Result<AccessLog> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        AccessLog::start(file, None, format)
    }

    fn start(file: File, path: Option<PathBuf>, format: LogFormat) -> io::Result<AccessLog> {
        let shared = Arc::new(Shared::default());
        let (sender, batches) = mpsc::sync_channel(QUEUE_BATCHES_MAX);
        let (ended, writer) = mpsc::channel();
        let run = {
            let shared = shared.clone();
            move || {
                writer::write(&batches, file, path.as_deref(), &shared);
                drop::<mpsc::Sender<()>>(ended);
            }
        };
        std::thread::Builder::new().name("pinloop-log".into()).spawn(run)?;
        let writer = Mutex::new(writer);
        Ok(AccessLog { log: Arc::new(Log { format, shared, sender: Some(sender), writer }) })
    }

    /// Has the file opened anew, as after it was renamed: for SIGHUP.
    pub fn reopen(&self) {
        self.log.shared.reopen.store(true, Ordering::Release);
        // Wakes the writer. Where the queue is full, it is awake.
        self.log.sender.as_ref().map(|sender| sender.try_send(Batch::default()));
    }

    /// Lines that could not be written since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.log.shared.dropped.swap(0, Ordering::Relaxed)
    }

    /// Says by [`log`] that lines could not be written since the last call, if there
    /// were any. To be called now and then, as by [`Background`](crate::Background).
    pub fn report_dropped(&self) {
        self.log.shared.report_dropped();
    }

    /// A core's part of the log.
    pub(crate) fn core(&self, now: Instant) -> CoreLog {
        CoreLog {
            format: self.log.format,
            shared: self.log.shared.clone(),
            sender: self.log.sender.clone(),
            epoch: now,
            woken: Cell::new(now),
            lines: RefCell::new(Lines {
                batch: Batch::default(),
                moment: Moment::new(now, SystemTime::now()),
                stamp: Stamp::default(),
                client: Client::default(),
            }),
        }
    }
}

impl Shared {
    fn drop_lines(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    fn report_dropped(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            log::warn!(
                "{dropped} lines of the access log were dropped: its reader does not keep up"
            );
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

/// One core's part of an access log.
#[derive(Debug)]
pub(crate) struct CoreLog {
    format: LogFormat,
    shared: Arc<Shared>,
    sender: Option<SyncSender<Batch>>,
    epoch: Instant,
    /// When the core was last woken.
    woken: Cell<Instant>,
    lines: RefCell<Lines>,
}

#[derive(Debug)]
struct Lines {
    batch: Batch,
    moment: Moment,
    stamp: Stamp,
    client: Client,
}

impl CoreLog {
    /// The core is woken.
    pub(crate) fn begin_wakeup(&self, now: Instant) {
        self.woken.set(now);
        self.lines.borrow_mut().moment.update(now, SystemTime::now);
    }

    /// Hands over what was recorded since the core was woken.
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
    /// Nanoseconds from the core's start to its last wake-up.
    fn now(&self) -> u64 {
        (self.woken.get() - self.epoch).as_nanos() as u64
    }

    fn record(&self, record: &Record<'_>) {
        let mut lines = self.lines.borrow_mut();
        let Lines { batch, moment, stamp, client } = &mut *lines;
        let queued = self.shared.queued_bytes.load(Ordering::Relaxed);
        if queued + batch.bytes.len() > QUEUE_BYTES_MAX {
            return self.shared.drop_lines(1);
        }
        let now = Instant::now();
        let began = match record.began {
            Some(began) => self.epoch + Duration::from_nanos(began),
            None => self.woken.get(),
        };
        let duration = now.saturating_duration_since(began);
        stamp.update(moment.at(now));
        client.update(record.client);
        if batch.bytes.is_empty() {
            batch.bytes.reserve(BATCH_BYTES);
        }
        match self.format {
            LogFormat::Json => line::json(&mut batch.bytes, stamp, client, duration, record),
            LogFormat::Combined => line::combined(&mut batch.bytes, stamp, client, record),
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
            began: None,
            method: Cow::Borrowed(b"GET"),
            target: Cow::Borrowed(b"/"),
            minor_version: 1,
            referer: None,
            user_agent: None,
            status: 200,
            body_bytes: 14,
        }
    }

    fn fifo(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("pinloop-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        path
    }

    /// Two times what the queue holds, of 1,000 bytes each.
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
        // Nobody reads yet, and nothing waits for that.
        let recorded = overfill(&core);
        let dropped = log.take_dropped();
        assert!(dropped > 0 && dropped < recorded, "{dropped} of {recorded}");
        let reader = File::open(&path).unwrap();
        let counted = std::thread::spawn(move || {
            let lines = io::BufRead::lines(io::BufReader::new(reader));
            lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.contains("last"))).count()
        });
        // There is room again once what waited has been read.
        while log.log.shared.queued_bytes.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        core.record(&Record { target: Cow::Borrowed(b"last"), ..record() });
        drop((core, log));
        assert_eq!(counted.join().unwrap() as u64, recorded - dropped);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_for_long() {
        let path = fifo("none");
        let log = AccessLog::file(&path, LogFormat::Combined).unwrap();
        overfill(&log.core(Instant::now()));
        drop(log);
        std::fs::remove_file(path).unwrap();
    }
}
