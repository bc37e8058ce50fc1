//! Which slices say something of the server, and which of the machine.
//!
//! The rule looks at no result: a slice is disturbed if the hypervisor took the server's
//! CPU, or its threads waited for it, for more than [`SHARE_MAX`] of the slice beyond
//! what is usual for that server in that regime. No slice is dropped. The estimates trim
//! the extreme starts, and the report says how many slices were disturbed.

use crate::results::{Regime, Results, Sample};

/// Share of a slice: a disturbance of this size may move a figure by 5 %.
pub const SHARE_MAX: f64 = 0.05;

/// Returns the share of a server's slices that were disturbed; 0 without slices.
pub fn share(results: &Results, regime: &Regime, contender: &str) -> f64 {
    let samples = regime.blocks.iter().flat_map(|block| &block.samples);
    let own = samples.filter(|sample| sample.contender == contender);
    let lost: Vec<f64> = own.map(|sample| lost(results, sample)).collect();
    let usual = usual(&lost);
    let disturbed = lost.iter().filter(|&&lost| lost - usual > SHARE_MAX).count();
    disturbed as f64 / lost.len().max(1) as f64
}

/// The lowest tenth: a server's own threads wait for each other in every slice, and the
/// machine may disturb most of them.
fn usual(lost: &[f64]) -> f64 {
    let mut sorted = lost.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 10).copied().unwrap_or(0.0)
}

/// The share of a slice in which the server could have run on one of its CPUs, and
/// something else did.
pub fn lost(results: &Results, sample: &Sample) -> f64 {
    let ticks_per_s = results.machine.ticks_per_s.max(1) as f64;
    let stolen_s = sample.steal_ticks as f64 / ticks_per_s;
    let cores = results.settings.server_cores.len().max(1) as f64;
    (stolen_s + sample.wait_ns as f64 / 1e9) / cores / (sample.elapsed_ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Block;

    /// Ten blocks; the second server always waits for 20 %.
    fn results(disturbed: &[usize]) -> Results {
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
        let regime = Regime { blocks: blocks.collect(), ..Regime::default() };
        Results { regimes: vec![regime], ..Results::default() }
    }

    fn share_of(results: &Results, key: &str) -> f64 {
        share(results, &results.regimes[0], key)
    }

    #[test]
    fn disturbed_slices_are_counted() {
        assert_eq!(share_of(&results(&[2, 7]), "calm"), 0.2);
        assert_eq!(share_of(&results(&[1, 2, 3, 4, 5, 6, 7]), "calm"), 0.7);
        assert_eq!(share_of(&results(&[]), "nobody"), 0.0);
    }

    #[test]
    fn what_is_usual_for_a_server_is_no_disturbance() {
        assert_eq!(share_of(&results(&[]), "crowd"), 0.0);
    }

    #[test]
    fn a_stolen_tick_of_a_short_slice_is_a_disturbance() {
        let mut results = results(&[]);
        results.machine.ticks_per_s = 100;
        results.regimes[0].blocks[4].samples[0].steal_ticks = 1;
        assert_eq!(share_of(&results, "calm"), 0.1);
    }
}
