//! The thread that writes an access log.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::queue::{Batch, Shared};

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
pub(super) fn write(batches: &Receiver<Batch>, file: File, shared: &Shared) {
    let mut writer = Writer::new(file, shared);
    while let Ok(first) = batches.recv() {
        for batch in std::iter::once(first).chain(batches.try_iter()) {
            writer.gather(batch);
        }
        if shared.reopen.swap(false, Ordering::Acquire) {
            let path = shared.path.lock().unwrap_or_else(PoisonError::into_inner).clone();
            path.iter().for_each(|path| writer.reopen(path));
        }
        writer.flush();
        std::thread::sleep(PAUSE);
    }
    writer.flush();
    writer.give_up_torn();
}

/// The file of a log; a trait so that a test can have a full disk.
trait Out: Write {
    /// Removes the last `bytes` that were written; reports whether it has done so.
    fn take_back(&mut self, bytes: usize) -> bool;
}

impl Out for File {
    fn take_back(&mut self, bytes: usize) -> bool {
        let mut shorten = || {
            let (end, metadata) = (self.stream_position()?, self.metadata()?);
            // The lines of another process that appends to the same file must stay.
            let can_shorten = metadata.is_file() && metadata.len() == end;
            if can_shorten {
                self.set_len(end.saturating_sub(bytes as u64))?;
            }
            Ok::<bool, io::Error>(can_shorten)
        };
        shorten().unwrap_or(false)
    }
}

struct Writer<'a, W> {
    out: W,
    shared: &'a Shared,
    gathered: Vec<u8>,
    /// Number of bytes that were written of a line that could be neither completed nor taken
    /// back. The rest of the line is at the start of `gathered`.
    torn: usize,
    /// Set if the last write failed, so that a lasting failure is logged once.
    failing: bool,
}

impl<'a, W: Out> Writer<'a, W> {
    fn new(out: W, shared: &'a Shared) -> Writer<'a, W> {
        Writer { out, shared, gathered: Vec::new(), torn: 0, failing: false }
    }

    fn gather(&mut self, batch: Batch) {
        match self.gathered.is_empty() {
            true => self.gathered = batch.bytes,
            false => self.gathered.extend_from_slice(&batch.bytes),
        }
        if self.gathered.len() >= WRITE_BYTES {
            self.flush();
        }
    }

    /// Writes whole lines. If a write fails, the lines that do not fit are counted as lost.
    fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let mut written = 0;
        let mut failure = None;
        while written < self.gathered.len() && failure.is_none() {
            match self.out.write(&self.gathered[written..]) {
                Ok(0) => failure = Some(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => failure = Some(error),
            }
        }
        if let (Some(error), false) = (&failure, self.failing) {
            log::error!("cannot write the access log: {error}");
        }
        self.failing = failure.is_some();
        let begun = match self.gathered[..written].iter().rposition(|&byte| byte == b'\n') {
            Some(end) => written - end - 1,
            None => self.torn + written,
        };
        self.torn = if begun == 0 || self.out.take_back(begun) { 0 } else { begun };
        let kept = self.kept_bytes(written);
        let lost = self.gathered[written + kept..].iter().filter(|&&byte| byte == b'\n').count();
        self.shared.drop_unwritten(lost as u64);
        self.shared.queued_bytes.fetch_sub(self.gathered.len() - kept, Ordering::Relaxed);
        self.gathered.truncate(written + kept);
        self.gathered.drain(..written);
    }

    /// Returns the size of the rest of a torn line, which begins at `start` of the lines.
    fn kept_bytes(&self, start: usize) -> usize {
        let end = || self.gathered[start..].iter().position(|&byte| byte == b'\n');
        if self.torn == 0 { 0 } else { end().map_or(0, |end| end + 1) }
    }

    /// Discards the rest of a torn line, and counts the line as lost.
    fn give_up_torn(&mut self) {
        let kept = self.kept_bytes(0);
        if kept > 0 {
            self.torn = 0;
            self.gathered.drain(..kept);
            self.shared.queued_bytes.fetch_sub(kept, Ordering::Relaxed);
            self.shared.drop_unwritten(1);
        }
    }
}

impl Writer<'_, File> {
    fn reopen(&mut self, path: &Path) {
        match open(path) {
            Ok(file) => {
                self.give_up_torn();
                self.out = file;
            }
            Err(error) => log::error!(
                "cannot reopen the access log {}: {error}; the old one stays open",
                path.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for `room` bytes.
    #[derive(Default)]
    struct Disk {
        text: Vec<u8>,
        room: usize,
        is_pipe: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let bytes = &bytes[..bytes.len().min(self.room)];
            if bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.extend_from_slice(bytes);
            self.room -= bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Out for Disk {
        fn take_back(&mut self, bytes: usize) -> bool {
            if !self.is_pipe {
                self.text.truncate(self.text.len() - bytes);
                self.room += bytes;
            }
            !self.is_pipe
        }
    }

    /// Writes 20 lines, five at a time, to a disk that gets room for `room` bytes before each
    /// write and for all lines before the last one. Checks each line, and returns the number
    /// of lost lines.
    fn lost(room: usize, is_pipe: bool) -> u64 {
        let shared = Shared::default();
        let mut writer = Writer::new(Disk { is_pipe, ..Disk::default() }, &shared);
        let line = |number: usize| format!("line {number:02}\n");
        for part in 0..4 {
            writer.out.room = if part == 3 { 1_000 } else { room };
            let text: String = (part * 5..part * 5 + 5).map(line).collect();
            shared.queued_bytes.fetch_add(text.len(), Ordering::Relaxed);
            writer.gather(Batch { bytes: text.into_bytes(), lines: 5 });
            writer.flush();
        }
        let text = String::from_utf8(std::mem::take(&mut writer.out.text)).unwrap();
        let all: Vec<String> = (0..20).map(line).collect();
        assert!(text.split_inclusive('\n').all(|line| all.contains(&line.to_string())), "{text}");
        let lost = shared.dropped.load(Ordering::Relaxed);
        assert_eq!(text.lines().count() as u64, 20 - lost, "{text}");
        assert_eq!(shared.queued_bytes.load(Ordering::Relaxed), 0);
        lost
    }

    #[test]
    fn a_full_disk_gets_whole_lines_and_the_lost_ones_are_counted() {
        for is_pipe in [false, true] {
            for room in 0..40 {
                let lost = lost(room, is_pipe);
                assert!(room > 0 || lost == 15, "{lost}");
            }
            assert_eq!(lost(40, is_pipe), 0);
        }
    }

    #[test]
    fn a_torn_line_is_removed_from_the_end_of_a_file() {
        let path = std::env::temp_dir().join(format!("pinloop-{}-torn", std::process::id()));
        let mut file = open(&path).unwrap();
        file.write_all(b"whole\nto").unwrap();
        assert!(file.take_back(2));
        // The lines of another process stay.
        file.write_all(b"to").unwrap();
        open(&path).unwrap().write_all(b"other\n").unwrap();
        assert!(!file.take_back(2));
        assert_eq!(std::fs::read(&path).unwrap(), b"whole\ntoother\n");
        std::fs::remove_file(path).unwrap();
    }
}
