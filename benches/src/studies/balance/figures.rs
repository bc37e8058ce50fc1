//! From the starts of each load to throughput, latency, and the share of the busiest core.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Balance, BalanceLoad, BalanceSample};
use crate::report::units::{cpus_count, latency, latency_in_short, thousands};
use crate::results::{Latency, Results};
use crate::stats::{Estimate, Interval, bins, paired, percentile_of_sums};

/// A figure to compare servers by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Answers per second in a closed loop, in the mean of the starts.
    Throughput,
    /// A percentile of the latency at the fixed rate, of all requests of all starts; in ns.
    Latency(Percentile),
}

/// A percentile of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentile {
    /// Share of the requests that are not slower, in thousandths.
    pub thousandths: u32,
    /// True to look at the light requests only, in a mixed load.
    pub light: bool,
}

/// The percentile that servers are compared by.
pub const P99: Percentile = Percentile { thousandths: 990, light: true };

/// Percentiles of the table.
pub const PERCENTILES: [Percentile; 4] = [
    Percentile { thousandths: 500, light: false },
    Percentile { thousandths: 990, light: false },
    Percentile { thousandths: 999, light: false },
    P99,
];

/// One server under one load.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Answers per second in a closed loop.
    pub throughput: Estimate,
    /// Latencies at the fixed rate in ns, as [`PERCENTILES`]; none if too many requests could not
    /// be sent in time.
    pub latency_ns: [Option<Estimate>; 4],
    /// Share of the busiest thread in the CPU time of the server at the fixed rate.
    pub busiest_cpu: Estimate,
    /// Share of the connections of the busiest event loop; none if the kernel did not tell.
    pub busiest_connections: Option<f64>,
    /// Number of event loops that shared the connections; none if the kernel did not tell.
    pub loops: Option<usize>,
}

/// Returns the servers of a load, from the bottom of the ladder up.
pub fn servers<'a>(results: &'a Results, balance: &Balance, load: &BalanceLoad) -> Vec<&'a str> {
    let has = |key: &&str| {
        let is_in = |start: &Vec<BalanceSample>| start.iter().any(|of| of.contender == **key);
        load.starts.iter().any(is_in) && balance.failures.iter().all(|of| of.contender != **key)
    };
    results.contenders.iter().map(|of| of.key.as_str()).filter(has).collect()
}

/// Returns the figures of a server; none without a start.
pub fn figures(load: &BalanceLoad, cores: usize, key: &str) -> Option<Figures> {
    let samples = samples(load, key);
    let throughput = value(load, key, Metric::Throughput)?;
    let latency_ns = PERCENTILES.map(|of| value(load, key, Metric::Latency(of)));
    let spread: Vec<(f64, usize)> = samples.iter().filter_map(|of| spread(of, cores)).collect();
    let shares: f64 = spread.iter().map(|(share, _)| share).sum();
    Some(Figures {
        throughput,
        latency_ns,
        busiest_cpu: busiest_cpu(load, key)?,
        busiest_connections: (!spread.is_empty()).then(|| shares / spread.len() as f64),
        loops: spread.iter().map(|(_, loops)| *loops).max(),
    })
}

/// Estimates the share of the busiest thread in the CPU time of a server at the fixed rate.
pub fn busiest_cpu(load: &BalanceLoad, key: &str) -> Option<Estimate> {
    let share = |sample: &&BalanceSample| {
        sample.paced.cpu_ns_max as f64 / sample.paced.cpu_ns.max(1) as f64
    };
    let shares = Prepared::Values(samples(load, key).iter().map(share).collect());
    paired::estimate(shares.starts(), |starts| shares.over(starts)).map(within_all)
}

/// An interval of logarithms may reach beyond the whole.
fn within_all(share: Estimate) -> Estimate {
    let within = |of: Interval| Interval { low: of.low.min(1.0), high: of.high.min(1.0) };
    Estimate { value: share.value, interval: share.interval.map(within) }
}

/// The busiest loop's share of the connections, and the number of loops.
fn spread(sample: &BalanceSample, cores: usize) -> Option<(f64, usize)> {
    let all: usize = sample.loops.iter().map(|of| of.connections).sum();
    let most = sample.loops.iter().map(|of| of.connections).max()?;
    // A server whose threads share one instance of epoll has no loops to tell apart.
    let is_shared = sample.loops.len() == 1 && sample.loops[0].core.is_none() && cores > 1;
    (all > 0 && !is_shared).then(|| (most as f64 / all as f64, sample.loops.len()))
}

/// Estimates a figure of one server.
pub fn value(load: &BalanceLoad, key: &str, metric: Metric) -> Option<Estimate> {
    let of = Prepared::of(&samples(load, key), metric);
    paired::estimate(of.starts(), |starts| of.over(starts))
}

/// Estimates a figure of `above` in ratio to that of `below`, over the starts that have both.
pub fn ratio(load: &BalanceLoad, above: &str, below: &str, metric: Metric) -> Option<Estimate> {
    let of = |key: &str, start: &[BalanceSample]| {
        start.iter().position(|sample| sample.contender == key)
    };
    let both = load.starts.iter().filter_map(|start| {
        let (above, below) = (of(above, start)?, of(below, start)?);
        Some((&start[above], &start[below]))
    });
    let (above, below): (Vec<_>, Vec<_>) = both.unzip();
    let [above, below] = [above, below].map(|samples| Prepared::of(&samples, metric));
    paired::estimate(above.starts(), |starts| Some(above.over(starts)? / below.over(starts)?))
}

/// Estimates the geometric mean of a ratio over all loads. None if one of the loads lacks the ratio.
/// The loads have starts of their own, so that their errors are independent.
pub fn pooled(balance: &Balance, above: &str, below: &str, metric: Metric) -> Option<Estimate> {
    let ratios: Option<Vec<Estimate>> =
        balance.loads.iter().map(|load| ratio(load, above, below, metric)).collect();
    let ratios = ratios.filter(|ratios| !ratios.is_empty())?;
    let count = ratios.len() as f64;
    let value = (ratios.iter().map(|of| of.value.ln()).sum::<f64>() / count).exp();
    let intervals: Option<Vec<(f64, Interval)>> =
        ratios.iter().map(|of| Some((of.value, of.interval?))).collect();
    let interval = intervals.map(|of| {
        let error = |bound: &dyn Fn(&Interval) -> f64| {
            let logs = of.iter().map(|(value, interval)| (bound(interval) / value).ln());
            (logs.map(|log| log * log).sum::<f64>().sqrt() / count).exp()
        };
        Interval { low: value / error(&|of| of.low), high: value * error(&|of| of.high) }
    });
    Some(Estimate { value, interval })
}

fn samples<'a>(load: &'a BalanceLoad, key: &str) -> Vec<&'a BalanceSample> {
    load.starts.iter().flatten().filter(|sample| sample.contender == key).collect()
}

/// The input of a figure from each start, so that hundreds of draws of starts take no time.
enum Prepared {
    /// Values of which the figure is the mean.
    Values(Vec<f64>),
    /// Counts of requests up to the upper bound of each bucket, in ns; the last bucket has no bound.
    Counts { uppers: Vec<u64>, up_to: Vec<Vec<u64>>, share: f64 },
}

impl Prepared {
    fn of(samples: &[&BalanceSample], metric: Metric) -> Self {
        let Metric::Latency(percentile) = metric else {
            let rate = |sample: &&BalanceSample| {
                let slice = &sample.saturated;
                slice.requests as f64 / slice.elapsed_ns.max(1) as f64 * 1e9
            };
            return Self::Values(samples.iter().map(rate).collect());
        };
        let all: Vec<BTreeMap<u64, u64>> =
            samples.iter().map(|sample| percentile.buckets(sample)).collect();
        let uppers: BTreeSet<u64> = all.iter().flat_map(|of| of.keys().copied()).collect();
        let sums = |of: &BTreeMap<u64, u64>| {
            let mut sum = 0;
            let mut up_to = |upper| {
                sum += of.get(upper).copied().unwrap_or(0);
                sum
            };
            uppers.iter().map(&mut up_to).collect()
        };
        let up_to = all.iter().map(sums).collect();
        let share = f64::from(percentile.thousandths) / 1000.0;
        Self::Counts { uppers: uppers.into_iter().collect(), up_to, share }
    }

    fn starts(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Counts { up_to, .. } => up_to.len(),
        }
    }

    /// The figure over some starts; none if it is not known.
    fn over(&self, starts: &[usize]) -> Option<f64> {
        match self {
            Self::Values(values) => {
                let sum: f64 = starts.iter().map(|&at| values[at]).sum();
                Some(sum / starts.len().max(1) as f64)
            }
            Self::Counts { uppers, up_to, share } => {
                let found = percentile_of_sums(uppers, *share, |bucket| {
                    starts.iter().map(|&at| up_to[at][bucket]).sum()
                });
                found.filter(|upper| *upper < u64::MAX).map(|upper| upper as f64)
            }
        }
    }
}

impl Percentile {
    /// Counts by upper bound in ns. Requests that were not sent in time are slower than all others;
    /// the light ones are the same share of these as of all.
    fn buckets(self, sample: &BalanceSample) -> BTreeMap<u64, u64> {
        let is_mixed = sample.light.buckets().next().is_some();
        let latency: &Latency = match self.light && is_mixed {
            true => &sample.light,
            false => &sample.latency,
        };
        let mut buckets: BTreeMap<u64, u64> = latency.buckets().collect();
        let all: u64 = sample.latency.buckets().map(|(_, count)| count).sum();
        let these: u64 = buckets.values().sum();
        let unsent = sample.paced.unsent as f64 * these as f64 / all.max(1) as f64;
        buckets.insert(u64::MAX, unsent.round() as u64);
        buckets
    }
}

/// Returns the share of the busiest core if connections pick their cores at random.
pub fn expected_share(balance: &Balance, load: &BalanceLoad) -> f64 {
    bins::fullest_share(load.connections, balance.occasion.server_cores.len())
}

/// Names a load in a few words, for the middle of a sentence.
pub fn name(balance: &Balance, load: &BalanceLoad) -> String {
    let per_core = load.connections as f64 / balance.occasion.server_cores.len().max(1) as f64;
    let connections = match per_core {
        1.0 => "1 connection for each core".to_string(),
        _ => format!("{per_core} connections for each core"),
    };
    match load.heavy_ns {
        None => format!("{connections}, light requests"),
        Some(ns) => format!(
            "{connections}, 1 of {} requests with {} of work",
            balance.heavy_one_in,
            latency_in_short(ns as f64)
        ),
    }
}

/// Columns of [`cells`], after the server's name.
pub const HEAD: [&str; 9] = [
    "",
    "requests/s, closed loop",
    "in ratio",
    "p50 at the fixed rate",
    "p99",
    "p99.9",
    "p99 of the light ones",
    "CPU time of the busiest core",
    "its connections",
];

/// Column of [`HEAD`] that only a mixed load has.
pub const LIGHT: usize = 6;

/// Formats a figure and its interval; a figure that is not known is a dash.
pub fn known(estimate: Option<Estimate>, text: &dyn Fn(f64) -> String) -> (String, String) {
    let Some(Estimate { value, interval }) = estimate else {
        return ("–".to_string(), String::new());
    };
    let bounds = |Interval { low, high }| format!("{}–{}", text(low), text(high));
    (text(value), interval.map_or(String::new(), bounds))
}

/// Formats one server under one load: values, each with its interval.
pub fn cells(figures: &Figures, ratio: Option<Estimate>) -> Vec<(String, String)> {
    let in_time = |ns: f64| latency(ns as u64);
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let mut cells = vec![
        known(Some(figures.throughput), &thousands),
        known(ratio, &|ratio| format!("{ratio:.2}")),
    ];
    cells.extend(figures.latency_ns.iter().map(|of| known(*of, &in_time)));
    cells.push(known(Some(figures.busiest_cpu), &percent));
    let share = figures.busiest_connections.map_or("one queue".to_string(), percent);
    cells.push((share, String::new()));
    cells
}

/// Server that gets each connection on the CPU that received it.
const STEERED: &str = "pinloop_steered";

fn has(balance: &Balance, key: &str) -> bool {
    balance.loads.iter().flat_map(|load| &load.starts).flatten().any(|of| of.contender == key)
}

/// Returns the servers without figures, with the reasons.
pub fn failures(balance: &Balance) -> Vec<String> {
    let said = |of: &crate::results::Failure| {
        format!("{} has no figures: {}.", of.contender, of.reason.trim_end_matches('.'))
    };
    balance.failures.iter().map(said).collect()
}

/// Returns notes on the method.
pub fn notes(balance: &Balance) -> Vec<String> {
    let starts = balance.loads.iter().map(|load| load.starts.len()).min().unwrap_or(0);
    let cores = balance.occasion.server_cores.len();
    let mut notes = vec![format!(
        "{starts} starts of fresh processes on {}, because each start spreads the connections anew. \
         In each start a server has a slice of {} ms in a closed loop, and one at a fixed rate: half \
         of what the server in the middle answered in the closed loop of the first start. \
         Percentiles are of all requests of all starts. Intervals are 95 %, from whole starts drawn \
         anew, the same for both servers of a ratio. Seed {}.",
        cpus_count(cores),
        balance.slice_ms,
        balance.occasion.seed,
    )];
    notes.push(format!(
        "Light requests are GET {}, heavy ones GET {}; each connection sends them in a random order \
         of its own. One round of the work function takes {:.0} ns of CPU time here. Requests that \
         could not be sent in time count as slower than all others.",
        balance.occasion.path, balance.heavy_path, balance.round_ns,
    ));
    if balance.shares_a_core() {
        notes.push(
            "The load generators have no CPUs of their own and run on the servers': with light \
             requests they take about half of the time of each CPU, and a heavy request keeps the \
             generator on its CPU waiting. This raises all latencies, and more so with one thread \
             for each core, which cannot leave a busy CPU."
                .to_string(),
        );
    }
    if balance.occasion.machines.remote.is_none() && has(balance, STEERED) {
        notes.push(format!(
            "{STEERED} gets each connection on the CPU that received it. On loopback that is the CPU of \
             the client: both ends of a connection then share a CPU and its caches, and the \
             generator's threads deal the connections evenly. Behind a network card it is the CPU of \
             the queue, chosen by a hash."
        ));
    }
    notes.extend(crate::report::occasion::interrupted(&balance.occasion));
    notes
}
