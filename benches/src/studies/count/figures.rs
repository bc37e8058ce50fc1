//! Exact counts: what one request takes, from two runs.

use crate::report::units::thousands;
use crate::results::{Counts, Results, Tally, Twice, Workload};

/// Rarer calls are left out: the clock makes them.
const CALLS_MIN: f64 = 0.005;

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

/// What one request takes: what the second run counted beyond the first, over
/// the requests that it had beyond it.
pub fn per_request(count: Twice, requests: Twice) -> f64 {
    (count.1 as f64 - count.0 as f64) / (requests.1 as f64 - requests.0 as f64)
}

/// The figures of a workload, from the bottom of the ladder up.
pub fn rows(workload: &Workload) -> Vec<Row> {
    workload.tallies.iter().map(|tally| row(tally, workload.requests)).collect()
}

/// Instructions for a request of the regime with this key, if a workload asks as
/// it does.
pub fn instructions(results: &Results, regime: &str, contender: &str) -> Option<f64> {
    let workload = match regime {
        "closed" => "one",
        "pipelined" | "data" | "echo" => regime,
        _ => return None,
    };
    let counts = results.studies.count.as_ref()?;
    let workload = counts.workloads.iter().find(|there| there.key == workload)?;
    let tally = workload.tallies.iter().find(|tally| tally.contender == contender)?;
    Some(per_request(tally.instructions?, workload.requests))
}

fn row(tally: &Tally, requests: Twice) -> Row {
    let each = |count: Option<Twice>| count.map(|count| per_request(count, requests));
    let syscalls = tally.syscalls.as_ref().map(|calls| {
        let calls = calls.iter().map(|(name, &count)| (name.clone(), per_request(count, requests)));
        let mut calls: Vec<(String, f64)> = calls.filter(|call| call.1 >= CALLS_MIN).collect();
        calls.sort_by(|one, other| other.1.total_cmp(&one.1));
        calls
    });
    let waits = |call: &&(String, f64)| call.0.starts_with("epoll_") && call.0.contains("wait");
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

/// A row in words, in the order of [`HEAD`].
pub fn words(row: &Row) -> [String; 7] {
    let whole =
        |count: Option<f64>| count.map_or("–".to_string(), |count| thousands(count.abs()));
    let part = |count: Option<f64>| count.map_or("–".to_string(), hundredths);
    let calls = row.syscalls.as_ref().map(|calls| {
        let calls = calls.iter().map(|(name, count)| format!("{name} {}", hundredths(*count)));
        calls.collect::<Vec<_>>().join(", ")
    });
    [
        row.contender.clone(),
        whole(row.instructions),
        part(row.allocations),
        whole(row.allocated_bytes),
        whole(row.bytes_sent),
        part(row.wakeups),
        calls.unwrap_or("–".to_string()),
    ]
}

/// Columns of [`words`].
pub const HEAD: [&str; 7] = [
    "",
    "instructions",
    "allocations",
    "bytes allocated",
    "bytes sent",
    "wake-ups",
    "system calls",
];

/// Returns a sentence for each count that is missing.
pub fn gaps(counts: &Counts) -> Vec<String> {
    let unavailable = counts.unavailable.iter();
    let mut gaps: Vec<String> =
        unavailable.map(|missing| format!("No {}: {}.", missing.counts, missing.reason)).collect();
    for workload in &counts.workloads {
        gaps.extend(workload.failures.iter().map(|failure| {
            format!("{}, {}: {}.", workload.title, failure.contender, failure.reason)
        }));
    }
    gaps
}

/// Without a sign where it is nought.
fn hundredths(count: f64) -> String {
    format!("{:.2}", (count * 100.0).round().abs() / 100.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::results::Records;

    #[test]
    fn what_both_runs_have_cancels() {
        let start = 668_144;
        let count = Twice(start + 2_000 * 352, start + 4_000 * 352);
        assert_eq!(per_request(count, Twice(2_000, 4_000)), 352.0);
        assert_eq!(per_request(Twice(47, 47), Twice(2_000, 4_000)), 0.0);
    }

    fn results() -> Results {
        let syscalls = [("read", 2_010, 4_010), ("epoll_wait", 130, 255), ("clone", 3, 3)];
        let tally = Tally {
            contender: "pinloop".to_string(),
            instructions: Some(Twice(3_000_000, 5_400_000)),
            allocations: Some(Twice(47, 46)),
            syscalls: Some(BTreeMap::from(
                syscalls.map(|(name, once, again)| (name.to_string(), Twice(once, again))),
            )),
            ..Tally::default()
        };
        let workload = Workload {
            key: "one".to_string(),
            requests: Twice(2_000, 4_000),
            tallies: vec![tally],
            ..Workload::default()
        };
        let counts = Counts { workloads: vec![workload], ..Counts::default() };
        let studies = Records { count: Some(counts), ..Records::default() };
        Results { studies, ..Results::default() }
    }

    #[test]
    fn a_row_has_what_a_request_takes() {
        let results = results();
        let rows = rows(&results.studies.count.as_ref().unwrap().workloads[0]);
        let calls = "read 1.00, epoll_wait 0.06";
        assert_eq!(words(&rows[0]), ["pinloop", "1,200", "0.00", "–", "–", "0.06", calls]);
        assert_eq!(rows[0].wakeups, Some(0.0625));
    }

    #[test]
    fn the_ladder_is_told_the_instructions_of_its_regimes() {
        let results = results();
        assert_eq!(instructions(&results, "closed", "pinloop"), Some(1200.0));
        assert_eq!(instructions(&results, "closed", "hyper"), None);
        assert_eq!(instructions(&results, "pipelined", "pinloop"), None);
        assert_eq!(instructions(&Results::default(), "closed", "pinloop"), None);
    }
}
