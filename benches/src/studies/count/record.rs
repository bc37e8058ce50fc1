//! Exact counts of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::results::{Failure, Machines, OnMachines};

/// The study `count`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Counts {
    /// Seconds since the Unix epoch at the start.
    pub started_unix_s: u64,
    /// True if all that was planned has been counted.
    pub complete: bool,
    /// Rounds of the work function for one `GET /data`.
    pub work_rounds: u32,
    /// Tools that could not be used.
    pub unavailable: Vec<Unavailable>,
    /// In the order counted.
    pub workloads: Vec<Workload>,
}

impl OnMachines for Counts {
    /// Exact counts are made on the measuring machine, wherever the servers of other studies run.
    fn machines(&self) -> Option<&Machines> {
        None
    }
}

/// A tool that could not be used.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Unavailable {
    /// Name of the missing counts, in a few words.
    pub counts: String,
    /// Why, and what to do about it: a sentence.
    pub reason: String,
}

/// One way to ask the servers. Each is started, asked and ended twice by each
/// tool, with another number of requests, so that what a start takes cancels.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Workload {
    /// Unique in this study.
    pub key: String,
    /// For people.
    pub title: String,
    /// Open connections.
    pub connections: usize,
    /// Requests under way on each connection.
    pub pipeline: usize,
    /// Answered in the two runs.
    pub requests: Twice,
    /// In the order of the ladder.
    pub tallies: Vec<Tally>,
    /// Contenders that something could not be counted of, and why.
    pub failures: Vec<Failure>,
}

/// Counts of one server, in each of the two runs from its start to its end.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Tally {
    /// Key of the contender.
    pub contender: String,
    /// Executed in user space by all threads.
    pub instructions: Option<Twice>,
    /// Calls that allocate memory or move it to a larger or smaller place.
    pub allocations: Option<Twice>,
    /// Asked for by these.
    pub allocated_bytes: Option<Twice>,
    /// Written to sockets.
    pub bytes_sent: Option<Twice>,
    /// By name; none if they were not counted.
    pub syscalls: Option<BTreeMap<String, Twice>>,
    /// Where in the source the instructions are, without those places that take
    /// none for a request; only of some contenders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
}

/// Instructions that come of one function of the source, wherever the compiler
/// put them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Place {
    /// Of this project, or with its crate's name in front: `httparse/src/lib.rs`;
    /// the library's name for what has no source.
    pub file: String,
    /// Without its path.
    pub function: String,
    /// Instructions in the two runs.
    pub instructions: Twice,
}

/// A count of a run, and of a second run with twice the number of requests.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Twice(pub u64, pub u64);
