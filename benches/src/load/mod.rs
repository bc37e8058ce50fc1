//! The load generator: an event loop a thread, one thread or several, any HTTP/1.1 server.
//!
//! ```text
//! Target + Shape ── Generator::connect ──▶ Generator ── run(Pace, Stop) ──▶ Outcome
//!                                             │  ▲                             │ merge
//!                          all connections idle  all connections idle          ▼
//! … + Placement ──── Threads::connect ─────▶ Threads ── run(Pace, Stop) ───▶ Outcome
//! ```
//!
//! A run starts and ends with every connection idle, so that [`Outcome::requests`] is exactly the
//! number of requests that the server answered in it. Between runs a generator sleeps: it costs
//! its sockets and nothing else.
//!
//! | file | holds |
//! | --- | --- |
//! | `target.rs` | the server, the request, and the number of connections |
//! | `requests.rs`, `mix.rs` | one request again and again, or a mix of several |
//! | `pace.rs`, `arrivals.rs` | times at which requests start, runs stop, and clients arrive |
//! | `generator.rs`, `run.rs` | the event loop, and its state in one run |
//! | `connection.rs` | one connection, with its unsent and unanswered requests |
//! | `head.rs`, `heads.rs`, `response.rs`, `comparison.rs` | answers from bytes: no socket, no clock |
//! | `outcome.rs`, `latencies.rs`, `errors.rs`, `watch.rs` | counts of a run, and of its intervals |
//! | `threads.rs`, `worker.rs`, `placement.rs` | several generators, each on a thread and a core |
//! | `deal.rs`, `intervals.rs` | each thread's part of a load, and the intervals of all threads |
//! | `encoding.rs` | a load and its outcome as JSON, for other machines |
//! | `command.rs`, `arguments.rs`, `summary.rs`, `hgrm.rs` | `cargo bench -- load URL` |
//! | `url.rs`, `request.rs` | the URL and the request of that command |
//! | `clock.rs`, `cores.rs`, `source.rs` | time, CPUs, local addresses |
//! | `descriptors.rs`, `conntrack.rs` | limits of the kernel on connections |
//!
//! **Rule**: this module uses nothing of crate `pinloop`. The generator parses answers with its own
//! code, so that a fault in the server's parser cannot hide in the server's measure.
//!
//! # Latency
//! In a closed loop a request starts when it is written. At a fixed rate it starts at its time in
//! the schedule, even if a connection becomes free later: no coordinated omission. An answer is
//! received at the beginning of the wake-up that found it. With several answers due on a
//! connection some may have arrived since, so the clock is read again. Latency thus excludes the
//! generator's own queue at the end of a request as far as possible. It includes the time to open
//! a connection if the request has to wait for one.

mod arguments;
mod arrivals;
mod clock;
pub mod command;
mod comparison;
mod connection;
mod conntrack;
mod cores;
mod deal;
mod descriptors;
mod encoding;
mod errors;
mod generator;
mod head;
mod heads;
mod hgrm;
mod intervals;
mod latencies;
mod mix;
mod outcome;
mod pace;
mod placement;
mod request;
mod requests;
mod response;
mod run;
mod source;
mod summary;
mod target;
#[cfg(test)]
mod tests;
mod threads;
mod url;
mod watch;
mod worker;

pub use arrivals::{Arrivals, Phase};
pub use comparison::Expected;
pub use conntrack::TrackedConnections;
pub use cores::{cpu_list, pin};
pub use descriptors::allow_descriptors;
pub use errors::{Errors, LoadError};
pub use generator::Generator;
pub use hgrm::write as write_hgrm;
pub use intervals::Intervals;
pub use outcome::{Outcome, Statuses};
pub use pace::{Pace, Stop};
pub use placement::Placement;
pub use request::RequestParts;
pub use requests::Share;
pub use summary::progress;
pub use target::{Shape, Target};
pub use threads::Threads;
pub use url::{Url, UrlError};
pub use watch::{Interval, Snapshot, Watch};
