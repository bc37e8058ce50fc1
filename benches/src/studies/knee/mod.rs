//! The highest rate that each server sustains.

pub(crate) mod args;
pub mod figures;
pub mod measure;
pub mod plot;
pub mod record;
pub mod search;
pub(crate) mod section;
