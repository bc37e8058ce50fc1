//! The `pinloop` binary.
#![forbid(unsafe_code)]

fn main() {}
