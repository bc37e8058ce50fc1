//! Runs the servers as processes, loads one after the other in short slices, and records
//! what the kernel counted: [`crate::results`].
//!
//! The rig assumes no more than two noisy cores. All servers run at once, and one is
//! loaded at a time. A block starts fresh processes and takes a slice of each in a random
//! order. Whatever disturbs the machine for longer than a block disturbs all of them
//! alike, so figures are compared within a block only.
//!
//! Figures may not live here. Medians, ratios and intervals are made by
//! [`crate::report`] from the recorded counts.

pub mod agent;
pub mod answered;
pub mod event_loops;
pub mod exchange;
mod exchanges;
pub mod fleet;
pub mod gate;
pub mod hardware;
pub mod host;
pub mod load_hosts;
pub mod machine;
pub mod machine_time;
pub mod memory;
pub mod meter;
pub mod network;
pub mod pipe;
pub mod process;
pub mod process_error;
pub mod progress;
pub mod regimes;
pub mod rehearsal;
pub mod rounds;
pub mod site;
pub mod slice;
pub mod study;
pub mod thermometer;
pub mod usage;
pub mod wrk;
