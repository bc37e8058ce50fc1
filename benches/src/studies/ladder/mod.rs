//! Every server in every regime: the CPU time that each layer adds.

pub(crate) mod answer;
pub(crate) mod args;
pub mod assertion;
pub mod comparison;
pub mod disturbance;
pub mod figures;
pub(crate) mod hardware;
pub mod interface;
pub mod lives;
pub mod measure;
pub(crate) mod method;
mod network;
pub mod plot;
pub(crate) mod section;
mod sizes;
mod skipped;
pub mod square;
