//! The thread that writes an access log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{Batch, Shared};

/// Pause after each write, so that the cores wake the writer at most a hundred times a
/// second. A line reaches the log some 10 ms later.
const PAUSE: Duration = Duration::from_millis(10);

/// Size of a write. Larger writes are not cheaper.
const WRITE_BYTES: usize = 64 * 1024;

/// Opens `path` for appending.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let is_pipe = std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    // Opening a pipe for reading too succeeds before a reader comes, and keeps the pipe open
    // after the reader leaves.
    OpenOptions::new().append(true).create(true).read(is_pipe).open(path)
}

/// Writes batches until every sender is gone.
pub(super) fn write(batches: &Receiver<Batch>, file: File, path: Option<&Path>, shared: &Shared) {
    let mut writer = Writer { file, path, shared, gathered: Batch::default(), failing: false };
    while let Ok(first) = batches.recv() {
        for batch in std::iter::once(first).chain(batches.try_iter()) {
            writer.gather(batch);
        }
        writer.flush();
        std::thread::sleep(PAUSE);
    }
}

struct Writer<'a> {
    file: File,
    path: Option<&'a Path>,
    shared: &'a Shared,
    gathered: Batch,
    /// Set if the last write failed, so that a lasting failure is logged once.
    failing: bool,
}

impl Writer<'_> {
    fn gather(&mut self, batch: Batch) {
        if self.gathered.bytes.is_empty() {
            self.gathered = batch;
        } else {
            self.gathered.bytes.extend_from_slice(&batch.bytes);
            self.gathered.lines += batch.lines;
        }
        if self.gathered.bytes.len() >= WRITE_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.shared.reopen.swap(false, Ordering::Acquire) {
            self.reopen();
        }
        if self.gathered.lines == 0 {
            return;
        }
        let written = self.file.write_all(&self.gathered.bytes);
        if let Err(error) = &written {
            if !self.failing {
                log::error!("cannot write the access log: {error}");
            }
            self.shared.drop_lines(self.gathered.lines);
        }
        self.failing = written.is_err();
        self.shared.queued_bytes.fetch_sub(self.gathered.bytes.len(), Ordering::Relaxed);
        self.gathered.bytes.clear();
        self.gathered.lines = 0;
    }

    fn reopen(&mut self) {
        let Some(path) = self.path else { return };
        match open(path) {
            Ok(file) => self.file = file,
            Err(error) => log::error!(
                "cannot reopen the access log {}: {error}; the old one stays open",
                path.display()
            ),
        }
    }
}
