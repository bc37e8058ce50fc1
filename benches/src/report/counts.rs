//! Exact counts: per request, from two runs.

use crate::results::{Counts, Tally, Twice, Workload};

/// Of calls a request that are less, nothing is said: they come of the clock.
const CALLS_MIN: f64 = 0.005;

/// What one request takes: what the second run counted beyond the first, over
/// the requests that it had beyond it.
pub fn per_request(count: Twice, requests: Twice) -> f64 {
    (count.1 as f64 - count.0 as f64) / (requests.1 as f64 - requests.0 as f64)
}

/// One contender in one workload, per request.
#[derive(Clone, Debug)]
pub struct Row {
    /// The contender's key.
    pub contender: String,
    /// In user space.
    pub instructions: Option<f64>,
    /// Calls that allocate.
    pub allocations: Option<f64>,
    /// Bytes asked for by these.
    pub allocated_bytes: Option<f64>,
    /// Bytes of answers.
    pub bytes_sent: Option<f64>,
    /// Returns from waiting for events.
    pub wakeups: Option<f64>,
    /// System calls by name, the most frequent first.
    pub syscalls: Option<Vec<(String, f64)>>,
}

/// Makes the figures of a workload, from the bottom of the ladder up.
pub fn rows(workload: &Workload) -> Vec<Row> {
    workload.tallies.iter().map(|tally| row(tally, workload.requests)).collect()
}

fn row(tally: &Tally, requests: Twice) -> Row {
    let each = |count: Option<Twice>| count.map(|count| per_request(count, requests));
    let syscalls = tally.syscalls.as_ref().map(|calls| {
        let calls = calls.iter().map(|(name, &count)| (name.clone(), per_request(count, requests)));
        let mut calls: Vec<(String, f64)> = calls.filter(|call| call.1 >= CALLS_MIN).collect();
        calls.sort_by(|one, other| other.1.total_cmp(&one.1));
        calls
    });
    let waits = |(name, _): &&(String, f64)| name.starts_with("epoll_") && name.contains("wait");
    Row {
        contender: tally.contender.clone(),
        instructions: each(tally.instructions),
        allocations: each(tally.allocations),
        allocated_bytes: each(tally.allocated_bytes),
        bytes_sent: each(tally.bytes_sent),
        wakeups: syscalls.as_ref().map(|calls| calls.iter().filter(waits).map(|call| call.1).sum()),
        syscalls,
    }
}

/// All workloads, for a terminal.
pub fn table(counts: &Counts) -> String {
    format!("{:#?}", counts.workloads.iter().map(rows).collect::<Vec<_>>())
}
