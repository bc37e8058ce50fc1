//! Clients, pipes and pauses that once took the server away from the other clients.
//!
//! Each test is named after the fault, and its comment cites the report. A test that needs root,
//! a tool or a mount prints a sentence and passes without them.

mod binary;
mod browsers;
mod closing;
mod descriptors;
mod draining;
mod eviction;
mod heads;
mod late_readers;
mod panics;
mod stalls;
mod start;
mod truncation;
mod turns;
mod urgent;
mod waiting;

use std::process::Command;

/// Prints why a test checks nothing on this machine.
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// Reports whether the tests run as root.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

/// Reports whether a program can be run.
pub(crate) fn has_program(name: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output();
    found.is_ok_and(|output| output.status.success())
}
