//! The same load per core on 1, 2, … cores.

pub(crate) mod args;
pub mod figures;
pub mod measure;
pub mod plot;
pub mod record;
pub(crate) mod section;
