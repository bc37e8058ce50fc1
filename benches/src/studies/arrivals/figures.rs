//! From the seconds of arriving clients to what was there in the end.

use std::collections::BTreeMap;

use crate::report::occasion;
use crate::report::units::{latency, thousands};
use crate::results::{Arrivals, Occasion, Results, Second, Tour};
use crate::stats;

/// The end of a tour that its last figures are of, in seconds: long enough for a median,
/// short enough that all clients were there.
const END_S: f64 = 5.0;

/// Figures of the last seconds.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Clients at the end.
    pub clients: usize,
    /// Answers in all.
    pub requests: u64,
    /// Answers per second in the last seconds.
    pub requests_per_s: f64,
    /// Median latency in the last seconds, in ns.
    pub p50_ns: u64,
    /// 99th percentile in the last seconds, in ns.
    pub p99_ns: u64,
    /// Share of its CPUs' time that the server used in the last seconds, 0 to 1; none
    /// where it could not be read.
    pub server_busy: Option<f64>,
    /// Share of its CPU's time that the generator's busiest thread used in the last seconds,
    /// 0 to 1.
    pub generator_busy: f64,
    /// Share of all the time in which the server or the generator could have run and
    /// waited for a CPU, 0 to 1: the larger of the two.
    pub disturbed: f64,
    /// In all, by kind.
    pub errors: BTreeMap<String, u64>,
}

/// All tours that there are, from the bottom of the ladder up, with their figures.
pub fn rows<'a>(
    results: &'a Results,
    arrivals: &'a Arrivals,
) -> Vec<(&'a Tour, Result<Figures, String>)> {
    let keys = results.contenders.iter().map(|contender| &contender.key);
    keys.filter_map(|key| arrivals.tours.iter().find(|tour| tour.contender == *key))
        .map(|tour| (tour, figures(tour, arrivals)))
        .collect()
}

fn figures(tour: &Tour, arrivals: &Arrivals) -> Result<Figures, String> {
    if let Some(reason) = &tour.failure {
        return Err(reason.clone());
    }
    let Some(end) = tour.seconds.last() else { return Err("it was not begun".to_string()) };
    let late = |second: &&Second| second.at_s > end.at_s - END_S;
    let last: Vec<&Second> = tour.seconds.iter().filter(late).collect();
    let median = |figure: &dyn Fn(&Second) -> f64| {
        stats::median(&last.iter().map(|second| figure(second)).collect::<Vec<_>>())
    };
    let ns = |second: &Second| second.lasts_s.max(f64::MIN_POSITIVE) * 1e9;
    let cores = arrivals.occasion.server_cores.len().max(1) as f64;
    let mut errors = BTreeMap::new();
    for (kind, count) in tour.seconds.iter().flat_map(|second| &second.errors) {
        *errors.entry(kind.clone()).or_insert(0) += count;
    }
    Ok(Figures {
        clients: end.clients,
        requests: tour.seconds.iter().map(|second| second.requests).sum(),
        requests_per_s: median(&|second| second.requests as f64 / ns(second) * 1e9),
        p50_ns: median(&|second| second.p50_ns as f64) as u64,
        p99_ns: median(&|second| second.p99_ns as f64) as u64,
        server_busy: last
            .iter()
            .all(|second| second.server_cpu_ns.is_some())
            .then(|| median(&|s| s.server_cpu_ns.unwrap_or(0) as f64 / ns(s) / cores)),
        generator_busy: median(&|second| second.generator_busiest_ns() as f64 / ns(second)),
        disturbed: disturbed(tour, &arrivals.occasion),
        errors,
    })
}

fn disturbed(tour: &Tour, occasion: &Occasion) -> f64 {
    let sum = |part: &dyn Fn(&Second) -> f64| tour.seconds.iter().map(part).sum::<f64>();
    let server = sum(&|second| second.server_wait_ns.unwrap_or(0) as f64)
        / occasion.server_cores.len().max(1) as f64;
    let generator =
        sum(&|second| second.generator_wait_ns as f64) / occasion.generator_threads() as f64;
    server.max(generator) / 1e9 / sum(&|second| second.lasts_s).max(f64::MIN_POSITIVE)
}

/// Returns the latency of the last clients, in a sentence.
pub fn sentence(results: &Results) -> Option<String> {
    let arrivals = results.studies.arrivals.as_ref()?;
    let said: Vec<String> = rows(results, arrivals)
        .into_iter()
        .filter_map(|(tour, figures)| {
            let figures = figures.ok()?;
            Some(format!(
                "{} answers {} requests per second to {} clients, with p99 at {}",
                tour.contender,
                thousands(figures.requests_per_s),
                figures.clients,
                latency(figures.p99_ns)
            ))
        })
        .collect();
    (!said.is_empty()).then(|| said.join("; ") + ".")
}

/// `none`, or each kind with its count.
pub fn errors_text(figures: &Figures) -> String {
    let kinds = figures.errors.iter().map(|(kind, n)| format!("{} {n}", kind.replace('_', " ")));
    let kinds: Vec<String> = kinds.collect();
    if kinds.is_empty() { "none".to_string() } else { kinds.join(", ") }
}

/// `–` where it could not be read.
pub fn busy_text(share: Option<f64>) -> String {
    share.map_or("–".to_string(), |share| format!("{:.0} %", share * 100.0))
}

/// Returns notes on the method.
pub fn notes(arrivals: &Arrivals) -> Vec<String> {
    let phase = |phase: &crate::results::Phase| match phase.clients_per_s {
        0.0 => format!("none for {} s", phase.lasts_s),
        rate => format!("{rate} a second for {} s", phase.lasts_s),
    };
    let phases: Vec<String> = arrivals.phases.iter().map(phase).collect();
    let mut notes = vec![format!(
        "Clients arrive evenly spaced, {}, at most {}; each opens a connection and asks for {} \
         over and over until the end, so latency counts from when a request is written. Figures \
         are medians over the last {END_S} s. One server follows the other: what disturbs the \
         machine meanwhile disturbs one of them alone.",
        phases.join(", then "),
        arrivals.clients_max,
        arrivals.occasion.path,
    )];
    notes.extend(occasion::notes(&arrivals.occasion));
    notes
}
