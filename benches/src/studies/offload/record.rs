//! Short requests beside long ones.

use serde::{Deserialize, Serialize};

use crate::results::{Failure, Latency, Machines, Occasion, OnMachines};

/// The study `offload`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Offload {
    /// When, and with what; its path is that of the long requests.
    pub occasion: Occasion,
    /// Path of the short requests, with GET.
    pub short_path: String,
    /// Short requests per second, evenly spaced.
    pub short_rate: f64,
    /// Connections that share these.
    pub short_connections: usize,
    /// Length of one slice, in milliseconds.
    pub slice_ms: u64,
    /// Every contender with every size of work.
    pub points: Vec<OffloadPoint>,
    /// Contenders that got no figure, and why.
    pub failures: Vec<Failure>,
}

impl OnMachines for Offload {
    fn machines(&self) -> Option<&Machines> {
        Some(&self.occasion.machines)
    }
}

/// One server with one size of work.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct OffloadPoint {
    /// Key of the contender.
    pub contender: String,
    /// Rounds of the work function for each long request.
    pub work_rounds: u32,
    /// One for each block, in order.
    pub slices: Vec<OffloadSlice>,
}

/// Slices of one server in one block.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct OffloadSlice {
    /// Latency of the short requests alone.
    pub alone: Latency,
    /// Latency of the short requests beside a client that always waits for a long one.
    pub beside: Latency,
    /// Long requests answered meanwhile.
    pub beside_long_requests: u64,
    /// One client in a closed loop of long requests, and nothing else.
    pub long: LongSlice,
}

/// Long requests one after another.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct LongSlice {
    /// Answered.
    pub requests: u64,
    /// From the first request to the last answer.
    pub elapsed_ns: u64,
    /// CPU time of all threads of the server.
    pub cpu_ns: u64,
}
