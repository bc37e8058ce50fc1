//! Which server wins under which load, in sentences that claim no more than the intervals do.

use super::figures::{Metric, P99, name, pooled, ratio, servers, value};
use super::record::{Balance, BalanceLoad};
use crate::results::Results;
use crate::stats::{EQUAL_WITHIN, Estimate, Interval, Verdict, verdict};

/// Servers that differ in the sharing of work only: the first shares it.
pub const TWINS: [&str; 2] = ["hyper_work_stealing", "hyper_per_core"];

/// Comparisons beside that of the twins.
const PAIRS: [[&str; 2]; 4] = [
    ["hyper_work_stealing", "pinloop"],
    ["hyper_work_stealing", "pinloop_balanced"],
    ["pinloop_balanced", "pinloop"],
    ["pinloop_steered", "pinloop"],
];

/// All loads of a pair.
struct Compared {
    /// True if the first server of the pair is better under some load.
    is_better: bool,
    /// Clause without a full stop.
    text: String,
}

/// Returns the answer: loads in which work stealing pays, the lowest p99 of each load, throughput over
/// all loads, and the effect of balanced and of steered connections.
pub fn sentences(results: &Results, balance: &Balance) -> Vec<String> {
    let [above, below] = TWINS;
    let mut said = Vec::new();
    if let Some(found) = compared(balance, above, below) {
        let pays = match found.is_better {
            true => "Work stealing pays under some loads",
            false => "Work stealing is not seen to pay",
        };
        said.push(format!("{pays}: {}.", found.text));
    }
    said.extend(winners(results, balance));
    said.extend(over_all_loads(results, balance));
    let others = PAIRS.iter().filter_map(|[above, below]| compared(balance, above, below));
    said.extend(others.map(|found| format!("{}.", capitalized(&found.text))));
    said
}

/// Returns the loads in which two processes of the reference are told apart, and so nothing else is
/// judged.
pub fn warnings(balance: &Balance) -> Vec<String> {
    let disturbed = |(load, metric): (&BalanceLoad, Metric)| {
        let found = ratio(load, &balance.again, &balance.reference, metric)?;
        is_apart(found).then(|| {
            format!(
                "With {}, two processes of {} differ in {} by a factor of {}, so that no servers are \
                 compared in it.",
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

/// Reports whether none of these servers failed. A server that failed in the middle of the study has
/// slices from before. It does not get figures from them, because it must not win by them.
fn are_sound(balance: &Balance, keys: &[&str]) -> bool {
    balance.failures.iter().all(|failure| keys.iter().all(|key| failure.contender != *key))
}

/// Compares a pair under all loads. None if the two were not measured together.
fn compared(balance: &Balance, above: &str, below: &str) -> Option<Compared> {
    if !are_sound(balance, &[above, below]) {
        return None;
    }
    let p99 = [(Verdict::Less, "lower p99"), (Verdict::More, "higher p99")];
    let rates = [
        (Verdict::More, "more requests per second"),
        (Verdict::Less, "fewer requests per second"),
    ];
    let latency = found_by(balance, above, below, Metric::Latency(P99), p99);
    let rate = found_by(balance, above, below, Metric::Throughput, rates);
    if latency.is_none() && rate.is_none() {
        return None;
    }
    let found: Vec<Compared> = [latency, rate].into_iter().flatten().flatten().collect();
    let texts: Vec<&str> = found.iter().map(|of| of.text.as_str()).collect();
    let text = match texts.is_empty() {
        true => format!("{above} and {below} are not told apart in p99 or throughput"),
        false => format!("beside {below}, {above} has {}", texts.join(", and ")),
    };
    Some(Compared { is_better: found.iter().any(|of| of.is_better), text })
}

/// Finds the loads of each verdict; the first one of the two is the better. None if the two servers
/// have no load in common.
fn found_by(
    balance: &Balance,
    above: &str,
    below: &str,
    metric: Metric,
    verdicts: [(Verdict, &str); 2],
) -> Option<Vec<Compared>> {
    let judged = |load| Some((load, judge(balance, load, above, below, metric)?));
    let judged: Vec<_> = balance.loads.iter().filter_map(judged).collect();
    if judged.is_empty() {
        return None;
    }
    let of = |(nth, (wanted, words)): (usize, (Verdict, &str))| {
        let is_wanted = |(_, (verdict, _)): &&(&BalanceLoad, _)| *verdict == wanted;
        let loads: Vec<(&BalanceLoad, Estimate)> =
            judged.iter().filter(is_wanted).map(|(load, (_, ratio))| (*load, *ratio)).collect();
        let text = format!("{words} {}", under(balance, &loads));
        (!loads.is_empty()).then_some(Compared { is_better: nth == 0, text })
    };
    Some(verdicts.into_iter().enumerate().filter_map(of).collect())
}

/// Names the loads, or their number and the range of their ratios and intervals; the table has each.
fn under(balance: &Balance, loads: &[(&BalanceLoad, Estimate)]) -> String {
    let values = || loads.iter().map(|(_, ratio)| ratio.value);
    let intervals = || loads.iter().filter_map(|(_, ratio)| ratio.interval);
    match loads {
        [] | [_] | [_, _] => {
            let each = loads
                .iter()
                .map(|(load, ratio)| format!("with {} ({})", name(balance, load), bounds(*ratio)));
            each.collect::<Vec<_>>().join("; ")
        }
        _ => format!(
            "under {} of {} loads ({:.2} to {:.2} times, with intervals within {:.2}–{:.2})",
            loads.len(),
            balance.loads.len(),
            values().fold(f64::INFINITY, f64::min),
            values().fold(0.0, f64::max),
            intervals().map(|of| of.low).fold(f64::INFINITY, f64::min),
            intervals().map(|of| of.high).fold(0.0, f64::max),
        ),
    }
}

/// Names each server's throughput in ratio to the reference, over all loads.
fn over_all_loads(results: &Results, balance: &Balance) -> Option<String> {
    let keys = results.contenders.iter().map(|of| of.key.as_str());
    let others = keys.filter(|key| *key != balance.reference && *key != balance.again);
    let of = |key: &str| match are_sound(balance, &[key, &balance.reference]) {
        true => pooled(balance, key, &balance.reference, Metric::Throughput),
        false => None,
    };
    let mut ratios: Vec<(&str, Estimate)> =
        others.filter_map(|key| Some((key, of(key)?))).collect();
    ratios.sort_by(|one, other| other.1.value.total_cmp(&one.1.value));
    let said: Vec<String> =
        ratios.iter().map(|(key, ratio)| format!("{key} {}", bounds(*ratio))).collect();
    let again = of(&balance.again).map_or(String::new(), |ratio| {
        format!("; a second process of {} {}", balance.reference, bounds(ratio))
    });
    (!said.is_empty()).then(|| {
        format!(
            "Requests per second in ratio to {}, in the geometric mean of the loads: {}{again}.",
            balance.reference,
            said.join(", ")
        )
    })
}

/// Returns the pairs that were measured together, from the first server to the second.
pub fn pairs(balance: &Balance) -> Vec<[&'static str; 2]> {
    let is_there = |[above, below]: &[&str; 2]| {
        let both = |load| ratio(load, above, below, Metric::Throughput).is_some();
        are_sound(balance, &[above, below]) && balance.loads.iter().any(both)
    };
    [TWINS].into_iter().chain(PAIRS).filter(is_there).collect()
}

/// The lowest p99 of a load: the server, its p99 in ns, and the servers that are not told apart from
/// it. None without any p99.
pub fn lowest<'a>(
    results: &'a Results,
    balance: &Balance,
    load: &BalanceLoad,
) -> Option<(&'a str, Estimate, Vec<&'a str>)> {
    let metric = Metric::Latency(P99);
    let keys = servers(results, balance, load).into_iter().filter(|key| *key != balance.again);
    let values: Vec<(&str, Estimate)> =
        keys.filter_map(|key| Some((key, value(load, key, metric)?))).collect();
    let by_value = |one: &&(&str, Estimate), other: &&(&str, Estimate)| {
        one.1.value.total_cmp(&other.1.value)
    };
    let &(best, lowest) = values.iter().min_by(by_value)?;
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
