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
//! | `pace.rs` | when a request starts, and when the run stops |
//! | `generator.rs` | the loop |
//! | `connection.rs` | one connection: what is unsent, what is unanswered |
//! | `head.rs`, `response.rs` | answers from bytes: no socket, no clock |
//! | `outcome.rs`, `errors.rs` | what is counted |
//! | `clock.rs`, `source.rs` | time in nanoseconds and a timer; which address to call from |
//!
//! **What may not live here**: anything of crate `pinloop`. The generator parses answers by code
//! of its own, so that a fault in the server's parser cannot hide in the server's measure.
//!
//! # What a latency is
//! Time is read once per wake-up. An answer counts as received when the wake-up that brought it
//! began, a request as started when the wake-up that sent it began; so the generator's own delay
//! in a wake-up is counted once, against the server, never in its favour. At a fixed rate a
//! request starts when the schedule says so, however late a connection becomes free for it: no
//! coordinated omission. Where a request has to wait for a connection to be opened, that wait is
//! part of its latency.

mod clock;
mod connection;
mod errors;
mod generator;
mod head;
mod outcome;
mod pace;
mod response;
mod source;
mod target;
#[cfg(test)]
mod tests;

use std::io;

pub use errors::{Errors, LoadError};
pub use generator::Generator;
pub use outcome::Outcome;
pub use pace::{Pace, Stop};
pub use target::{Shape, Target};

/// Pins the calling thread to `core`, as numbered by the kernel.
pub fn pin(core: usize) -> io::Result<()> {
    if core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        Ok(())
    } else {
        Err(io::Error::other(format!("core {core} is not one that this process may run on")))
    }
}
