//! From short requests beside long ones to the size of work from which it pays to give
//! it to another thread.

use crate::report::units::{cpus, latency, microseconds, signed_microseconds, thousands};
use crate::results::{Contender, Failure, Latency, Offload, OffloadPoint, OffloadSlice, Results};
use crate::stats;

/// How much later than alone a short request may be answered beside long ones, at the
/// 99th percentile.
const BEARABLE: f64 = 2.0;

/// One contender with one size of work.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its key.
    pub contender: String,
    /// Rounds of the work function for each long request.
    pub work_rounds: u32,
    /// CPU time of the server for each long request, in ns: median of all blocks.
    pub long_cpu_ns: f64,
    /// What of that is due to the other thread, in ns: median of the differences within
    /// blocks to the contender that this one adds it to.
    pub hop_ns: Option<f64>,
    /// Long requests per second beside the short ones.
    pub long_per_s: f64,
    /// 50th and 99th percentile of the short requests alone, in ns: medians of the slices'.
    pub alone_ns: [u64; 2],
    /// The same beside the long ones.
    pub beside_ns: [u64; 2],
}

impl Row {
    /// Returns the factor by which long requests raise the 99th percentile of the short ones.
    pub fn raised(&self) -> f64 {
        self.beside_ns[1] as f64 / self.alone_ns[1].max(1) as f64
    }
}

/// Returns all rows, by size of work, and then from the bottom of the ladder up.
pub fn rows(results: &Results, offload: &Offload) -> Vec<Row> {
    let mut works: Vec<u32> = offload.points.iter().map(|point| point.work_rounds).collect();
    works.sort_unstable();
    works.dedup();
    let of = |work, contender: &Contender| row(results, offload, work, contender);
    works
        .iter()
        .flat_map(|&work| {
            results.contenders.iter().filter_map(move |contender| of(work, contender))
        })
        .collect()
}

/// Returns none for a server that did not take part.
fn row(
    results: &Results,
    offload: &Offload,
    work_rounds: u32,
    contender: &Contender,
) -> Option<Row> {
    let point = |key: &str| {
        let mut points = offload.points.iter();
        points.find(|point| point.contender == key && point.work_rounds == work_rounds)
    };
    let this = point(&contender.key).filter(|point| !point.slices.is_empty())?;
    let base = contender.base.as_ref().and_then(|base| {
        let base = results.contenders.iter().find(|contender| contender.variant == *base)?;
        point(&base.key)
    });
    let cpu_ns = |point: &OffloadPoint| -> Vec<f64> {
        let per_request =
            |slice: &OffloadSlice| slice.long.cpu_ns as f64 / slice.long.requests.max(1) as f64;
        point.slices.iter().map(per_request).collect()
    };
    let hop_ns = base.filter(|_| is_offloading(contender)).and_then(|base| {
        let pairs = cpu_ns(this).into_iter().zip(cpu_ns(base));
        let added: Vec<f64> = pairs.map(|(this, base)| this - base).collect();
        (!added.is_empty()).then(|| stats::median(&added))
    });
    let slices = &this.slices;
    let seconds = offload.slice_ms as f64 / 1e3;
    let long: Vec<f64> =
        slices.iter().map(|slice| slice.beside_long_requests as f64 / seconds).collect();
    Some(Row {
        contender: contender.key.clone(),
        work_rounds,
        long_cpu_ns: stats::median(&cpu_ns(this)),
        hop_ns,
        long_per_s: stats::median(&long),
        alone_ns: percentiles(slices, |slice| &slice.alone)?,
        beside_ns: percentiles(slices, |slice| &slice.beside)?,
    })
}

/// Reports whether a contender is another one with a thread for long work.
fn is_offloading(contender: &Contender) -> bool {
    contender.variant.ends_with("_offload")
}

/// 50th and 99th, each the median of the slices' own: one moment in which the machine did
/// something else would be the 99th of all of them together.
fn percentiles(slices: &[OffloadSlice], of: fn(&OffloadSlice) -> &Latency) -> Option<[u64; 2]> {
    let median = |share| {
        let percentile = |slice| {
            let buckets: Vec<(u64, u64)> = of(slice).buckets().collect();
            stats::percentile(&buckets, share).map(|ns| ns as f64)
        };
        let each: Vec<f64> = slices.iter().filter_map(percentile).collect();
        (!each.is_empty()).then(|| stats::median(&each) as u64)
    };
    Some([median(0.5)?, median(0.99)?])
}

/// Returns a sentence for each pair, with the smallest work for which offloading pays.
pub fn sentences(results: &Results, offload: &Offload) -> Vec<String> {
    let rows = rows(results, offload);
    let pairs = results.contenders.iter().filter(|contender| is_offloading(contender));
    pairs.filter_map(|contender| sentence(&rows, contender)).collect()
}

fn sentence(rows: &[Row], contender: &Contender) -> Option<String> {
    let base = contender.base.as_ref()?;
    let find = |key: &str, work_rounds: u32| {
        rows.iter().find(|row| row.contender == key && row.work_rounds == work_rounds)
    };
    let these = rows.iter().filter(|row| row.contender == contender.key);
    let pairs: Vec<(&Row, &Row)> =
        these.filter_map(|row| Some((find(base, row.work_rounds)?, row))).collect();
    // Every larger work has to pay as well: one size alone may be chance.
    let pays = |(base, row): &(&Row, &Row)| row.beside_ns[1] < base.beside_ns[1];
    let from = pairs.iter().rposition(|pair| !pays(pair)).map_or(0, |last| last + 1);
    // The same for each size of work, so the middle one has the least noise in it.
    let hops: Vec<f64> = pairs.iter().filter_map(|(_, row)| row.hop_ns).collect();
    let hop = if hops.is_empty() { 0.0 } else { stats::median(&hops) };
    let paying = match pairs.get(from) {
        None => "no size of work that was measured is answered sooner for it".to_string(),
        Some((base, row)) => format!(
            "from {} rounds of work on ({}) short requests beside it are answered sooner, p99 \
             {} instead of {}",
            thousands(f64::from(row.work_rounds)),
            microseconds(base.long_cpu_ns),
            latency(row.beside_ns[1]),
            latency(base.beside_ns[1]),
        ),
    };
    let (base, row) = pairs.last()?;
    let bears = |row: &Row| match row.raised() <= BEARABLE {
        true => "within twice",
        false => "more than twice",
    };
    Some(format!(
        "{}: the hop to another thread costs {} of CPU time a request; {paying}. With {} rounds p99 of the short ones is {:.1} times its value alone \
         ({}), and {:.1} times without offloading ({}).",
        contender.key,
        microseconds(hop),
        thousands(f64::from(row.work_rounds)),
        row.raised(),
        bears(row),
        base.raised(),
        bears(base),
    ))
}

/// Returns notes on the method.
pub fn notes(offload: &Offload) -> Vec<String> {
    let mut notes = vec![format!(
        "GET {} at {} requests per second over {} connections, alone and beside one client that \
         asks for {} again as soon as it is answered; slices of {} ms in random order within each \
         block, seed {}. Event loop and worker threads share {}: a server with a CPU to spare for \
         its workers does better. Percentiles are medians of the slices'; CPU time of a long request is that of one client alone.",
        offload.short_path,
        thousands(offload.short_rate),
        offload.short_connections,
        offload.occasion.path,
        offload.slice_ms,
        offload.occasion.seed,
        cpus(&offload.occasion.server_cores),
    )];
    notes.extend(crate::report::occasion::interrupted(&offload.occasion));
    notes
}

/// Returns the servers without a figure.
pub fn failures(offload: &Offload) -> Vec<String> {
    let sentence =
        |failure: &Failure| format!("{} has no figures: {}", failure.contender, failure.reason);
    offload.failures.iter().map(sentence).collect()
}

/// Formats a row.
pub fn cells(row: &Row) -> [String; 10] {
    [
        row.contender.clone(),
        thousands(f64::from(row.work_rounds)),
        microseconds(row.long_cpu_ns),
        row.hop_ns.map_or(String::new(), signed_microseconds),
        thousands(row.long_per_s),
        latency(row.alone_ns[0]),
        latency(row.alone_ns[1]),
        latency(row.beside_ns[0]),
        latency(row.beside_ns[1]),
        format!("{:.1}", row.raised()),
    ]
}

/// Columns of [`cells`].
pub const HEAD: [&str; 10] = [
    "",
    "rounds",
    "CPU/long request",
    "hop",
    "long/s",
    "p50 alone",
    "p99 alone",
    "p50 beside",
    "p99 beside",
    "p99 ratio",
];
