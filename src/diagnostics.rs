//! Messages to standard error. Neither an event loop nor the end of the process waits for their
//! reader.
//!
//! Messages go to a bounded queue, and a thread writes them. Messages that do not fit into the
//! queue are dropped and counted. The thread reports their number once standard error takes
//! messages again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use env_logger::{Builder, Env, Target};

/// Maximum number of queued messages. 1,024 messages of 100 bytes are more than a pipe of 64 KiB
/// holds.
const QUEUE_MAX: usize = 1024;

/// Shortest time between two reports of dropped messages, and between two reports of panics.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Time that the end of the process waits until the queued messages are written.
const FLUSH_WAIT: Duration = Duration::from_millis(200);

/// The queue of messages. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Diagnostics {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    panics: Arc<Panics>,
}

enum Message {
    Line(Vec<u8>),
    /// Disconnects its receiver once the messages before it are written.
    Flush(SyncSender<()>),
}

impl Diagnostics {
    /// Sends log messages and reports of panics to standard error.
    ///
    /// # Errors
    /// Returns the system's error if the descriptor cannot be duplicated or the thread cannot
    /// be started.
    pub(crate) fn start() -> io::Result<Diagnostics> {
        // A duplicate, because a blocked writer would hold the lock of `io::stderr`.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let diagnostics = Diagnostics::new(stderr)?;
        Builder::from_env(Env::default().default_filter_or("warn"))
            .target(Target::Pipe(Box::new(diagnostics.clone())))
            .init();
        let hook = diagnostics.clone();
        std::panic::set_hook(Box::new(move |panic| {
            hook.panics.report(panic);
            // A panic of this thread ends the process.
            if thread::current().name() == Some("main") {
                hook.flush();
            }
        }));
        Ok(diagnostics)
    }

    fn new(out: impl Write + Send + 'static) -> io::Result<Diagnostics> {
        let (queue, messages) = mpsc::sync_channel(QUEUE_MAX);
        let diagnostics = Diagnostics { queue, dropped: Arc::default(), panics: Arc::default() };
        let writer = Writer {
            out,
            dropped: diagnostics.dropped.clone(),
            panics: diagnostics.panics.clone(),
            reported: 0,
            reported_at: None,
        };
        thread::Builder::new()
            .name("pinloop-stderr".into())
            .spawn(move || writer.run(&messages))?;
        Ok(diagnostics)
    }

    /// Queues a message, without ever blocking.
    pub(crate) fn send(&self, line: &[u8]) {
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the counter of dropped messages.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }

    /// Returns the counter of panics, also of those that were not reported one by one.
    pub(crate) fn panics(&self) -> Arc<AtomicU64> {
        self.panics.total.clone()
    }

    /// Waits until the queued messages are written, but only for [`FLUSH_WAIT`].
    pub(crate) fn flush(&self) {
        let (done, written) = mpsc::sync_channel(0);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_WAIT);
        }
    }
}

/// The logger writes each message at once.
impl Write for Diagnostics {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.send(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread that writes the messages.
struct Writer<W> {
    out: W,
    dropped: Arc<AtomicU64>,
    panics: Arc<Panics>,
    /// Number of dropped messages that have been reported.
    reported: u64,
    reported_at: Option<Instant>,
}

impl<W: Write> Writer<W> {
    /// Writes messages until all senders are gone.
    fn run(mut self, messages: &Receiver<Message>) {
        // An idle process has no wake-ups. A second after a message there may be something to
        // report.
        let mut is_idle = true;
        loop {
            let received = match is_idle {
                true => messages.recv().map_err(RecvTimeoutError::from),
                false => messages.recv_timeout(REPORT_INTERVAL),
            };
            is_idle = false;
            match received {
                Ok(Message::Line(line)) if self.out.write_all(&line).is_err() => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Message::Line(_)) => self.report_dropped(false),
                Ok(Message::Flush(_done)) => self.report_dropped(true),
                Err(RecvTimeoutError::Timeout) => {
                    self.report_dropped(false);
                    is_idle = !self.panics.report_suppressed();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn report_dropped(&mut self, is_last: bool) {
        let new = self.dropped.load(Ordering::Relaxed) - self.reported;
        let is_early = self.reported_at.is_some_and(|at| at.elapsed() < REPORT_INTERVAL);
        if new == 0 || is_early && !is_last {
            return;
        }
        let report = format!(
            "[WARN  pinloop] {new} messages were dropped, because nobody read standard error\n"
        );
        if self.out.write_all(report.as_bytes()).is_ok() {
            self.reported += new;
            self.reported_at = Some(Instant::now());
        }
    }
}

/// The reports of panics: at most one line in [`REPORT_INTERVAL`].
#[derive(Default)]
struct Panics {
    /// Number of all panics.
    total: Arc<AtomicU64>,
    reported_at: Mutex<Option<Instant>>,
    suppressed: AtomicU64,
}

impl Panics {
    fn report(&self, panic: &PanicHookInfo<'_>) {
        self.total.fetch_add(1, Ordering::Relaxed);
        if !self.may_report(Instant::now()) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let more = match self.suppressed.swap(0, Ordering::Relaxed) {
            0 => String::new(),
            count => format!(" ({count} more panics before it)"),
        };
        let text = message(panic).replace('\n', " ");
        log::error!("thread '{name}' panicked at {place}: {text}{more}");
    }

    /// Reports the panics since the last report; returns false without a new panic.
    fn report_suppressed(&self) -> bool {
        if self.suppressed.load(Ordering::Relaxed) == 0 {
            return false;
        }
        if self.may_report(Instant::now()) {
            let count = self.suppressed.swap(0, Ordering::Relaxed);
            log::error!("{count} more panics since the last report");
        }
        true
    }

    /// Reports whether the last report is long enough ago, and notes the new one.
    fn may_report(&self, now: Instant) -> bool {
        // A thread that reports at this moment has the lock.
        let Ok(mut last) = self.reported_at.try_lock() else { return false };
        let is_due = last.is_none_or(|last| now.duration_since(last) >= REPORT_INTERVAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A standard error that takes a write for each message of `reader`.
    struct Pipe {
        reader: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Pipe {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.reader.recv();
            self.written.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_to_a_full_pipe_are_dropped_counted_and_reported() {
        let (read, reader) = mpsc::channel();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let diagnostics = Diagnostics::new(Pipe { reader, written: written.clone() }).unwrap();
        for number in 0..2 * QUEUE_MAX {
            diagnostics.send(format!("message {number}\n").as_bytes());
        }
        let dropped = diagnostics.dropped().load(Ordering::Relaxed);
        // The writer has taken one message from the queue, or none yet.
        assert!((QUEUE_MAX - 1..=QUEUE_MAX).contains(&(dropped as usize)), "{dropped}");
        // The process ends without waiting for the reader.
        diagnostics.flush();
        drop(read);
        let report = format!("{dropped} messages were dropped");
        while !String::from_utf8_lossy(&written.lock().unwrap()).contains(&report) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_panic_storm_is_reported_once_a_second() {
        let (panics, now) = (Panics::default(), Instant::now());
        let after = |ms| now + Duration::from_millis(ms);
        let reports = [0, 1, 500, 999, 1_000, 1_001, 2_500].map(|ms| panics.may_report(after(ms)));
        assert_eq!(reports, [true, false, false, false, true, false, true]);
    }
}
