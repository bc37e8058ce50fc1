//! From looks at rates to the highest one that each server sustains.

use std::collections::BTreeMap;

use crate::report::units::{latency, thousands};
use crate::results::{Knee, Occasion, Probe, Results};
use crate::stats;
use crate::stats::Estimate;

/// A generator that is busy for a larger share of its time may be the limit of a rate.
const GENERATOR_BUSY: f64 = 0.95;

/// Rates that differ by less are one point of the curve.
const NEIGHBORS: f64 = 1.06;

/// One contender.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its key.
    pub contender: String,
    /// Figures, or the reason why they are missing.
    pub figures: Result<Figures, String>,
}

/// Figures of one contender.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The highest rate sustained, per second: median over the bisections.
    pub sustained: Estimate,
    /// Number of bisections that found it.
    pub searches: usize,
    /// The same in ratio to the reference, within the same round of bisections.
    pub ratio: Option<Estimate>,
    /// Percentiles at the knee: p50, p99 and p99.9 in ns, medians over the bisections,
    /// each at the highest rate that it found.
    pub latency_ns: [f64; 3],
    /// Share of its CPUs' time that the server used there, 0 to 1.
    pub server_busy: f64,
    /// Share of its CPU's time that the generator's busiest thread used there, 0 to 1.
    pub generator_busy: f64,
    /// CPU time of all the generator's threads there, in ratio to the time that passed: the number of
    /// CPUs that the generator filled.
    pub generator_cpus: f64,
    /// Share of the time of all looks in which the server or the generator could have run
    /// and waited for a CPU, 0 to 1: the larger of the two.
    pub disturbed: f64,
    /// By offered rate, ascending.
    pub curve: Vec<Offered>,
}

/// An offered rate, and what came of it: medians of the looks at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offered {
    /// Per second.
    pub rate: f64,
    /// p50, p99 and p99.9, in ns.
    pub latency_ns: [f64; 3],
}

/// Returns all servers that took part, from the bottom of the ladder up.
pub fn rows(results: &Results, knee: &Knee) -> Vec<Row> {
    let keys = results.contenders.iter().map(|contender| &contender.key);
    let row = |key: &String| {
        let failure = knee.failures.iter().find(|failure| failure.contender == *key);
        let figures = match failure {
            Some(failure) => Err(failure.reason.clone()),
            None => figures(results, knee, key)?,
        };
        Some(Row { contender: key.clone(), figures })
    };
    keys.filter_map(row).collect()
}

/// Returns none for a server that did not take part.
fn figures(results: &Results, knee: &Knee, key: &str) -> Option<Result<Figures, String>> {
    let probes: Vec<&Probe> = of(knee, key).collect();
    if probes.is_empty() {
        return None;
    }
    let found = sustained(knee, key);
    if found.is_empty() {
        return Some(Err(nothing(&probes, knee)));
    }
    let sustained_all: Vec<f64> = found.values().copied().collect();
    let estimate = stats::estimate(&sustained_all);
    let at_knee = || {
        let is_highest = |probe: &&&Probe| found.get(&probe.search) == Some(&probe.rate);
        probes.iter().filter(|probe| probe.meets(&knee.bound)).filter(is_highest)
    };
    let median = |figure: &dyn Fn(&Probe) -> f64| {
        stats::median(&at_knee().map(|probe| figure(probe)).collect::<Vec<_>>())
    };
    let cores = knee.occasion.server_cores.len().max(1) as f64;
    let lasted = |probe: &Probe| probe.elapsed_ns.max(1) as f64;
    Some(Ok(Figures {
        sustained: estimate,
        searches: sustained_all.len(),
        ratio: ratio(&found, &sustained(knee, &results.reference))
            .filter(|_| key != results.reference),
        latency_ns: [
            median(&|probe| probe.p50_ns as f64),
            median(&|probe| probe.p99_ns as f64),
            median(&|probe| probe.p99_9_ns as f64),
        ],
        server_busy: median(&|probe| probe.server_cpu_ns as f64 / lasted(probe) / cores),
        generator_busy: median(&|probe| probe.generator_busiest_ns() as f64 / lasted(probe)),
        generator_cpus: median(&|probe| probe.generator_cpu_ns as f64 / lasted(probe)),
        disturbed: disturbed(&probes, &knee.occasion),
        curve: curve(&probes),
    }))
}

fn of<'a>(knee: &'a Knee, key: &'a str) -> impl Iterator<Item = &'a Probe> {
    knee.probes.iter().filter(move |probe| probe.contender == key)
}

fn disturbed(probes: &[&Probe], occasion: &Occasion) -> f64 {
    let sum = |part: &dyn Fn(&Probe) -> u64| probes.iter().map(|p| part(p)).sum::<u64>() as f64;
    let server = sum(&|probe| probe.server_wait_ns) / occasion.server_cores.len().max(1) as f64;
    let generator = sum(&|probe| probe.generator_wait_ns) / occasion.generator_threads() as f64;
    server.max(generator) / sum(&|probe| probe.elapsed_ns).max(1.0)
}

/// The highest rate sustained in each bisection, by its number.
fn sustained(knee: &Knee, key: &str) -> BTreeMap<usize, f64> {
    let mut highest = BTreeMap::new();
    for probe in of(knee, key).filter(|probe| probe.search > 0 && probe.meets(&knee.bound)) {
        let rate = highest.entry(probe.search).or_insert(probe.rate);
        *rate = probe.rate.max(*rate);
    }
    highest
}

/// None without a bisection that both have.
fn ratio(found: &BTreeMap<usize, f64>, reference: &BTreeMap<usize, f64>) -> Option<Estimate> {
    let both = found.iter().filter_map(|(search, rate)| Some(rate / reference.get(search)?));
    let ratios: Vec<f64> = both.collect();
    (!ratios.is_empty()).then(|| stats::estimate(&ratios))
}

/// Returns the reason why no rate is sustained.
fn nothing(probes: &[&Probe], knee: &Knee) -> String {
    let lowest = probes.iter().min_by(|one, other| one.rate.total_cmp(&other.rate));
    let Some(probe) = lowest.filter(|_| probes.iter().any(|probe| probe.search > 0)) else {
        return "its knee was not looked for before the interruption".to_string();
    };
    let reason = match &probe.first_error {
        Some(error) => format!("{} errors; {error}", probe.errors),
        None if probe.p99_ns > knee.bound.p99_ns => {
            format!("p99 was {}", latency(probe.p99_ns))
        }
        None => format!("{} were answered", thousands(probe.requests_per_s())),
    };
    format!("it did not sustain even {} requests per second: {reason}", thousands(probe.rate))
}

/// Neighboring rates are one point, so that the chance of single probes makes no zigzag.
fn curve(probes: &[&Probe]) -> Vec<Offered> {
    let mut sorted = probes.to_vec();
    sorted.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let mut groups: Vec<Vec<&Probe>> = Vec::new();
    for probe in sorted {
        match groups.last_mut().filter(|group| probe.rate <= group[0].rate * NEIGHBORS) {
            Some(group) => group.push(probe),
            None => groups.push(vec![probe]),
        }
    }
    let offered = |probes: &Vec<&Probe>| {
        let median = |figure: &dyn Fn(&Probe) -> u64| {
            stats::median(&probes.iter().map(|probe| figure(probe) as f64).collect::<Vec<_>>())
        };
        let latency_ns = [
            median(&|probe| probe.p50_ns),
            median(&|probe| probe.p99_ns),
            median(&|probe| probe.p99_9_ns),
        ];
        let rates: Vec<f64> = probes.iter().map(|probe| probe.rate).collect();
        Offered { rate: stats::median(&rates), latency_ns }
    };
    groups.iter().map(offered).collect()
}

/// Returns the sustained rates, in a sentence.
pub fn sentence(results: &Results) -> Option<String> {
    let knee = results.studies.knee.as_ref()?;
    let rows = rows(results, knee);
    let said: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let figures = row.figures.as_ref().ok()?;
            Some(format!(
                "{} sustains {} requests per second",
                row.contender,
                with_bounds(figures.sustained)
            ))
        })
        .collect();
    match knee.failures.first() {
        Some(failure) if said.is_empty() => {
            return Some(format!("Nothing was found; {}: {}.", failure.contender, failure.reason));
        }
        None if said.is_empty() => return Some("No server sustained any rate.".to_string()),
        _ => {}
    }
    Some(format!("{}, {}.", said.join(", "), bound(knee)))
}

/// Describes a sustained rate.
pub fn bound(knee: &Knee) -> String {
    format!(
        "with p99 within {} and {:.0} % of the rate answered",
        latency(knee.bound.p99_ns),
        knee.bound.reached * 100.0
    )
}

/// `21,300 [20,900–21,700]`.
pub fn with_bounds(estimate: Estimate) -> String {
    let bounds =
        estimate.interval.map_or("too few searches for an interval".to_string(), |bounds| {
            format!("{}–{}", thousands(bounds.low), thousands(bounds.high))
        });
    format!("{} [{bounds}]", thousands(estimate.value))
}

/// Returns notes on the method.
pub fn notes(knee: &Knee) -> Vec<String> {
    let mut notes = vec![format!(
        "GET {} at constant rates over {} connections, each rate for {} ms; latency counts from \
         when a request should have been sent, so a server that stalls does not slow the clock. \
         A rate is sustained {}; it is too much if it was not so twice in a row. Steps up to the \
         knee draw the curve; then it is bisected several times over, the servers taking turns, \
         and the figure is the median of these with its 95 % interval.",
        knee.occasion.path,
        knee.connections,
        knee.probe_ms,
        bound(knee),
    )];
    notes.extend(crate::report::occasion::notes(&knee.occasion));
    notes
}

/// Returns remarks on disturbed figures.
pub fn remarks(row: &Row, figures: &Figures) -> Vec<String> {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let mut remarks = Vec::new();
    if figures.generator_busy > GENERATOR_BUSY {
        remarks.push(format!(
            "Near the knee of {} the generator used {} of its CPU: the rate may have failed on \
             the generator, and the server sustain more.",
            row.contender,
            percent(figures.generator_busy)
        ));
    }
    remarks.extend(crate::report::occasion::disturbed(&row.contender, figures.disturbed));
    remarks
}
