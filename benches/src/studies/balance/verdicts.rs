//! Which server wins under which load, in sentences that claim no more than the intervals do.

use super::figures::{Metric, P99, name, ratio, servers, value};
use super::record::{Balance, BalanceLoad};
use crate::results::Results;
use crate::stats::{EQUAL_WITHIN, Estimate, Interval, Verdict, verdict};

/// Servers that differ in the sharing of work only: the first shares it.
pub const TWINS: [&str; 2] = ["hyper_work_stealing", "hyper_per_core"];

/// Comparisons beside that of the twins.
const PAIRS: [[&str; 2]; 3] = [
    ["hyper_work_stealing", "pinloop"],
    ["hyper_work_stealing", "pinloop_balanced"],
    ["pinloop_balanced", "pinloop"],
];

/// Returns the answer: loads in which work stealing pays, the lowest p99 of each load, and the effect
/// of balanced connections.
pub fn sentences(results: &Results, balance: &Balance) -> Vec<String> {
    let [above, below] = TWINS;
    let mut said = Vec::new();
    if let Some(found) = compared(balance, above, below) {
        let pays = if found.contains("lower p99") || found.contains("more requests") {
            "Work stealing pays under some loads"
        } else {
            "Work stealing is not seen to pay"
        };
        said.push(format!("{pays}: {found}."));
    }
    said.extend(winners(results, balance));
    let others = PAIRS.iter().filter_map(|[above, below]| compared(balance, above, below));
    said.extend(others.map(|found| format!("{}.", capitalized(&found))));
    said
}

/// Returns the loads in which two processes of the reference are told apart, and so nothing else is
/// judged.
pub fn warnings(balance: &Balance) -> Vec<String> {
    let disturbed = |(load, metric): (&BalanceLoad, Metric)| {
        let found = ratio(load, &balance.again, &balance.reference, metric)?;
        is_apart(found).then(|| {
            format!(
                "With {}, two processes of {} differ in {} by a factor of {}: no server is judged by \
                 it.",
                name(balance, load),
                balance.reference,
                words(metric),
                bounds(found),
            )
        })
    };
    let of = |load| [(load, Metric::Throughput), (load, Metric::Latency(P99))];
    balance.loads.iter().flat_map(of).filter_map(disturbed).collect()
}

/// Names the servers without a 99th percentile under a load: more than one request of a hundred found
/// no free connection in time.
pub fn overloaded(results: &Results, balance: &Balance) -> Vec<String> {
    let metric = Metric::Latency(P99);
    let of_load = |load: &BalanceLoad| {
        let keys = servers(results, balance, load);
        let without = keys.into_iter().filter(|key| value(load, key, metric).is_none());
        let without: Vec<&str> = without.collect();
        (!without.is_empty()).then(|| {
            format!(
                "With {}, more than 1 % of the requests at the fixed rate found no free connection \
                 in time at {}: there is no p99.",
                name(balance, load),
                without.join(", "),
            )
        })
    };
    balance.loads.iter().filter_map(of_load).collect()
}

/// Judges `above` beside `below`; unknown if the reference's two processes are told apart.
pub fn judge(balance: &Balance, load: &BalanceLoad, above: &str, below: &str, metric: Metric) -> Option<(Verdict, Estimate)> {
    let found = ratio(load, above, below, metric)?;
    let same = ratio(load, &balance.again, &balance.reference, metric);
    let band = same.is_none_or(|same| !is_apart(same)).then_some(BAND);
    Some((verdict(found, band), found))
}

/// Ratios that do not count as a difference.
const BAND: Interval = Interval { low: 1.0 - EQUAL_WITHIN, high: 1.0 + EQUAL_WITHIN };

fn is_apart(found: Estimate) -> bool {
    matches!(verdict(found, Some(BAND)), Verdict::Less | Verdict::More)
}

/// All loads of a pair, by what was found. None if the two were not measured together.
fn compared(balance: &Balance, above: &str, below: &str) -> Option<String> {
    let p99 = ["lower p99", "higher p99"];
    let rates = ["fewer requests per second", "more requests per second"];
    let latency = found_by(balance, above, below, Metric::Latency(P99), p99);
    let rate = found_by(balance, above, below, Metric::Throughput, rates);
    if latency.is_none() && rate.is_none() {
        return None;
    }
    let found: Vec<String> = [latency, rate].into_iter().flatten().flatten().collect();
    Some(match found.is_empty() {
        true => format!("{above} and {below} are not told apart in p99 or throughput"),
        false => format!("beside {below}, {above} has {}", found.join(", and ")),
    })
}

/// None if the two have no load in common.
fn found_by(
    balance: &Balance,
    above: &str,
    below: &str,
    metric: Metric,
    [less, more]: [&str; 2],
) -> Option<Vec<String>> {
    let judged = |load| Some((load, judge(balance, load, above, below, metric)?));
    let judged: Vec<_> = balance.loads.iter().filter_map(judged).collect();
    if judged.is_empty() {
        return None;
    }
    let of = |wanted: Verdict, words: &str| {
        let is_wanted = |(_, (verdict, _)): &&(&BalanceLoad, _)| *verdict == wanted;
        let loads: Vec<(&BalanceLoad, Estimate)> =
            judged.iter().filter(is_wanted).map(|(load, (_, ratio))| (*load, *ratio)).collect();
        (!loads.is_empty()).then(|| format!("{words} {}", under(balance, &loads)))
    };
    Some([of(Verdict::Less, less), of(Verdict::More, more)].into_iter().flatten().collect())
}

/// Names the loads, or how many they are and the range of their ratios; the table has each.
fn under(balance: &Balance, loads: &[(&BalanceLoad, Estimate)]) -> String {
    let values = || loads.iter().map(|(_, ratio)| ratio.value);
    match loads {
        [] | [_] | [_, _] => {
            let each = loads
                .iter()
                .map(|(load, ratio)| format!("with {} ({})", name(balance, load), bounds(*ratio)));
            each.collect::<Vec<_>>().join("; ")
        }
        _ => format!(
            "under {} of {} loads ({:.2} to {:.2} times)",
            loads.len(),
            balance.loads.len(),
            values().fold(f64::INFINITY, f64::min),
            values().fold(0.0, f64::max),
        ),
    }
}

/// Ratios of the pairs under a load, each with the pair's names and what they are of.
pub fn ratios(balance: &Balance, load: &BalanceLoad) -> Vec<(String, String)> {
    let metrics = [Metric::Latency(P99), Metric::Throughput];
    let of_pair = |[above, below]: &[&str; 2]| {
        let of = |metric| ratio(load, above, below, metric).map_or("–".to_string(), bounds);
        let [latency, rate] = metrics.map(of);
        (format!("{above} to {below}"), format!("{latency}; {rate}"))
    };
    let pairs = [TWINS].into_iter().chain(PAIRS);
    let are_there = |[above, below]: &[&str; 2]| {
        judge(balance, load, above, below, Metric::Throughput).is_some()
    };
    pairs.filter(are_there).map(|pair| of_pair(&pair)).collect()
}

/// The lowest p99 of a load: the server, its p99 in ns, and the servers that are not told apart from
/// it. None without any p99.
pub fn lowest<'a>(
    results: &'a Results,
    balance: &Balance,
    load: &BalanceLoad,
) -> Option<(&'a str, f64, Vec<&'a str>)> {
    let metric = Metric::Latency(P99);
    let keys = servers(results, balance, load).into_iter().filter(|key| *key != balance.again);
    let values: Vec<(&str, f64)> =
        keys.filter_map(|key| Some((key, value(load, key, metric)?.value))).collect();
    let &(best, lowest) = values.iter().min_by(|one, other| one.1.total_cmp(&other.1))?;
    let is_alike = |key: &&str| {
        let judged = judge(balance, load, key, best, metric);
        judged.is_none_or(|(verdict, _)| verdict != Verdict::More)
    };
    let others = values.iter().map(|(key, _)| *key).filter(|key| *key != best);
    Some((best, lowest, others.filter(is_alike).collect()))
}

/// Counts the loads under which each server has the lowest p99, or one not told apart from it.
fn winners(results: &Results, balance: &Balance) -> Vec<String> {
    let found: Vec<_> =
        balance.loads.iter().filter_map(|load| lowest(results, balance, load)).collect();
    let keys = results.contenders.iter().map(|of| of.key.as_str());
    let is_measured = |key: &&str| {
        let is_in = |load: &BalanceLoad| servers(results, balance, load).contains(key);
        *key != balance.again && balance.loads.iter().any(is_in)
    };
    let count = |key: &str| {
        found.iter().filter(|(best, _, alike)| *best == key || alike.contains(&key)).count()
    };
    let mut counts: Vec<(&str, usize)> =
        keys.filter(is_measured).map(|key| (key, count(key))).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let said: Vec<String> = counts.iter().map(|(key, count)| format!("{key} {count}")).collect();
    match found.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "Loads, of {}, under which a server has the lowest p99 of light requests or is not told \
             apart from it: {}.",
            balance.loads.len(),
            said.join(", ")
        )],
    }
}

fn words(metric: Metric) -> &'static str {
    match metric {
        Metric::Throughput => "throughput",
        Metric::Latency(_) => "p99",
    }
}

/// `0.42 [0.31–0.55]`
fn bounds(ratio: Estimate) -> String {
    match ratio.interval {
        None => format!("{:.2}", ratio.value),
        Some(Interval { low, high }) => format!("{:.2} [{low:.2}–{high:.2}]", ratio.value),
    }
}

fn capitalized(text: &str) -> String {
    match text.strip_prefix("beside") {
        Some(rest) => format!("Beside{rest}"),
        None => text.to_string(),
    }
}
