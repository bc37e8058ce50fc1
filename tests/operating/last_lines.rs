//! The lines of the access log at the end of the process.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use signal_hook::consts::SIGTERM;

use super::path;
use crate::support::process::Running;
use crate::support::{GET, read_response, wait_until};

/// With metrics, the process ended without a wait for the last lines of the log, and without a word
/// about lines that were lost.
#[test]
fn with_metrics_too_the_process_waits_for_the_log() {
    let (pipe, stderr) = (path("last-lines"), path("last-lines.stderr"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let arguments = ["--metrics", "--access-log", pipe.to_str().unwrap()];
    let running = Running::start_with_stderr(File::create(&stderr).unwrap(), &arguments);
    let mut stream = running.connect();
    // More lines than fit into the pipe, which nobody reads.
    for _ in 0..100 {
        stream.write_all(&GET.repeat(10)).unwrap();
        (0..10).for_each(|_| drop(read_response(&mut stream)));
    }
    drop(stream);
    running.end(SIGTERM);
    wait_until("there is a message about the lost lines", || {
        fs::read_to_string(&stderr).unwrap().contains("nobody reads the access log")
    });
    fs::remove_file(pipe).unwrap();
    fs::remove_file(stderr).unwrap();
}
