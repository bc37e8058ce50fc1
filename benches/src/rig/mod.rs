//! Runs the variants as processes, loads one after the other in short slices,
//! and records what the kernel counted: [`crate::results`].
//!
//! Two noisy cores are assumed, and no more. All servers are up at once; one is
//! loaded at a time, for a moment; within a block every one has its turn, in a
//! random order. Whatever disturbs the machine for longer than a block then
//! disturbs all of them alike, and figures are compared within a block only.
//!
//! What may not live here: figures. Medians, ratios and intervals are made by
//! [`crate::report`] from the recorded counts.

pub mod event_loops;
pub mod exchange;
mod exchanges;
pub mod fleet;
pub mod gate;
pub mod machine;
pub mod meter;
pub mod process;
pub mod progress;
pub mod regimes;
pub mod rehearsal;
pub mod rounds;
pub mod slice;
pub mod study;
pub mod usage;
pub mod wrk;
