//! Adds worker threads for `GET /data?offload`; otherwise as `pinloop`.

use std::io;
use std::num::NonZeroUsize;

use pinloop::Workers;
use pinloop::app::App;

use super::Ready;
use super::common::{self, Settings};
use super::pinloop::config;

/// Maximum number of waiting jobs: more than a study has connections.
const JOBS_MAX: usize = 1024;

/// Runs the workers on the CPUs of the event loops. Other CPUs would make it easier for the
/// server, and the comparison is one on the same CPUs.
pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    let cores = &settings.cores;
    let count = NonZeroUsize::new(settings.cores.len()).unwrap_or(NonZeroUsize::MIN);
    let app = App {
        workers: Some(Workers::start_with(count, cores, JOBS_MAX, common::yield_to_event_loops)?),
        ..App::new(rounds)
    };
    let server =
        pinloop::start(&config(settings), move |_| app.clone()).map_err(io::Error::other)?;
    ready(server.addr());
    server.join().map(drop)
}
