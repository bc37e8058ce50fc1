//! The same few thousand requests to pinloop and to hyper: where they differ, and
//! which one is right.
//!
//! Each request is sent on a connection of its own with another one behind it, so
//! that a connection which stays open shows. A difference that is not in the table
//! fails the test, and so does a line of the table that no request shows any more.

#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/differences.rs"]
mod differences;
#[path = "differential/requests.rs"]
mod requests;
#[path = "differential/servers.rs"]
mod servers;

use compare::compare;
use differences::{DIFFERENCES, Right};

#[test]
fn every_difference_is_explained() {
    let (sent, mut found) = compare(servers::pinloop(), servers::hyper());
    let differing: usize = found.values().map(Vec::len).sum();
    println!("{sent} requests, {differing} answered differently");
    let thousands = format!("{},{:03}", sent / 1_000, sent % 1_000);
    let stated =
        format!("{thousands} requests to pinloop and to hyper 1.12: {differing} are answered");
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&stated), "the README states other numbers than: {stated}");
    for line in DIFFERENCES {
        let key = (line.topic, line.pinloop.to_string(), line.hyper.to_string());
        let requests = found.remove(&key);
        assert!(requests.is_some(), "no request shows any more: {line:?}");
        println!(
            "{:4} {}: {} here, {} by hyper; RFC {}: {}{}",
            requests.map_or(0, |requests| requests.len()),
            line.topic,
            line.pinloop,
            line.hyper,
            line.section,
            line.why,
            if line.right == Right::Both { " (both may)" } else { "" }
        );
    }
    assert!(found.is_empty(), "not in the table: {found:#?}");
}
