//! The measure: variants of one service, a load generator, and what compares them.

pub mod cli;
pub mod load;
pub mod report;
pub mod results;
pub mod rig;
pub mod serve;
pub mod stats;
pub mod stdout;
pub mod studies;
pub mod variants;
