//! One folder a study: its arguments (`args`), its measurement (`measure`), what it
//! records (`record`), the figures made of the record (`figures`) and its part of the
//! report (`section`).

mod args;
pub mod arrivals;
pub mod count;
pub mod knee;
pub mod ladder;
pub mod memory;
pub mod offload;
pub mod scaling;
pub mod state;
pub mod work;
