//! The measure: variants of one service, a load generator, and what compares them.

pub mod load;
pub mod measure;
pub mod report;
pub mod results;
pub mod serve;
pub mod stdout;
pub mod variants;
