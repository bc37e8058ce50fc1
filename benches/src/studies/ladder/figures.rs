//! From the counts of slices to the figures of a table.

use std::collections::BTreeMap;

use crate::results::{Block, Contender, Regime, Results, Sample};
use crate::stats;
use crate::stats::{Estimate, Interval, Verdict};
use crate::studies::ladder::disturbance;
use crate::studies::ladder::disturbance::Kept;

/// Fewer ticks say nothing about the share of user space: of 20, one is 5 %.
const TICKS_MIN: u64 = 20;

/// Below it a rate counts as not reached: another load than the others had is no
/// ground for a comparison.
const RATE_REACHED_MIN: f64 = 0.98;

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
    /// Blocks that were dropped: see [`disturbance`].
    pub dropped: usize,
    /// Whether so many blocks were disturbed that none was dropped.
    pub none_spared: bool,
    /// Requests that were due each second; none in a closed loop.
    pub rate_per_s: Option<f64>,
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
    /// The layer that it adds to the rung below, in a few words.
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
    /// What its layer adds to the rung below; none where that has no figures here.
    pub step: Option<Step>,
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
}

/// From one rung to the next, taken within blocks.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// CPU time per request that is added, in ns.
    pub added_ns: f64,
    /// Whether that is a difference.
    pub verdict: Verdict,
}

/// Makes the figures of all regimes.
pub fn of(results: &Results) -> Vec<RegimeFigures> {
    results.regimes.iter().map(|regime| of_regime(results, regime)).collect()
}

fn of_regime(results: &Results, regime: &Regime) -> RegimeFigures {
    let kept = disturbance::sift(results, regime);
    let reference = &results.reference;
    let reference_variant =
        results.contenders.iter().find(|c| c.key == *reference).map(|c| &c.variant);
    let again =
        |key: &str, variant: &String| key != reference && Some(variant) == reference_variant;

    let a_to_a = results
        .contenders
        .iter()
        .find(|contender| again(&contender.key, &contender.variant))
        .and_then(|contender| ratio(&kept, &contender.key, reference));
    let same_band = a_to_a.and_then(|ratio| ratio.interval).map(stats::same_band);

    let rows = results
        .contenders
        .iter()
        .filter_map(|contender| {
            let key = &contender.key;
            let failure = regime.failures.iter().find(|failure| failure.contender == *key);
            let figures = match failure {
                Some(failure) => Err(failure.reason.clone()),
                None => figures(results, &kept, contender, same_band)?,
            };
            Some(Row {
                contender: key.clone(),
                again: again(key, &contender.variant),
                adds: contender.adds.clone(),
                figures,
            })
        })
        .collect();
    RegimeFigures {
        key: regime.key.clone(),
        title: regime.title.clone(),
        brief: regime.brief.clone(),
        blocks: kept.blocks.len(),
        dropped: kept.dropped,
        none_spared: kept.none_spared,
        rate_per_s: regime.rate_per_s,
        a_to_a,
        same_band,
        rows,
    }
}

/// None if the contender has no part in this regime, and a sentence for people if
/// it has, and no figures.
fn figures(
    results: &Results,
    kept: &Kept<'_>,
    contender: &Contender,
    same_band: Option<Interval>,
) -> Option<Result<Figures, String>> {
    let key = &contender.key;
    let samples: Vec<&Sample> = samples(kept, key).flatten().collect();
    if samples.is_empty() {
        return None;
    }
    let reached = rate_reached(&samples);
    if reached < RATE_REACHED_MIN {
        return Some(Err(format!("it reached {:.0} % of the rate only", reached * 100.0)));
    }
    let median = |figure: &dyn Fn(&Sample) -> f64| {
        stats::median(&samples.iter().map(|sample| figure(sample)).collect::<Vec<_>>())
    };
    let server_cores = results.settings.server_cores.len().max(1) as f64;
    let ratio = (*key != results.reference).then(|| ratio(kept, key, &results.reference)).flatten();
    let latencies = latencies(&samples);
    let step = contender.base.as_ref().and_then(|base| step(kept, key, base, same_band));
    Some(Ok(Figures {
        cpu_ns: median(&cpu_ns),
        step,
        user_share: user_share(&samples),
        ratio,
        verdict: ratio.map_or(Verdict::Unknown, |ratio| stats::verdict(ratio, same_band)),
        requests_per_s: median(&|s| s.requests as f64 / s.elapsed_ns as f64 * 1e9),
        p50_ns: stats::percentile(&latencies, 0.50),
        p99_ns: stats::percentile(&latencies, 0.99),
        latencies,
        busy: median(&|s| s.cpu_ns as f64 / s.elapsed_ns as f64 / server_cores),
    }))
}

/// The share of the requests that were due that were sent in time; 1 in a closed
/// loop.
fn rate_reached(samples: &[&Sample]) -> f64 {
    let sum = |part: &dyn Fn(&Sample) -> u64| samples.iter().map(|s| part(s)).sum::<u64>() as f64;
    let requests = sum(&|sample| sample.requests);
    requests / (requests + sum(&|sample| sample.generator.unsent))
}

/// CPU time per request of one contender in one block, in ns.
pub(crate) fn cpu_ns_in(block: &Block, key: &str) -> Option<f64> {
    block.samples.iter().find(|sample| sample.contender == key).map(cpu_ns)
}

/// CPU time per request of one contender in ratio to another, over the blocks
/// that have both; none without such blocks.
fn ratio(kept: &Kept<'_>, key: &str, reference: &str) -> Option<Estimate> {
    let clusters =
        by_pass(kept, |block| Some(cpu_ns_in(block, key)? / cpu_ns_in(block, reference)?));
    (!clusters.is_empty()).then(|| stats::estimate_in(&clusters))
}

fn step(kept: &Kept<'_>, key: &str, base: &str, same_band: Option<Interval>) -> Option<Step> {
    let ratio = ratio(kept, key, base)?;
    let of_base: Vec<f64> = samples(kept, base).flatten().map(cpu_ns).collect();
    let verdict = stats::verdict(ratio, same_band);
    Some(Step { added_ns: (ratio.value - 1.0) * stats::median(&of_base), verdict })
}

/// What `of` makes of each block that it can, those of one start of the servers
/// together.
pub(crate) fn by_pass<T>(kept: &Kept<'_>, of: impl Fn(&Block) -> Option<T>) -> Vec<Vec<T>> {
    let mut passes: BTreeMap<u32, Vec<T>> = BTreeMap::new();
    for block in &kept.blocks {
        if let Some(value) = of(block) {
            passes.entry(block.pass).or_default().push(value);
        }
    }
    passes.into_values().collect()
}

/// The contender's sample in each block.
fn samples<'a>(kept: &Kept<'a>, key: &str) -> impl Iterator<Item = Option<&'a Sample>> {
    kept.blocks.iter().map(move |b| b.samples.iter().find(|sample| sample.contender == key))
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
