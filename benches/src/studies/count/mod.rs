//! Exact counts for one request: instructions, system calls, allocations.

pub mod allocator;
pub(crate) mod args;
pub mod callgrind;
pub mod figures;
pub mod measure;
pub mod places;
pub mod record;
pub(crate) mod section;
pub mod split;
pub mod strace;
pub mod tools;
pub mod workloads;
