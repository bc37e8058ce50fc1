//! Every server in every regime: the CPU time that each layer adds.

pub(crate) mod args;
pub mod assertion;
pub mod comparison;
pub mod disturbance;
pub mod figures;
pub mod measure;
pub mod plot;
pub(crate) mod sections;
pub mod square;
