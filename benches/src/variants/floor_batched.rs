//! Adds writes that wait for each other, as pinloop's do; otherwise as `floor`.

use std::io;

use super::common::{self, Settings};
use super::{Ready, floor};

/// Number of connections whose answers are written together: pinloop's default.
const BATCH: usize = 8;

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    common::per_core(settings, ready, |listener| floor::run(listener, BATCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_and_pinloop_write_as_much_together() {
        assert_eq!(BATCH, pinloop::Config::default().send_batch_max);
    }
}
