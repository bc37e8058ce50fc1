//! Clients that arrive one after another and stay.

pub(crate) mod args;
pub mod figures;
pub mod measure;
pub mod plot;
pub mod record;
pub(crate) mod section;
