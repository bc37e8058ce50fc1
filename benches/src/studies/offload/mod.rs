//! Short requests beside long ones, with and without worker threads.

pub(crate) mod args;
pub mod figures;
pub mod measure;
pub mod record;
pub(crate) mod section;
