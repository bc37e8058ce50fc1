//! From the slices of a regime to the costs of its servers.

use std::collections::BTreeMap;

use crate::results::{Regime, Sample};
use crate::stats::starts::Costs;

/// Estimates what `of` says of each slice, for the servers `keys`. Takes the blocks that
/// have a slice of every server without failure. Several blocks of one start count once,
/// with their geometric mean.
pub fn of(
    keys: &[&str],
    reference: &str,
    regime: &Regime,
    of: &dyn Fn(&Sample) -> Option<f64>,
) -> Costs {
    let samples = || regime.blocks.iter().flat_map(|block| &block.samples);
    let is_measured =
        |key: &&&str| !regime.has_failed(key) && samples().any(|sample| sample.contender == ***key);
    let keys: Vec<&str> = keys.iter().filter(is_measured).copied().collect();
    let mut starts: BTreeMap<u32, Vec<Vec<f64>>> = BTreeMap::new();
    for block in &regime.blocks {
        let log = |key: &&str| {
            let sample = block.samples.iter().find(|sample| sample.contender == **key)?;
            of(sample).map(f64::ln)
        };
        let logs: Option<Vec<f64>> = keys.iter().map(log).collect();
        logs.into_iter().for_each(|logs| starts.entry(block.start).or_default().push(logs));
    }
    let costs = keys.iter().enumerate().map(|(at, key)| {
        let mean = |blocks: &Vec<Vec<f64>>| {
            let sum: f64 = blocks.iter().map(|logs| logs[at]).sum();
            (sum / blocks.len() as f64).exp()
        };
        (key.to_string(), starts.values().map(mean).collect())
    });
    let costs: Vec<(String, Vec<f64>)> = costs.collect();
    // Without the reference the absolute costs are known all the same.
    let first = keys.first().copied().unwrap_or_default();
    Costs::of(&costs, reference).or_else(|| Costs::of(&costs, first)).unwrap_or_default()
}

/// Returns the CPU time of a server for one request, in ns.
pub fn cpu_ns(sample: &Sample) -> f64 {
    sample.cpu_ns as f64 / sample.requests as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Block;

    fn block(start: u32, costs: &[(&str, u64)]) -> Block {
        let sample = |&(key, cpu_ns): &(&str, u64)| Sample {
            contender: key.to_string(),
            requests: 1,
            cpu_ns,
            ..Sample::default()
        };
        Block { start, samples: costs.iter().map(sample).collect() }
    }

    #[test]
    fn blocks_of_one_start_count_once() {
        let blocks = (0..8).map(|at| block(at / 2, &[("a", 100), ("b", 100 + u64::from(at % 2))]));
        let regime = Regime { blocks: blocks.collect(), ..Regime::default() };
        let costs = of(&["a", "b", "absent"], "a", &regime, &|sample| Some(cpu_ns(sample)));
        assert_eq!(costs.starts(), 4);
        let ratio = costs.ratio("b", "a").unwrap();
        assert!((ratio.value - 1.01_f64.sqrt()).abs() < 1e-9, "{ratio:?}");
        assert!(costs.cost("absent").is_none());
    }

    #[test]
    fn a_block_that_lacks_a_server_is_left_out() {
        let blocks = vec![block(0, &[("a", 100), ("b", 120)]), block(1, &[("a", 100)])];
        let regime = Regime { blocks, ..Regime::default() };
        assert_eq!(of(&["a", "b"], "a", &regime, &|of| Some(cpu_ns(of))).starts(), 1);
    }
}
