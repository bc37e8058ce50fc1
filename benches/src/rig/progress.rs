//! A progress bar with the time left, drawn between slices only: while a slice
//! runs, nothing else of this process does.

use indicatif::{ProgressBar, ProgressStyle};

/// Seconds between two lines of progress without a terminal: enough to see that the
/// program works, and few enough for a log.
const TELL_EVERY: u64 = 5;

/// Shown on stderr.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar that is full after `slices`.
    pub fn new(slices: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:32} {percent:>3} %  {eta} left  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: ProgressBar::new(slices).with_style(style) }
    }

    /// Shows the current activity. Without a terminal this is the only output.
    pub fn says(&self, what: &str) {
        if self.bar.is_hidden() {
            eprintln!("{what} …");
        }
        self.bar.set_message(what.to_string());
    }

    /// Shows the progress after another second.
    pub fn tells(&self, what: &str) {
        self.bar.inc(1);
        if self.bar.is_hidden() && self.bar.position().is_multiple_of(TELL_EVERY) {
            eprintln!("  {what}");
        }
        self.bar.set_message(what.to_string());
    }

    /// One slice is done.
    pub fn slice_done(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away, so that the report stands alone.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
