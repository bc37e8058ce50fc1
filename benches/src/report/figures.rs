//! From the counts of slices to the figures of a table.

use std::collections::BTreeMap;

use super::stats::{self, Estimate, Interval, Verdict};
use crate::results::{Block, Regime, Results, Sample};

/// Fewer ticks say nothing about the share of user space: of 20, one is 5 %.
const TICKS_MIN: u64 = 20;

/// All contenders in one regime.
#[derive(Clone, Debug)]
pub struct RegimeFigures {
    /// As in results.
    pub key: String,
    /// For people.
    pub title: String,
    /// The same in a few words, for the middle of a sentence.
    pub brief: String,
    /// Blocks that figures are made of.
    pub blocks: usize,
    /// Ratio of the A/A pair.
    pub a_to_a: Option<Estimate>,
    /// Ratios that are no difference here.
    pub same_band: Option<Interval>,
    /// From the bottom of the ladder up.
    pub rows: Vec<Row>,
}

impl RegimeFigures {
    /// The figures of one contender, if it has any.
    pub fn of(&self, contender: &str) -> Option<&Figures> {
        self.rows.iter().find(|row| row.contender == contender)?.figures.as_ref().ok()
    }
}

/// One contender in one regime.
#[derive(Clone, Debug)]
pub struct Row {
    /// The contender's key.
    pub contender: String,
    /// Whether it is the second of the A/A pair.
    pub again: bool,
    /// The variant that it adds one layer to.
    pub base: Option<String>,
    /// That layer, in a few words.
    pub adds: String,
    /// Its figures, or why there are none.
    pub figures: Result<Figures, String>,
}

/// Figures of one contender in one regime.
#[derive(Clone, Debug)]
pub struct Figures {
    /// CPU time of the server per request, in ns: median of all blocks.
    pub cpu_ns: f64,
    /// Share of it that was spent in user space; none of too few ticks.
    pub user_share: Option<f64>,
    /// CPU time in ratio to the reference: median of the ratios within blocks.
    /// None for the reference itself and where it has failed.
    pub ratio: Option<Estimate>,
    /// What the ratio says.
    pub verdict: Verdict,
    /// Median of all blocks.
    pub requests_per_s: f64,
    /// Of all requests.
    pub p50_ns: Option<u64>,
    /// Of all requests.
    pub p99_ns: Option<u64>,
    /// Latencies of all requests: upper bound in ns, and count.
    pub latencies: Vec<(u64, u64)>,
    /// Share of the time that the server's CPUs, as many as it has threads,
    /// were at work for it: median of all blocks.
    pub busy: f64,
    /// Share of the time that the generator was at work: median of all blocks.
    pub generator_busy: f64,
}

/// Makes the figures of all regimes.
pub fn of(results: &Results) -> Vec<RegimeFigures> {
    results.regimes.iter().map(|regime| of_regime(results, regime)).collect()
}

fn of_regime(results: &Results, regime: &Regime) -> RegimeFigures {
    let reference = &results.reference;
    let reference_variant =
        results.contenders.iter().find(|c| c.key == *reference).map(|c| &c.variant);
    let again =
        |key: &str, variant: &String| key != reference && Some(variant) == reference_variant;

    let a_to_a = results
        .contenders
        .iter()
        .find(|contender| again(&contender.key, &contender.variant))
        .and_then(|contender| ratio(regime, &contender.key, reference));
    let same_band = a_to_a.and_then(|ratio| ratio.interval).map(stats::same_band);

    let rows = results
        .contenders
        .iter()
        .filter_map(|contender| {
            let key = &contender.key;
            let failure = regime.failures.iter().find(|failure| failure.contender == *key);
            let figures = match failure {
                Some(failure) => Err(failure.reason.clone()),
                None => Ok(figures(results, regime, key, same_band)?),
            };
            Some(Row {
                contender: key.clone(),
                again: again(key, &contender.variant),
                base: contender.base.clone(),
                adds: contender.adds.clone(),
                figures,
            })
        })
        .collect();
    RegimeFigures {
        key: regime.key.clone(),
        title: regime.title.clone(),
        brief: regime.brief.clone(),
        blocks: regime.blocks.len(),
        a_to_a,
        same_band,
        rows,
    }
}

/// None if the contender has no part in this regime.
fn figures(
    results: &Results,
    regime: &Regime,
    key: &str,
    same_band: Option<Interval>,
) -> Option<Figures> {
    let samples: Vec<&Sample> = samples(regime, key).flatten().collect();
    if samples.is_empty() {
        return None;
    }
    let median = |figure: &dyn Fn(&Sample) -> f64| {
        stats::median(&samples.iter().map(|sample| figure(sample)).collect::<Vec<_>>())
    };
    let server_cores = results.settings.server_cores.len().max(1) as f64;
    let ratio =
        (*key != results.reference).then(|| ratio(regime, key, &results.reference)).flatten();
    let latencies = latencies(&samples);
    Some(Figures {
        cpu_ns: median(&cpu_ns),
        user_share: user_share(&samples),
        ratio,
        verdict: ratio.map_or(Verdict::Unknown, |ratio| stats::verdict(ratio, same_band)),
        requests_per_s: median(&|s| s.requests as f64 / s.elapsed_ns as f64 * 1e9),
        p50_ns: stats::percentile(&latencies, 0.50),
        p99_ns: stats::percentile(&latencies, 0.99),
        latencies,
        busy: median(&|s| s.cpu_ns as f64 / s.elapsed_ns as f64 / server_cores),
        generator_busy: median(&|s| s.generator.cpu_ns as f64 / s.elapsed_ns as f64),
    })
}

/// CPU time per request of one contender in one block, in ns.
pub(super) fn cpu_ns_in(block: &Block, key: &str) -> Option<f64> {
    block.samples.iter().find(|sample| sample.contender == key).map(cpu_ns)
}

/// CPU time per request of one contender in ratio to another, over the blocks
/// that have both; none without such blocks.
fn ratio(regime: &Regime, key: &str, reference: &str) -> Option<Estimate> {
    let ratios: Vec<f64> = samples(regime, key)
        .zip(samples(regime, reference))
        .filter_map(|(one, other)| Some(cpu_ns(one?) / cpu_ns(other?)))
        .collect();
    (!ratios.is_empty()).then(|| stats::estimate(&ratios))
}

/// The contender's sample in each block.
fn samples<'a>(regime: &'a Regime, key: &'a str) -> impl Iterator<Item = Option<&'a Sample>> {
    regime.blocks.iter().map(move |b| b.samples.iter().find(|sample| sample.contender == key))
}

fn cpu_ns(sample: &Sample) -> f64 {
    sample.cpu_ns as f64 / sample.requests as f64
}

fn user_share(samples: &[&Sample]) -> Option<f64> {
    let user: u64 = samples.iter().map(|sample| sample.user_ticks).sum();
    let system: u64 = samples.iter().map(|sample| sample.system_ticks).sum();
    let all = user + system;
    (all >= TICKS_MIN).then(|| user as f64 / all as f64)
}

fn latencies(samples: &[&Sample]) -> Vec<(u64, u64)> {
    let mut buckets = BTreeMap::new();
    for sample in samples {
        for (upper, count) in sample.latency.buckets() {
            *buckets.entry(upper).or_insert(0) += count;
        }
    }
    buckets.into_iter().collect()
}
