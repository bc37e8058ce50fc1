//! `cargo bench`: arguments -> study.

fn main() {}
