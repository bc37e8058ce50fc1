//! Memory that an idle connection takes.

pub(crate) mod args;
pub mod figures;
pub mod measure;
pub mod record;
pub(crate) mod section;
