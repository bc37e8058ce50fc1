//! The same few thousand requests to pinloop and to hyper: where they differ, and
//! which one is right.
//!
//! Each request is sent on a connection of its own with another one behind it, so
//! that a connection which stays open shows. A difference that is not in the table
//! fails the test, and so does a line of the table that no request shows any more.

#[path = "differential/differences.rs"]
mod differences;
#[path = "differential/requests.rs"]
mod requests;
#[path = "differential/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use differences::{DIFFERENCES, OTHER_CONTENT, Right};

/// Request that is sent after each request.
const FOLLOWER: &[u8] = b"GET /follower HTTP/1.1\r\nHost: follower\r\n\r\n";

/// Topic, pinloop's statuses, hyper's.
type Key = (&'static str, String, String);

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

#[test]
#[ignore = "wants the address of a server that answers 200 to whatever is valid, in PINLOOP_OTHER"]
fn differences_to_another_server() {
    let other = std::env::var("PINLOOP_OTHER").expect("PINLOOP_OTHER is the server's address");
    let other = other.parse().expect("PINLOOP_OTHER is an address such as 127.0.0.1:8080");
    let (sent, found) = compare(servers::pinloop(), other);
    println!("{sent} requests");
    for ((topic, ours, theirs), requests) in found {
        if theirs != OTHER_CONTENT {
            let (count, example) = (requests.len(), &requests[0]);
            println!("{count:4} {topic}: {ours} here, {theirs} there, e.g. {example}");
        }
    }
}

/// Sends all requests to both: how many those are, and those that they answer
/// differently.
fn compare(ours: SocketAddr, theirs: SocketAddr) -> (usize, BTreeMap<Key, Vec<String>>) {
    let mut found: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    let mut sent = 0;
    for topic in requests::topics() {
        for request in topic.requests {
            sent += 1;
            let bytes = [&request, FOLLOWER].concat();
            let (ours, theirs) =
                (servers::exchange(ours, &bytes), servers::exchange(theirs, &bytes));
            let statuses = match theirs {
                theirs if theirs == ours => continue,
                theirs if theirs.statuses == ours.statuses => OTHER_CONTENT.to_string(),
                theirs => theirs.statuses,
            };
            let requests = found.entry((topic.name, ours.statuses, statuses)).or_default();
            requests.push(request.escape_ascii().to_string());
        }
    }
    (sent, found)
}
