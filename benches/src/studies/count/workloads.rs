//! The ways in which servers are asked to be counted.

use crate::studies::count::tools::Tool;

/// One way to ask every server.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Unique; as in results.json.
    pub key: &'static str,
    /// For people.
    pub title: &'static str,
    /// One request, as it goes over the wire.
    pub request: Vec<u8>,
    /// Connections that stay open.
    pub connections: usize,
    /// Requests under way on each connection, sent in one write.
    pub pipeline: usize,
    /// In the first of the two runs.
    pub requests: u64,
    /// True if the floor takes part.
    pub floor: bool,
    /// True if to say where in the source the instructions are.
    pub split: bool,
    /// True if to count system calls only: the rest is as on one connection.
    syscalls_only: bool,
}

impl Workload {
    pub(crate) fn is_counted_by(&self, tool: Tool) -> bool {
        !self.syscalls_only || tool == Tool::Strace
    }
}

/// Enough that what a server does once a second is less than one instruction a
/// request.
const REQUESTS: u64 = 2_000;

/// Of those that take long: enough for the first ones, and the buffers that they
/// make grow, to be few.
const LONG_REQUESTS: u64 = 256;

/// Length of the body in the ladder's echo.
const ECHO_BYTES: usize = 64 * 1024;

/// All that is counted.
pub fn all() -> Vec<Workload> {
    let one = Workload {
        key: "one",
        title: "GET /, one at a time on one connection",
        request: get("/"),
        connections: 1,
        pipeline: 1,
        requests: REQUESTS,
        floor: true,
        split: true,
        syscalls_only: false,
    };
    vec![
        one.clone(),
        Workload {
            key: "pipelined",
            title: "GET /, 16 at a time on one connection",
            pipeline: 16,
            requests: 8 * REQUESTS,
            ..one.clone()
        },
        Workload {
            key: "sixteen",
            title: "GET /, one at a time on each of 16 connections",
            connections: 16,
            requests: 8 * REQUESTS,
            syscalls_only: true,
            ..one.clone()
        },
        Workload {
            key: "data",
            title: "GET /data with its work, one at a time on one connection",
            request: get("/data"),
            requests: LONG_REQUESTS,
            floor: false,
            split: false,
            ..one.clone()
        },
        Workload {
            key: "echo",
            title: "POST /echo of 64 KiB, one at a time on one connection",
            request: echo(),
            requests: LONG_REQUESTS,
            floor: false,
            split: false,
            ..one
        },
    ]
}

/// The head that instructions are compared by: three fields, and nothing to say
/// that the connection stays open, as in HTTP/1.1 all do.
fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: pinloop\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

fn echo() -> Vec<u8> {
    let mut request =
        format!("POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {ECHO_BYTES}\r\n\r\n")
            .into_bytes();
    request.resize(request.len() + ECHO_BYTES, b'x');
    request
}
