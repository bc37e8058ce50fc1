#![no_main]

#[path = "../heads.rs"]
mod check;
#[path = "../../support/feed.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check(input));
