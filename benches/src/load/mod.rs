//! The load generator: one thread, one `mio` loop, any HTTP/1.1 server.
//!
//! ```text
//! Target + Shape ── Generator::connect ──▶ Generator ── run(Pace, Stop) ──▶ Outcome
//!                                             │  ▲
//!                          all connections idle  all connections idle
//! ```
//!
//! A run starts and ends with every connection idle, so that [`Outcome::requests`] is what the
//! server answered in it, no more and no less. Between runs a generator sleeps: it costs its
//! sockets and nothing else.
//!
//! | file | holds |
//! | --- | --- |
//! | `target.rs` | what is asked of whom, over how many connections |
//! | `pace.rs`, `arrivals.rs` | when a request starts, when the run stops; when a client comes |
//! | `generator.rs`, `run.rs` | the loop, and what it remembers of one run |
//! | `connection.rs` | one connection: what is unsent, what is unanswered |
//! | `head.rs`, `heads.rs`, `response.rs`, `comparison.rs` | answers from bytes: no socket, no clock |
//! | `outcome.rs`, `errors.rs`, `watch.rs` | what is counted, and told while it goes on |
//! | `command.rs`, `url.rs`, `request.rs`, `summary.rs`, `hgrm.rs` | `cargo bench -- load URL` |
//! | `clock.rs`, `source.rs` | time in nanoseconds and a timer; which address to call from |
//!
//! **What may not live here**: anything of crate `pinloop`. The generator parses answers by code
//! of its own, so that a fault in the server's parser cannot hide in the server's measure.
//!
//! # What a latency is
//! In a closed loop a request starts when it is written. At a fixed rate it starts when the
//! schedule says so, however late a connection becomes free for it: no coordinated omission. An
//! answer counts as received when the wake-up began that found it; of several answers that are
//! due on a connection some may have come since, so there the clock is read again. The
//! generator's own queue at the end of a request is thus not in its latency, as far as it can be
//! told. Where a request has to wait for a connection to be opened, that wait is.

mod arrivals;
mod clock;
pub mod command;
mod comparison;
mod connection;
mod descriptors;
mod errors;
mod generator;
mod head;
mod heads;
mod hgrm;
mod outcome;
mod pace;
mod request;
mod response;
mod run;
mod source;
mod summary;
mod target;
#[cfg(test)]
mod tests;
mod url;
mod watch;

use std::io;

pub use arrivals::{Arrivals, Phase};
pub use comparison::Expected;
pub use descriptors::allow_descriptors;
pub use errors::{Errors, LoadError};
pub use generator::Generator;
pub use hgrm::write as write_hgrm;
pub use outcome::{Outcome, Statuses};
pub use pace::{Pace, Stop};
pub use request::RequestParts;
pub use summary::progress;
pub use target::{Shape, Target};
pub use url::{Url, UrlError};
pub use watch::{Snapshot, Watch};

/// As many cores as the kernel's `cpu_set_t` can name; core_affinity panics above it.
const CORES_MAX: usize = 1024;

/// Pins the calling thread to `core`, as numbered by the kernel.
pub fn pin(core: usize) -> io::Result<()> {
    let id = core_affinity::CoreId { id: core };
    if core < CORES_MAX && core_affinity::set_for_current(id) {
        return Ok(());
    }
    let allowed: Vec<String> =
        core_affinity::get_core_ids().iter().flatten().map(|core| core.id.to_string()).collect();
    Err(io::Error::other(format!(
        "core {core} is not one that this thread may run on, which are {}",
        allowed.join(", ")
    )))
}
