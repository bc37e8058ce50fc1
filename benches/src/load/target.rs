//! The server, the request, and the number of connections.

use std::net::SocketAddr;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::encoding;

/// One request, and the server that it is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Address of the server.
    pub addr: SocketAddr,
    /// The bytes of one request, head and body, sent as they are.
    #[serde(with = "encoding::bytes")]
    pub request: Vec<u8>,
    /// Set if the method is HEAD. Answers then have no body, whatever their head says.
    pub method_is_head: bool,
}

/// Distribution of the requests over connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Number of connections kept open.
    pub connections: usize,
    /// Number of requests written at once on a connection. The next ones follow when all of them
    /// are answered, as wrk does it. With earlier requests, a server's way of writing would decide
    /// about the size of the batches that it receives.
    pub pipeline: usize,
    /// Number of answers after which a connection is closed and another one opened. `None`: never.
    pub requests_per_connection: Option<NonZeroU64>,
}

impl Default for Shape {
    /// Returns 64 connections, kept open, with one request at a time on each.
    fn default() -> Self {
        Self { connections: 64, pipeline: 1, requests_per_connection: None }
    }
}
