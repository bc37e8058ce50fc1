//! What is asked of whom, and over how many connections.

use std::net::SocketAddr;
use std::num::NonZeroU64;

/// One request, and who gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub addr: SocketAddr,
    /// The bytes of one request, head and body, sent as they are.
    pub request: Vec<u8>,
    /// Whether the request's method is HEAD: its answers then have no body, whatever they say.
    pub method_is_head: bool,
}

/// How the requests are spread over connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many connections are kept open.
    pub connections: usize,
    /// How many requests are written at once on a connection; the next ones follow when all of
    /// them are answered, as wrk does it. Topping up earlier would let a server's way of writing
    /// decide how large the batches are that it gets.
    pub pipeline: usize,
    /// After how many answers a connection is closed and another one opened. `None`: never.
    pub requests_per_connection: Option<NonZeroU64>,
}

impl Default for Shape {
    /// 64 connections, one request at a time on each, kept open.
    fn default() -> Self {
        Self { connections: 64, pipeline: 1, requests_per_connection: None }
    }
}
