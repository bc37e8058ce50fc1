//! From the counts of slices to the figures of a table.

use std::collections::BTreeMap;

use crate::report::costs;
use crate::results::{Contender, Regime, Results, Sample};
use crate::stats::starts::{self, Costs};
use crate::stats::{self, Estimate, Interval, Verdict};
use crate::studies::ladder::{disturbance, skipped};

/// Fewer ticks say little about the share of user space: with 100, the error is up to 5 %.
const TICKS_MIN: u64 = 100;

/// Below it a rate counts as not reached: a comparison needs the same load for all.
const RATE_REACHED_MIN: f64 = 0.98;

/// A server that works for a smaller share of the time was not kept busy.
const BUSY_MIN: f64 = 0.8;

/// A generator that works for a larger share of the time is the limit.
const GENERATOR_BUSY: f64 = 0.9;

/// A server that waits for its CPU for a larger share of the time is kept off it.
const KEPT_OFF: f64 = 0.1;

/// All contenders in one regime.
#[derive(Clone, Debug)]
pub struct RegimeFigures {
    /// Key as in the results.
    pub key: String,
    /// For people.
    pub title: String,
    /// The same in a few words, for the middle of a sentence.
    pub brief: String,
    /// Number of starts that figures are made of.
    pub starts: usize,
    /// Costs of all servers with figures.
    pub costs: Costs,
    /// Requests that were due each second; none in a closed loop.
    pub rate_per_s: Option<f64>,
    /// Bytes of the response's body, in the regimes that differ in it only.
    pub response_bytes: Option<usize>,
    /// Ratio of the A/A pair.
    pub a_to_a: Option<Estimate>,
    /// Band of ratios that two equal servers may have.
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
    /// True if it is the second of the A/A pair.
    pub again: bool,
    /// The layer that it adds to the rung below, in a few words.
    pub adds: String,
    /// Figures, or the reason why they are missing.
    pub figures: Result<Figures, String>,
}

/// Figures of one contender in one regime.
#[derive(Clone, Debug)]
pub struct Figures {
    /// CPU time of the server per request, in ns.
    pub cpu_ns: f64,
    /// Share of it that was spent in user space; none with too few ticks.
    pub user_share: Option<f64>,
    /// CPU time in ratio to the reference. None for the reference itself and if the
    /// reference has failed.
    pub ratio: Option<Estimate>,
    /// Verdict on the ratio.
    pub verdict: Verdict,
    /// Cost that its layer adds to the rung below; none without figures of that rung.
    pub step: Option<Step>,
    /// Median of all slices.
    pub requests_per_s: f64,
    /// Median latency of a slice. Requests that were not sent in time count as slower
    /// than all others; none if it is one of these.
    pub p50_ns: Option<Estimate>,
    /// 99th percentile of a slice, likewise.
    pub p99_ns: Option<Estimate>,
    /// Latencies of all requests: upper bound in ns, and count.
    pub latencies: Vec<(u64, u64)>,
    /// Share of the time that the server's CPUs, as many as it has threads,
    /// were at work for it: median of all slices.
    pub busy: f64,
    /// Why it was not busy, if it was not and nothing but its answers was to limit it.
    pub stall: Option<Stall>,
    /// Share of its slices that the machine disturbed.
    pub disturbed: f64,
}

/// Why a server was not busy although requests were always due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stall {
    /// The load generator was at its limit.
    Generator,
    /// Something else ran on its CPU.
    KeptOff,
    /// It sleeps or waits for something else, with this many switches for each request.
    Sleeps(f64),
}

/// From one rung to the next.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// CPU time per request that is added, in ns.
    pub added_ns: Estimate,
    /// True if that is a difference.
    pub verdict: Verdict,
}

/// Makes the figures of all regimes.
pub fn of(results: &Results) -> Vec<RegimeFigures> {
    let mut regimes: Vec<RegimeFigures> =
        results.regimes.iter().map(|regime| of_regime(results, regime)).collect();
    drop_figures_without_work(results, &mut regimes);
    regimes
}

/// Replaces the figures of servers from outside that skip the work of `/data` by the reason.
fn drop_figures_without_work(results: &Results, regimes: &mut [RegimeFigures]) {
    let costs = |key: &str| regimes.iter().find(|of| of.key == key).map(|of| of.costs.clone());
    let (Some(without), Some(with)) = (costs("closed"), costs("data")) else { return };
    let is_outside = |key: &str| {
        results.contenders.iter().any(|of| of.key == *key && of.command.is_some())
    };
    let with_work = regimes.iter_mut().filter(|of| of.key == "data");
    for row in with_work.flat_map(|of| &mut of.rows).filter(|row| is_outside(&row.contender)) {
        let reason = skipped::reason(&without, &with, &results.reference, &row.contender);
        if let (Some(reason), Ok(_)) = (reason, &row.figures) {
            row.figures = Err(reason);
        }
    }
}

fn of_regime(results: &Results, regime: &Regime) -> RegimeFigures {
    let reference = &results.reference;
    let reference_variant =
        results.contenders.iter().find(|c| c.key == *reference).map(|c| &c.variant);
    let again =
        |key: &str, variant: &String| key != reference && Some(variant) == reference_variant;

    let costs = estimate(results, regime, &|sample| Some(costs::cpu_ns(sample)));
    let mut pair = results.contenders.iter().filter(|of| again(&of.key, &of.variant));
    let a_to_a = pair.next().and_then(|contender| costs.ratio(&contender.key, reference));
    let same_band = a_to_a.and_then(|ratio| ratio.interval).map(stats::same_band);

    let rows = results
        .contenders
        .iter()
        .filter_map(|contender| {
            let key = &contender.key;
            let failure = regime.failures.iter().find(|failure| failure.contender == *key);
            let figures = match failure {
                Some(failure) => Err(failure.reason.clone()),
                None => figures(results, regime, &costs, contender, same_band)?,
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
        starts: costs.starts(),
        costs,
        rate_per_s: regime.rate_per_s,
        response_bytes: regime.response_bytes,
        a_to_a,
        same_band,
        rows,
    }
}

/// Estimates what `of` says of each slice, for all servers.
pub fn estimate(results: &Results, regime: &Regime, of: &dyn Fn(&Sample) -> Option<f64>) -> Costs {
    let keys: Vec<&str> = results.contenders.iter().map(|of| of.key.as_str()).collect();
    costs::of(&keys, &results.reference, regime, of)
}

/// None if the contender has no part in this regime, and a sentence for people if
/// it has, and no figures.
fn figures(
    results: &Results,
    regime: &Regime,
    costs: &Costs,
    contender: &Contender,
    same_band: Option<Interval>,
) -> Option<Result<Figures, String>> {
    let key = &contender.key;
    let samples: Vec<&Sample> = regime
        .blocks
        .iter()
        .filter_map(|block| block.samples.iter().find(|sample| sample.contender == *key))
        .collect();
    let cpu = costs.cost(key)?;
    let reached = rate_reached(&samples);
    if reached < RATE_REACHED_MIN {
        return Some(Err(format!("it reached {:.0} % of the rate only", reached * 100.0)));
    }
    let median = |figure: &dyn Fn(&Sample) -> f64| {
        stats::median(&samples.iter().map(|sample| figure(sample)).collect::<Vec<_>>())
    };
    let cores = results.settings.server_cores.len().max(1) as f64;
    let ratio = (*key != results.reference).then(|| costs.ratio(key, &results.reference)).flatten();
    let busy = median(&|s| s.cpu_ns as f64 / s.elapsed_ns as f64 / cores);
    let is_limited = regime.rate_per_s.is_some();
    let percentile =
        |share| starts::level(&samples.iter().map(|of| percentile(of, share)).collect::<Vec<_>>());
    Some(Ok(Figures {
        cpu_ns: cpu.value,
        step: contender.base.as_ref().and_then(|base| step(costs, key, base, same_band)),
        user_share: user_share(&samples),
        ratio,
        verdict: ratio.map_or(Verdict::Unknown, |ratio| stats::verdict(ratio, same_band)),
        requests_per_s: median(&|s| s.requests as f64 / s.elapsed_ns as f64 * 1e9),
        p50_ns: percentile(0.50),
        p99_ns: percentile(0.99),
        latencies: latencies(&samples),
        busy,
        stall: (busy < BUSY_MIN && !is_limited).then(|| stall(results, &samples)),
        disturbed: disturbance::share(results, regime, key),
    }))
}

fn stall(results: &Results, samples: &[&Sample]) -> Stall {
    let sum = |part: &dyn Fn(&Sample) -> u64| samples.iter().map(|s| part(s)).sum::<u64>() as f64;
    let elapsed = sum(&|sample| sample.elapsed_ns);
    let cores = results.settings.server_cores.len().max(1) as f64;
    if sum(&|sample| sample.generator.busiest_ns()) / elapsed > GENERATOR_BUSY {
        Stall::Generator
    } else if sum(&|sample| sample.wait_ns) / elapsed / cores > KEPT_OFF {
        Stall::KeptOff
    } else {
        Stall::Sleeps(sum(&|sample| sample.voluntary_switches) / sum(&|sample| sample.requests))
    }
}

/// Returns a percentile of a slice in ns, infinite for a request that was not sent in time.
pub fn percentile(sample: &Sample, share: f64) -> f64 {
    let mut buckets: Vec<(u64, u64)> = sample.latency.buckets().collect();
    buckets.push((u64::MAX, sample.generator.unsent));
    match stats::percentile(&buckets, share) {
        None | Some(u64::MAX) => f64::INFINITY,
        Some(ns) => ns as f64,
    }
}

/// The share of the requests that were due that were sent in time; 1 in a closed
/// loop.
fn rate_reached(samples: &[&Sample]) -> f64 {
    let sum = |part: &dyn Fn(&Sample) -> u64| samples.iter().map(|s| part(s)).sum::<u64>() as f64;
    let requests = sum(&|sample| sample.requests);
    requests / (requests + sum(&|sample| sample.generator.unsent))
}

fn step(costs: &Costs, key: &str, base: &str, same_band: Option<Interval>) -> Option<Step> {
    let verdict = stats::verdict(costs.ratio(key, base)?, same_band);
    Some(Step { added_ns: costs.sum(&[(1.0, key), (-1.0, base)])?, verdict })
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
