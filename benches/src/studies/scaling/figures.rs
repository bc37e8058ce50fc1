//! From slices on 1, 2, … cores to a law, and what it says of more cores.
//!
//! The law is fitted to the capacity: answers per second of CPU time of the busiest thread. This is
//! the rate at which the first core is full. The rate that was seen is lower, because on loopback
//! the generator needs as much CPU time as the server. Where both shared a CPU, half of that rate is
//! lost, and the capacity is not.

use std::collections::BTreeSet;

use fastrand::Rng;

use crate::report::units::{cpus, cpus_count, thousands};
use crate::results::{EventLoop, Point, Results, Scaling, Slice};
use crate::stats;
use crate::stats::usl;
use crate::stats::usl::Law;
use crate::stats::{Estimate, Interval, VALUES_MIN};

/// Resamples of the bootstrap: more would not move a bound by a digit.
const RESAMPLES: usize = 1000;

/// Any seed will do; a fixed one makes a report a function of its file.
const SEED: u64 = 0x0073_6361_6c65;

/// Figures of the post of 2017: threads, and requests per second before p99 rose.
pub const OF_2017: [(f64, f64); 3] = [(1.0, 6_000.0), (2.0, 11_000.0), (4.0, 20_000.0)];

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
    /// By number of cores, ascending.
    pub sizes: Vec<Size>,
    /// Fitted to all of these.
    pub law: Law,
    /// 95 % intervals of σ and κ, from blocks drawn anew; none of too few blocks.
    pub intervals: Option<[Interval; 2]>,
    /// True if more cores did more than in proportion, for which the law has no room.
    pub is_more_than_linear: bool,
    /// Capacity on the number of cores that was asked for.
    pub plan: Option<Estimate>,
}

/// On one number of cores.
#[derive(Clone, Debug)]
pub struct Size {
    /// Number of cores of the server.
    pub cores: usize,
    /// CPUs of the generators.
    pub generator_cores: Vec<usize>,
    /// Share of its CPU's time that the busiest generator used, 0 to 1; none in files of older
    /// versions.
    pub generator_busy: Option<f64>,
    /// True if a generator had to run on a CPU of the server.
    pub is_shared: bool,
    /// Answers per second.
    pub requests_per_s: f64,
    /// CPU time of the server per request, in ns.
    pub cpu_ns: f64,
    /// Answers per second at which the busiest thread would have no time left.
    pub capacity: Estimate,
    /// The busiest event loop's connections and requests, in ratio to the mean over all cores, idle
    /// ones included; none if the kernel showed no loop.
    pub imbalance: Option<[f64; 2]>,
    /// Connections and requests of each event loop.
    pub loops: Vec<EventLoop>,
}

/// Returns all servers that took part, from the bottom of the ladder up.
pub fn rows(results: &Results, scaling: &Scaling) -> Vec<Row> {
    let keys = results.contenders.iter().map(|contender| &contender.key);
    let row = |key: &String| {
        let failure = scaling.failures.iter().find(|failure| failure.contender == *key);
        let figures = match failure {
            Some(failure) => Err(failure.reason.clone()),
            None => Ok(figures(scaling, key)?),
        };
        Some(Row { contender: key.clone(), figures })
    };
    keys.filter_map(row).collect()
}

/// Returns none for a server that did not take part.
fn figures(scaling: &Scaling, key: &str) -> Option<Figures> {
    let mut points: Vec<&Point> = scaling
        .points
        .iter()
        .filter(|point| point.contender == key && !point.slices.is_empty())
        .collect();
    points.sort_by_key(|point| point.server_cores.len());
    let sizes: Vec<Size> = points.iter().map(|point| size(scaling, point)).collect();
    let law = usl::fit(&medians(&points, &|values| stats::median(values)))?;
    let resampled = resampled(&points);
    let plan = scaling.plan_cores.map(|cores| {
        let cores = cores as f64;
        let interval = interval(&resampled, &|law| law.at(cores));
        Estimate { value: law.at(cores), interval }
    });
    let contention = interval(&resampled, &|law| law.contention);
    let coherence = interval(&resampled, &|law| law.coherence);
    let intervals = contention.zip(coherence).map(|(one, other)| [one, other]);
    let is_more_than_linear = is_more_than_linear(&sizes);
    Some(Figures { sizes, law, intervals, is_more_than_linear, plan })
}

fn is_more_than_linear(sizes: &[Size]) -> bool {
    let per_core = |size: &Size| size.capacity.value / size.cores as f64;
    sizes.first().zip(sizes.last()).is_some_and(|(one, most)| per_core(most) > per_core(one))
}

fn size(scaling: &Scaling, point: &Point) -> Size {
    let slices = &point.slices;
    let median = |figure: &dyn Fn(usize) -> f64| {
        stats::median(&(0..slices.len()).map(figure).collect::<Vec<_>>())
    };
    Size {
        cores: point.server_cores.len(),
        generator_cores: point.generator_cores.clone(),
        generator_busy: slices.iter().all(|slice| slice.generator_busiest_cpu_ns > 0).then(|| {
            median(&|at| {
                slices[at].generator_busiest_cpu_ns as f64 / slices[at].elapsed_ns as f64
            })
        }),
        is_shared: point.shares_a_core(&scaling.occasion),
        requests_per_s: median(&|at| {
            slices[at].requests as f64 / slices[at].elapsed_ns as f64 * 1e9
        }),
        cpu_ns: median(&|at| slices[at].cpu_ns as f64 / slices[at].requests as f64),
        capacity: stats::estimate(&capacities(point)),
        imbalance: imbalance(point),
        loops: point.loops.clone(),
    }
}

/// Returns the capacity of each slice, per second.
///
/// A server may have more threads than cores, and then a core runs several of them: the first core
/// is full no later than an even spread of all CPU time over the cores says.
fn capacities(point: &Point) -> Vec<f64> {
    let cores = point.server_cores.len().max(1) as u64;
    let capacity = |slice: &Slice| {
        let busiest_ns = slice.cpu_ns_max.max(slice.cpu_ns.div_ceil(cores)).max(1);
        slice.requests as f64 / busiest_ns as f64 * 1e9
    };
    point.slices.iter().map(capacity).collect()
}

fn imbalance(point: &Point) -> Option<[f64; 2]> {
    let loops = &point.loops;
    if loops.is_empty() {
        return None;
    }
    // A loop that got nothing is not listed.
    let count = loops.len().max(point.server_cores.len()) as f64;
    let ratio = |part: &dyn Fn(&EventLoop) -> u64| {
        let most = loops.iter().map(part).max().unwrap_or(0) as f64;
        let all = loops.iter().map(part).sum::<u64>().max(1) as f64;
        most * count / all
    };
    Some([ratio(&|l| l.connections as u64), ratio(&|l| l.requests)])
}

/// Number of cores and capacity of each point.
fn medians(points: &[&Point], median: &dyn Fn(&[f64]) -> f64) -> Vec<(f64, f64)> {
    let of = |point: &&Point| (point.server_cores.len() as f64, median(&capacities(point)));
    points.iter().map(of).collect()
}

/// The laws that blocks drawn anew would have given: the same blocks on every number of
/// cores, because what disturbs a block disturbs all of it.
fn resampled(points: &[&Point]) -> Vec<Law> {
    let blocks = points.iter().map(|point| point.slices.len()).min().unwrap_or(0);
    if blocks < VALUES_MIN {
        return Vec::new();
    }
    let mut rng = Rng::with_seed(SEED);
    (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<usize> = (0..blocks).map(|_| rng.usize(..blocks)).collect();
            let median = |values: &[f64]| {
                stats::median(&drawn.iter().map(|&block| values[block]).collect::<Vec<_>>())
            };
            usl::fit(&medians(points, &median))
        })
        .collect()
}

fn interval(laws: &[Law], of: &dyn Fn(&Law) -> f64) -> Option<Interval> {
    let mut values: Vec<f64> = laws.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    let tail = ((1.0 - stats::CONFIDENCE) / 2.0 * values.len() as f64) as usize;
    Some(Interval { low: *values.get(tail)?, high: *values.get(values.len() - 1 - tail)? })
}

/// Returns the change of the rate with more cores, in a sentence.
pub fn sentence(results: &Results) -> Option<String> {
    let scaling = results.studies.scaling.as_ref()?;
    let said: Vec<String> = rows(results, scaling)
        .iter()
        .filter_map(|row| {
            let sizes = &row.figures.as_ref().ok()?.sizes;
            let (first, last) = (sizes.first()?, sizes.last()?);
            let times = last.capacity.value / first.capacity.value;
            Some(format!(
                "{} can do {} requests per second on {} and {times:.2} times that on {}",
                row.contender,
                thousands(first.capacity.value),
                cpus_count(first.cores),
                cpus_count(last.cores)
            ))
        })
        .collect();
    (!said.is_empty()).then(|| format!("{}, by its CPU time.", said.join("; ")))
}

/// λ, σ and κ in words.
pub fn law_text(figures: &Figures) -> String {
    let Law { rate, contention, coherence } = figures.law;
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let bounds = |nth: usize| {
        figures.intervals.map_or(String::new(), |intervals| {
            format!(" [{}–{}]", percent(intervals[nth].low), percent(intervals[nth].high))
        })
    };
    let known = usl::parameters(figures.sizes.len());
    let unknown = "not known";
    let remark = match figures.is_more_than_linear {
        true => "; more cores did more than in proportion, for which the law has no room",
        false => "",
    };
    format!(
        "λ {} per second, σ {}, κ {}{remark}",
        thousands(rate),
        if known > 1 { percent(contention) + &bounds(0) } else { unknown.to_string() },
        if known > 2 { percent(coherence) + &bounds(1) } else { unknown.to_string() },
    )
}

/// Returns the law's rate for the planned number of cores, and the rates of 2017.
pub fn plan_text(scaling: &Scaling, rows: &[Row]) -> Vec<String> {
    let Some(cores) = scaling.plan_cores else { return Vec::new() };
    let of = |row: &Row| {
        let figures = row.figures.as_ref().ok()?;
        let plan = figures.plan?;
        let bounds = plan.interval.map_or(String::new(), |bounds| {
            format!(" [{}–{}]", thousands(bounds.low), thousands(bounds.high))
        });
        let peak = figures.law.peak().filter(|&peak| peak < cores as f64);
        let peak = peak.map_or(String::new(), |peak| {
            format!("; beyond {peak:.0} cores more of them would do less")
        });
        Some(format!(
            "An estimate for {} on {}: {}{bounds} requests per second{peak}.",
            row.contender,
            cpus_count(cores),
            thousands(plan.value)
        ))
    };
    let mut said: Vec<String> = rows.iter().filter_map(of).collect();
    let [(_, one), (_, two), (_, four)] = OF_2017;
    if let Some(law) = usl::fit(&OF_2017) {
        said.push(format!(
            "The post of 2017 saw {}, {} and {} requests per second with 1, 2 and 4 threads, \
             with the load generator on another machine; the same law fitted to these gives {} \
             on {}.",
            thousands(one),
            thousands(two),
            thousands(four),
            thousands(law.at(cores as f64)),
            cpus_count(cores)
        ));
    }
    let measured: BTreeSet<usize> =
        scaling.points.iter().map(|point| point.server_cores.len()).collect();
    let (sizes, most) = (measured.len(), measured.last().copied().unwrap_or(0));
    said.push(format!(
        "The assumption is that nothing new gets in the way beyond the {} that were measured: no \
         second socket, no full network card, no memory bus. {}",
        cpus_count(most),
        match usl::parameters(sizes) {
            1 => "One core tells neither σ nor κ, so this is a straight line, and an upper bound.",
            2 => "Two numbers of cores do not tell κ, which is taken as 0, so this is an upper bound.",
            _ => "The interval is that of the measurement, and not of the assumption.",
        }
    ));
    said
}

/// Returns notes on the method.
pub fn notes(scaling: &Scaling) -> Vec<String> {
    let mut notes = vec![format!(
        "GET {} in a closed loop over {} connections for each core of the server, slices of {} \
         ms in random order within each block; {} rounds of work for /data; seed {}. Capacity is \
         answers per second of CPU time of the busiest thread: the rate at which the first core \
         is full. The law is fitted to it.",
        scaling.occasion.path,
        scaling.connections_per_core,
        scaling.slice_ms,
        scaling.occasion.work_rounds,
        scaling.occasion.seed,
    )];
    notes.extend(sharing(scaling));
    notes.extend(single_threaded(scaling));
    notes.extend(crate::report::occasion::interrupted(&scaling.occasion));
    notes
}

/// A server with at least this share of its CPU time in one thread counts as single-threaded.
const ALONE: f64 = 0.98;

/// Names the servers that used one of several CPUs.
fn single_threaded(scaling: &Scaling) -> Option<String> {
    let is_alone = |point: &&Point| {
        let sum = |part: &dyn Fn(&Slice) -> u64| point.slices.iter().map(part).sum::<u64>() as f64;
        let busiest = sum(&|slice| slice.cpu_ns_max) / sum(&|slice| slice.cpu_ns).max(1.0);
        point.server_cores.len() > 1 && busiest > ALONE
    };
    let alone = scaling.points.iter().filter(is_alone).map(|point| point.contender.as_str());
    let names: BTreeSet<&str> = alone.collect();
    (!names.is_empty()).then(|| {
        let names: Vec<&str> = names.into_iter().collect();
        format!("Used one of its CPUs only: {}.", names.join(", "))
    })
}

/// Returns a caveat if the generator had no CPU of its own.
fn sharing(scaling: &Scaling) -> Option<String> {
    let shared = scaling.points.iter().find(|point| point.shares_a_core(&scaling.occasion))?;
    let free = scaling.points.iter().filter(|point| !point.shares_a_core(&scaling.occasion));
    let free = free.map(|point| point.server_cores.len()).max();
    Some(format!(
        "With {} for the server, the load generator has no CPU of its own. It ran on {} as well: \
         requests per second are then what both together can do on these CPUs{}. CPU time per \
         request and capacity do not count the generator's time, but it moves them: its data \
         displaces the server's in the caches, and waking a neighbor on the same CPU is cheaper \
         than waking another CPU. This limits how well σ is known. A machine with one more CPU, \
         or a generator on another machine, would show the rate itself.",
        cpus_count(shared.server_cores.len()),
        cpus(&shared.generator_cores),
        free.map_or(String::new(), |cores| format!(
            ", and not to be compared to those with {}",
            cpus_count(cores)
        )),
    ))
}

/// `1, 80 % busy`, or `2, the busiest 95 %, shared`.
pub fn generators_text(size: &Size) -> String {
    let count = size.generator_cores.len();
    let busy = size.generator_busy.map_or(String::new(), |share| match count {
        1 => format!(", {:.0} % busy", share * 100.0),
        _ => format!(", the busiest {:.0} %", share * 100.0),
    });
    let shared = if size.is_shared { ", shared" } else { "" };
    format!("{count}{busy}{shared}")
}

/// Formats the interval of the capacity.
pub fn bounds_text(size: &Size) -> String {
    size.capacity.interval.map_or("too few blocks".to_string(), |bounds| {
        format!("{}–{}", thousands(bounds.low), thousands(bounds.high))
    })
}

/// Formats the imbalance: `1.06`, or `–` if the kernel did not tell.
pub fn imbalance_text(size: &Size) -> [String; 2] {
    match size.imbalance {
        None => ["–", "–"].map(String::from),
        Some(ratios) => ratios.map(|ratio| format!("{ratio:.2}")),
    }
}

/// `CPU 0: 30 connections, 51 % of the requests`, for each event loop.
pub fn loops_text(size: &Size) -> String {
    let all = size.loops.iter().map(|l| l.requests).sum::<u64>().max(1) as f64;
    let of = |event_loop: &EventLoop| {
        let place = event_loop
            .core
            .map_or("a loop that is not pinned".to_string(), |core| format!("CPU {core}"));
        format!(
            "{place}: {} connections, {:.0} % of the requests",
            event_loop.connections,
            event_loop.requests as f64 / all * 100.0
        )
    };
    let texts: Vec<String> = size.loops.iter().map(of).collect();
    texts.join("; ")
}
