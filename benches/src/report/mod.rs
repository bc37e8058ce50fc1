//! Makes figures of recorded counts, and shows them.
//!
//! Pure functions of [`crate::results`]: the same file gives the same report,
//! today and on another machine. What may not live here: clocks, processes,
//! /proc, and anything of the variants or of the measurement.

pub mod answer;
pub mod figures;
pub mod gate;
pub mod markdown;
pub mod method;
pub mod page;
pub mod plots;
pub mod square;
pub mod stats;
pub mod table;
pub mod units;
