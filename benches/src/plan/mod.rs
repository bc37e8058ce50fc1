//! A plan for many machines, from what was measured on one.
//!
//! [`inputs`] takes the measured figures out of a file of results, [`fleet`] makes a plan of these
//! and of what the user wants, and [`section`] shows it with its formulas. Nothing here measures.

pub mod fleet;
pub mod inputs;
pub mod section;
