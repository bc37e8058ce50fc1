//! The measure: variants of one service, a load generator, and what compares them.

#![deny(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod cli;
pub mod load;
pub mod plan;
pub mod report;
pub mod results;
pub mod rig;
pub mod serve;
pub mod stats;
pub mod stdout;
pub mod studies;
pub mod variants;
