#![no_main]

#[path = "../splits.rs"]
mod check;
#[path = "../../support/feed.rs"]
mod feed;
#[path = "../../support/probe.rs"]
mod probe;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check(input));
