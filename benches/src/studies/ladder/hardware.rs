//! Cycles and instructions for one request, as the CPU counts them.

use super::figures::RegimeFigures;
use crate::report::costs;
use crate::report::section::{Cell, Table};
use crate::report::units::thousands;
use crate::results::{CounterAccess, HardwareCounts, HardwareEvents, Results, Sample};
use crate::stats::Estimate;
use crate::stats::starts::Costs;

/// Returns one of the counts of a slice.
type Part = fn(&HardwareCounts) -> Option<u64>;

/// The columns of the table.
const PARTS: [(&str, Part); 4] = [
    ("instructions in user space", |of| of.user.map(instructions)),
    ("instructions in the kernel", |of| of.kernel.map(instructions)),
    ("cycles in user space", |of| of.user.map(cycles)),
    ("cycles in the kernel", |of| of.kernel.map(cycles)),
];

/// Makes the table of a regime; none if nothing was counted.
pub(crate) fn table(results: &Results, figures: &RegimeFigures) -> Option<Table> {
    let estimates = PARTS.map(|(_, part)| estimate(results, figures, part));
    let names: Vec<&str> = std::iter::once("for each request").chain(PARTS.map(|of| of.0)).collect();
    let mut table = Table::new("Hardware counters", &names);
    for row in figures.rows.iter().filter(|row| row.figures.is_ok()) {
        let costs = estimates.each_ref().map(|of| of.cost(&row.contender));
        if costs.iter().any(Option::is_some) {
            let name = std::iter::once(Cell::plain(&row.contender));
            table.cells(name.chain(costs.map(cell)));
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// Estimates a count for the servers that have it.
fn estimate(results: &Results, figures: &RegimeFigures, part: Part) -> Costs {
    let Some(regime) = results.regimes.iter().find(|of| of.key == figures.key) else {
        return Costs::default();
    };
    let each = |sample: &Sample| {
        let counts = sample.hardware.as_ref().filter(|counts| counts.requests > 0)?;
        let events = part(counts).filter(|&events| events > 0)?;
        Some(events as f64 / counts.requests as f64)
    };
    let samples = || regime.blocks.iter().flat_map(|block| &block.samples);
    let has_counts =
        |key: &&str| samples().any(|of| of.contender == **key && each(of).is_some());
    let keys = results.contenders.iter().map(|of| of.key.as_str()).filter(has_counts);
    costs::of(&keys.collect::<Vec<_>>(), &results.reference, regime, &each)
}

fn cell(cost: Option<Estimate>) -> Cell {
    let Some(Estimate { value, interval }) = cost else { return Cell::plain("–") };
    let bounds = interval.map(|of| [of.low, of.high].map(thousands).join("–"));
    Cell::with(thousands(value), bounds.unwrap_or_default())
}

/// Tells how events were counted, or why they were not; none for a file of an older version.
pub(crate) fn method(access: Option<&CounterAccess>) -> Option<String> {
    let CounterAccess { user_refused, kernel_refused } = access?;
    let (space, reason) = match (user_refused, kernel_refused) {
        (None, None) => return Some(COUNTED.to_string()),
        (Some(one), Some(other)) if one == other => ("", one),
        (Some(one), _) => (" in user space", one),
        (None, Some(other)) => (" in the kernel", other),
    };
    Some(format!("The CPU's counters of cycles and instructions{space} are not used: {reason}."))
}

const COUNTED: &str = "Behind each slice the same load goes on for 25 ms, in which the CPU counts \
    cycles and instructions of all threads of the server. This is apart from the slice because \
    counters make each context switch take longer.";

fn cycles(events: HardwareEvents) -> u64 {
    events.cycles
}

fn instructions(events: HardwareEvents) -> u64 {
    events.instructions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_that_the_kernel_gave_is_said() {
        let refused = |user: Option<&str>, kernel: Option<&str>| {
            let [user_refused, kernel_refused] = [user, kernel].map(|of| of.map(String::from));
            method(Some(&CounterAccess { user_refused, kernel_refused })).unwrap()
        };
        assert_eq!(method(None), None);
        let none = Some("there are none");
        assert!(refused(none, none).ends_with("instructions are not used: there are none."));
        assert!(refused(None, none).contains("instructions in the kernel are not used"));
        assert!(refused(None, None).starts_with("Behind each slice"));
    }
}
