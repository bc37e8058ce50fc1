//! Does it pay that threads share work? Few connections, and requests of unlike work.

pub(crate) mod args;
mod calibrate;
pub mod figures;
pub mod measure;
pub mod plot;
pub mod record;
pub(crate) mod section;
pub mod verdicts;
