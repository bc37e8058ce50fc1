//! Makes figures of recorded counts, and shows them.
//!
//! Pure functions of [`crate::results`]: the same file gives the same report,
//! today and on another machine. What may not live here: clocks, processes,
//! /proc, and anything of the variants or of the measurement.

pub mod counts;
pub mod figures;
pub mod stats;
pub mod table;
