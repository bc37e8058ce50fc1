//! The instructions of a server by their purpose, from their places in the source.

use std::collections::BTreeMap;

use crate::results::{Place, Workload};
use crate::studies::count::figures::per_request;

/// A part of the work, and the beginnings of the files, or file and function, that do it. Files
/// that have moved are listed at both places, so that older results still read.
struct Part {
    name: &'static str,
    files: &'static [&'static str],
}

/// A place belongs to the first part that has it; on the page they are in this
/// order, the last being all else.
const PARTS: &[Part] = &[
    Part { name: "copying", files: &["libc mem", "libc __mem"] },
    Part {
        name: "event loop and clock",
        files: &[
            "src/server/",
            "src/ops/metrics/",
            "src/metrics/",
            "mio/",
            "slab/",
            "libc clock_gettime",
            "libc __clock_gettime",
            "linux clock_gettime",
            "std/std/src/sys/",
            "std/std/src/time.rs",
        ],
    },
    Part { name: "libc's wrappers of system calls", files: &["libc "] },
    Part { name: "field lines (httparse)", files: &["httparse"] },
    Part {
        name: "request line, target, and host",
        files: &[
            "src/http/request_line.rs",
            "src/http/target.rs",
            "src/http/head/request_line.rs",
            "src/http/head/target.rs",
            "src/http/head/authority.rs",
            "src/http/head/scan.rs",
            "src/http/chars.rs",
            "std/core/src/str/",
        ],
    },
    Part {
        name: "framing checks",
        files: &["src/http/head/", "src/http/request.rs", "src/http/framing.rs", "src/http/body.rs"],
    },
    Part { name: "routing and service", files: &["src/app.rs"] },
    Part {
        name: "response head",
        files: &["src/http/response", "src/http/content.rs", "src/http/date.rs", "itoa/"],
    },
    Part { name: "states of the connection", files: &["src/http/", "pinloop "] },
    Part { name: "all else", files: &[""] },
];

/// A part with fewer instructions for a request is left out.
const INSTRUCTIONS_MIN: f64 = 0.5;

/// One part of the work, per request.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Purpose.
    pub name: &'static str,
    /// In user space.
    pub instructions: f64,
    /// The most expensive functions of it, with their files.
    pub functions: Vec<(String, f64)>,
}

/// The parts of what a contender's request takes, the largest first; empty where
/// it was not told.
pub fn of(workload: &Workload, contender: &str) -> Vec<Share> {
    let tally = workload.tallies.iter().find(|tally| tally.contender == contender);
    let places = tally.map(|tally| tally.places.as_slice()).unwrap_or_default();
    let mut shares: BTreeMap<usize, Share> = BTreeMap::new();
    for place in places {
        let at = part(place);
        let fresh = || Share { name: PARTS[at].name, instructions: 0.0, functions: Vec::new() };
        let share = shares.entry(at).or_insert_with(fresh);
        let instructions = per_request(place.instructions, workload.requests);
        share.instructions += instructions;
        share.functions.push((format!("{} {}", place.file, place.function), instructions));
    }
    let mut shares: Vec<Share> = shares.into_values().collect();
    for share in &mut shares {
        share.functions.sort_by(|one, other| other.1.total_cmp(&one.1));
    }
    // Work by the clock is next to nothing for one request.
    shares.retain(|share| share.instructions >= INSTRUCTIONS_MIN);
    shares.sort_by(|one, other| other.instructions.total_cmp(&one.instructions));
    shares
}

/// Each part, and the beginnings of the files that belong to it.
pub fn grouping() -> Vec<(&'static str, String)> {
    let parts = &PARTS[..PARTS.len() - 1];
    let files = |part: &Part| part.files.iter().map(|file| file.trim_end()).collect::<Vec<_>>();
    parts.iter().map(|part| (part.name, files(part).join(", "))).collect()
}

fn part(place: &Place) -> usize {
    let whole = format!("{} {}", place.file, place.function);
    let has = |part: &Part| part.files.iter().any(|file| whole.starts_with(file));
    PARTS.iter().position(has).unwrap_or(PARTS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Tally, Twice};

    fn place(file: &str, function: &str, each: u64) -> Place {
        let instructions = Twice(100 + 10 * each, 100 + 20 * each);
        Place { file: file.to_string(), function: function.to_string(), instructions }
    }

    #[test]
    fn places_are_put_together_by_what_they_are_for() {
        let places = vec![
            place("httparse/src/lib.rs", "parse", 137),
            place("httparse", "parse", 13),
            place("libc", "__memcpy_avx_unaligned_erms", 39),
            place("libc", "recv", 28),
            place("src/http/head/mod.rs", "parse", 84),
            place("src/http/connection.rs", "advance", 118),
            place("src/elsewhere.rs", "more", 1),
        ];
        let tally = Tally { contender: "pinloop".to_string(), places, ..Tally::default() };
        let workload =
            Workload { requests: Twice(10, 20), tallies: vec![tally], ..Workload::default() };
        let shares = of(&workload, "pinloop");
        let found: Vec<(&str, f64)> = shares.iter().map(|s| (s.name, s.instructions)).collect();
        assert_eq!(
            found,
            [
                ("field lines (httparse)", 150.0),
                ("states of the connection", 118.0),
                ("framing checks", 84.0),
                ("copying", 39.0),
                ("libc's wrappers of system calls", 28.0),
                ("all else", 1.0),
            ]
        );
        assert_eq!(shares[0].functions[0], ("httparse/src/lib.rs parse".to_string(), 137.0));
        assert!(of(&workload, "hyper").is_empty());
    }
}
