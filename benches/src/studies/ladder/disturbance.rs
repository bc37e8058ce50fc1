//! Which blocks say something of the servers, and which of the machine.
//!
//! The rule is the same for all and looks at no result: a block is dropped if in
//! one of its slices the hypervisor took the server's CPU, or its threads waited
//! for it, for more than [`SHARE_MAX`] of the slice beyond what is usual for that
//! contender in that regime. If that were more than half of a regime's blocks, or
//! left too few for an interval, none is dropped: then the machine is like this, and
//! its noise is in the intervals.

use crate::results::{Block, Regime, Results, Sample};
use crate::stats;

/// Of a slice: a disturbance of that size may move a figure by as much.
pub const SHARE_MAX: f64 = 0.05;

/// The blocks of a regime that figures are made of.
#[derive(Clone, Debug)]
pub struct Kept<'a> {
    /// In the order measured.
    pub blocks: Vec<&'a Block>,
    /// How many were dropped.
    pub dropped: usize,
    /// Whether so many were disturbed that none was dropped.
    pub none_spared: bool,
}

/// Sifts the blocks of a regime.
pub fn sift<'a>(results: &Results, regime: &'a Regime) -> Kept<'a> {
    let usual: Vec<(&str, f64)> = results
        .contenders
        .iter()
        .map(|contender| {
            let shares: Vec<f64> = regime
                .blocks
                .iter()
                .flat_map(|block| &block.samples)
                .filter(|sample| sample.contender == contender.key)
                .map(|sample| lost(results, sample))
                .collect();
            (contender.key.as_str(), stats::median(&shares))
        })
        .collect();
    let is_disturbed = |sample: &Sample| {
        let usual = usual.iter().find(|(key, _)| *key == sample.contender);
        usual.is_some_and(|(_, usual)| lost(results, sample) - usual > SHARE_MAX)
    };
    let blocks: Vec<&Block> =
        regime.blocks.iter().filter(|block| !block.samples.iter().any(is_disturbed)).collect();
    let dropped = regime.blocks.len() - blocks.len();
    let too_few = blocks.len() < stats::VALUES_MIN && dropped > 0;
    if too_few || dropped * 2 > regime.blocks.len() {
        return Kept { blocks: regime.blocks.iter().collect(), dropped: 0, none_spared: true };
    }
    Kept { blocks, dropped, none_spared: false }
}

/// The share of a slice in which the server could have run on one of its CPUs, and
/// something else did.
fn lost(results: &Results, sample: &Sample) -> f64 {
    let ticks_per_s = results.machine.ticks_per_s.max(1) as f64;
    let stolen_s = sample.steal_ticks as f64 / ticks_per_s;
    let cores = results.settings.server_cores.len().max(1) as f64;
    (stolen_s + sample.wait_ns as f64 / 1e9) / cores / (sample.elapsed_ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Contender;

    /// Two contenders in ten blocks; the second of them always waits for 20 %.
    fn results(disturbed: &[usize]) -> Results {
        let contender = |key: &str| Contender {
            key: key.to_string(),
            variant: key.to_string(),
            about: String::new(),
            base: None,
            adds: String::new(),
            command: None,
        };
        let sample = |key: &str, wait_ns| Sample {
            contender: key.to_string(),
            elapsed_ns: 100_000_000,
            wait_ns,
            ..Sample::default()
        };
        let blocks = (0..10).map(|at| {
            let more = if disturbed.contains(&at) { 6_000_000 } else { 0 };
            let samples = vec![sample("calm", more), sample("crowd", 20_000_000)];
            Block { samples, ..Block::default() }
        });
        Results {
            contenders: vec![contender("calm"), contender("crowd")],
            regimes: vec![Regime { blocks: blocks.collect(), ..Regime::default() }],
            ..Results::default()
        }
    }

    fn kept(results: &Results) -> (usize, usize, bool) {
        let kept = sift(results, &results.regimes[0]);
        (kept.blocks.len(), kept.dropped, kept.none_spared)
    }

    #[test]
    fn blocks_with_a_disturbed_slice_are_dropped_and_counted() {
        assert_eq!(kept(&results(&[2, 7])), (8, 2, false));
    }

    #[test]
    fn what_is_usual_for_a_contender_is_no_disturbance() {
        assert_eq!(kept(&results(&[])), (10, 0, false));
    }

    #[test]
    fn where_most_are_disturbed_none_is_dropped() {
        let mut stormy = results(&[]);
        for (at, block) in stormy.regimes[0].blocks.iter_mut().enumerate() {
            block.samples[at % 2].steal_ticks = u64::from(at < 6);
        }
        stormy.machine.ticks_per_s = 100;
        assert_eq!(kept(&stormy), (10, 0, true));
    }

    #[test]
    fn an_interval_is_worth_more_than_a_calm_block() {
        let mut few = results(&[0]);
        few.regimes[0].blocks.truncate(6);
        assert_eq!(kept(&few), (6, 0, true));
    }

    #[test]
    fn a_stolen_tick_of_a_short_slice_is_a_disturbance() {
        let mut results = results(&[]);
        results.machine.ticks_per_s = 100;
        results.regimes[0].blocks[4].samples[0].steal_ticks = 1;
        assert_eq!(kept(&results), (9, 1, false));
    }
}
