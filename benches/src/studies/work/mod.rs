//! The difference that remains when requests take work.

pub(crate) mod args;
pub mod figures;
pub mod measure;
pub mod plot;
pub mod record;
pub(crate) mod section;
