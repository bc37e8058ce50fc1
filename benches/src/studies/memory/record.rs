//! Memory of an idle connection.

use serde::{Deserialize, Serialize};

use crate::results::{Failure, Machines, OnMachines};

/// The study `memory`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Memory {
    /// Seconds since the Unix epoch at the start.
    pub started_unix_s: u64,
    /// True if all that was planned has been measured.
    pub complete: bool,
    /// Other machines of the study.
    #[serde(flatten)]
    pub machines: Machines,
    /// Connections that were asked for, at most.
    pub connections_wanted: usize,
    /// Of the server and of the generator each: why there may have been fewer
    /// connections.
    pub descriptors_max: u64,
    /// The kernel's caches that are counted, of those that this one has; empty
    /// where it does not tell.
    pub caches: Vec<String>,
    /// In the order of the ladder.
    pub climbs: Vec<Climb>,
    /// Contenders that got no figure, and why.
    pub failures: Vec<Failure>,
}

impl OnMachines for Memory {
    fn machines(&self) -> Option<&Machines> {
        Some(&self.machines)
    }
}

/// One server with more and more connections.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Climb {
    /// Key of the contender.
    pub contender: String,
    /// Ascending; the first has no connection.
    pub levels: Vec<Level>,
}

/// Memory when all connections have served requests and are idle.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Level {
    /// Open.
    pub connections: u64,
    /// Resident memory of the server.
    pub rss_bytes: u64,
    /// Kernel memory for both ends: objects in use in the caches.
    pub kernel_bytes: Option<u64>,
}
