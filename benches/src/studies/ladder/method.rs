//! The method of the ladder, and doubts about it.

use super::figures::RegimeFigures;
use super::{disturbance, hardware, lives};
use crate::report::section::Section;
use crate::report::units::{cpus, interval, microseconds, thousands};
use crate::results::{Allocator, GeneratorKind, Results, Sample, Thermometer};
use crate::stats;

/// A kernel whose threads are booked for a smaller part of their time leaves the time of
/// interrupts out.
const BOOKED_MIN: f64 = 0.9;

/// Caveats that come before the first figure.
pub(crate) fn warnings(results: &Results, regimes: &[RegimeFigures]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !results.complete {
        warnings.push("This run was interrupted: fewer starts than planned.".to_string());
    }
    if !results.optimized {
        warnings
            .push("This is a debug build: its figures say nothing. Use cargo bench.".to_string());
    }
    warnings.extend(all_failed(results));
    let left_out = &results.left_out;
    warnings.extend(left_out.iter().map(|of| format!("{} was left out: {}.", of.contender, of.reason)));
    let settings = &results.settings;
    let is_taken = |core| settings.server_cores.contains(core);
    let shares_a_core = !settings.machines_differ && settings.generator_cores.iter().any(is_taken);
    if !regimes.is_empty() && shares_a_core {
        warnings.push(
            "Servers and generator share a CPU: they disturb each other, and these figures mean \
             little."
                .to_string(),
        );
    }
    for contender in &results.contenders {
        let conduct = lives::of(results, &contender.key);
        warnings.extend(conduct.into_iter().flat_map(|of| of.warnings(&contender.key)));
    }
    warnings
}

/// Says that a run with measured starts has no figures, because each server failed later.
fn all_failed(results: &Results) -> Option<String> {
    let starts = results.starts.len();
    let have_failed = results.regimes.iter().flat_map(|regime| {
        let samples = regime.blocks.iter().flat_map(|block| &block.samples);
        samples.map(|sample| regime.has_failed(&sample.contender))
    });
    if starts == 0 || !have_failed.reduce(|one, other| one && other)? {
        return None;
    }
    let reason = &results.regimes.first()?.failures.last()?.reason;
    Some(format!(
        "This run has no figures, because all servers failed in start {}, the last one with: {reason}. \
         The {starts} starts before are in the file, but make no figures: a part of a run is not the \
         run. Earlier runs of the file are as they were; --run shows them.",
        starts + 1
    ))
}

/// The number of starts that the figures of a regime are made of.
pub(crate) fn starts(regime: &RegimeFigures) -> String {
    let rate = match regime.rate_per_s {
        Some(rate) => format!(", at {} requests a second", thousands(rate)),
        None => String::new(),
    };
    format!("{} starts{rate}.", regime.starts)
}

/// Returns a sentence on the noise of the ratios of a regime.
pub(crate) fn noise(regime: &RegimeFigures, reference: &str) -> String {
    match regime.same_band {
        Some(band) => format!(
            "Two processes of {reference} differ by up to {:.1} % here. A ratio is not told \
             apart from 1 if its interval reaches into {}.",
            (band.high - 1.0) * 100.0,
            interval(band)
        ),
        None => format!(
            "There is no ratio of {reference} to itself to compare the others with: none of them \
             is sure."
        ),
    }
}

/// Makes the sections on the method.
pub(crate) fn sections(results: &Results) -> [Section; 2] {
    let mut method = Section::new("Method");
    method.notes = steps(results);
    method.notes.extend(hardware::method(results.machine.counters.as_ref()));
    let mut doubts = Section::new("Sources of error");
    doubts.notes = self::doubts(results);
    [method, doubts]
}

fn steps(results: &Results) -> Vec<String> {
    let settings = &results.settings;
    let on = cpus(&settings.generator_cores);
    let threads = settings.generator_cores.len();
    let generator = match (settings.generator, results.machines.load_hosts.len()) {
        (GeneratorKind::Wrk, _) => {
            format!("the load generator is wrk, one process for each slice, on {on}")
        }
        (_, 1) => "the load generator is on another machine".to_string(),
        (_, 2..) => {
            format!("the load generator is on {} machines", results.machines.load_hosts.len())
        },
        _ if threads < 2 => format!("the load generator is one thread on {on}"),
        _ => format!("the load generator has {threads} threads, one each on {on}"),
    };
    let mut steps = vec![
        format!(
            "Every server is a process of its own on {}; {generator}. A block starts \
             all servers anew. In each regime it warms each of them up for {} ms and then takes a \
             slice of {} ms of each, in a random order (seed {}). There are {} starts.",
            cpus(&settings.server_cores),
            settings.warm_up_ms,
            settings.slice_ms,
            settings.seed,
            settings.starts,
        ),
        "The start is the unit of sampling: a process keeps the place of its code and memory for \
         life, so its slices are not independent. A server's cost is the reference's cost times \
         the trimmed mean of their ratios, start by start, in logarithms. Differences of costs \
         therefore add up. Intervals are Student's t on the winsorized values; `cargo bench -- \
         coverage` shows by simulation how often they hold the true value."
            .to_string(),
        format!(
            "No slice is dropped. A slice counts as disturbed if the hypervisor took the server's \
             CPU, or its threads waited for it, for more than {:.0} % of the slice beyond what is \
             usual for that server.",
            disturbance::SHARE_MAX * 100.0,
        ),
        "CPU time is read from the CPU clocks of all processes of a server, from its start to its \
         end. Threads and children that have ended are included. The split into kernel and user \
         space is sampled by the kernel's tick."
            .to_string(),
        format!(
            "GET /data does {} rounds of the work function: each formats a String, and the last \
             one is serialized as JSON. All other answers take no work.",
            settings.work_rounds
        ),
        "A latency begins when its request is written, and at a rate when the request was due. \
         Percentiles are those of a slice, estimated over the starts; requests that could not be \
         sent in time count as slower than all others."
            .to_string(),
    ];
    steps.extend(busiest(results));
    steps
}

/// Describes the load of the generator's busiest thread, if it has several.
fn busiest(results: &Results) -> Option<String> {
    if results.settings.generator_cores.len() < 2 {
        return None;
    }
    let blocks = results.regimes.iter().flat_map(|regime| &regime.blocks);
    let share = |of: &Sample| of.generator.busiest_ns() as f64 / of.elapsed_ns.max(1) as f64;
    let shares: Vec<f64> = blocks.flat_map(|block| &block.samples).map(share).collect();
    (!shares.is_empty()).then(|| {
        format!(
            "The generator's busiest thread used {:.0} % of its CPU, as the median of all slices.",
            stats::median(&shares) * 100.0
        )
    })
}

const LOOPBACK: &str = "Loopback has neither a network card nor distance, and the thread that sends also \
    runs the receiver's TCP input. Some of the generator's work is booked on the server, and some of the \
    server's on the generator. That part is in every cost and dilutes every ratio, so the difference is \
    the better figure.";

const NETWORK: &str = "The servers' machine receives packets in interrupts and softirqs. A kernel books \
    them on the process that they interrupt, on a thread of its own, or on none, so the CPU time of a \
    process is not all that a request costs: see the whole machine's. Each side of a pair is booked \
    alike, so the difference is the better figure.";

fn doubts(results: &Results) -> Vec<String> {
    let way = if results.machines.is_over_a_network() { NETWORK } else { LOOPBACK };
    let mut doubts: Vec<String> = [
        way,
        "Only pinloop has timeouts on heads, bodies, idle connections and writes, and limits on \
         what it buffers. hyper_per_core_timeouts shows the cost of hyper's header timeout.",
        "hyper is set to flush pipelined answers together, which is its fastest way here. With \
         this option hyper 1.12 drops its 400 for a malformed head and closes silently.",
        "All variants are one program, built with fat LTO and one codegen unit, so the code layout \
         of one depends on the others. `--allocator` changes the allocator of all alike.",
        "It is one machine. Kernel, mitigations and cache sizes move the kernel's part, which is \
         most of it.",
    ]
    .map(String::from)
    .into();
    if results.settings.allocator == Allocator::Mimalloc {
        doubts.push("All variants use mimalloc in place of the system's allocator.".to_string());
    }
    if results.settings.generator == GeneratorKind::Wrk {
        doubts.push(
            "wrk opens its connections anew for each slice: accepting them is in the server's CPU \
             time. Its latencies are five percentiles, corrected for requests that it could not \
             send."
                .to_string(),
        );
    }
    if results.settings.server_cores.len() == 1 {
        doubts.push(
            "With one core for the servers, a runtime that shares work among its threads has no \
             other thread to share it with."
                .to_string(),
        );
    }
    doubts
}

/// Facts of the run for the section on the machine.
pub(crate) fn of_the_run(results: &Results) -> Vec<(String, String)> {
    let mut facts = disturbance(results);
    facts.extend(thermometer(results));
    facts.extend(
        results
            .starts
            .iter()
            .any(|start| start.thermometer.is_some())
            .then(|| ("time of interrupts".to_string(), interrupts(results))),
    );
    let many = results.contenders.iter().filter_map(|contender| {
        let processes = lives::of(results, &contender.key)?.processes;
        let name = format!("processes of {}", contender.key);
        (processes > 1).then(|| (name, processes.to_string()))
    });
    facts.extend(many);
    facts
}

/// The range of the fixed loops over the starts.
fn thermometer(results: &Results) -> Vec<(String, String)> {
    let readings = || results.starts.iter().filter_map(|start| start.thermometer);
    let range = |name: &str, part: &dyn Fn(Thermometer) -> u64| {
        let mut values: Vec<f64> = readings().map(|reading| part(reading) as f64).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let slow = values.iter().filter(|&&value| value > low.midpoint(high)).count();
        let text = format!(
            "{} to {}, median {}; {:.0} % of the starts in the slower half",
            microseconds(low),
            microseconds(high),
            microseconds(stats::median(&values)),
            slow as f64 / values.len() as f64 * 100.0
        );
        Some((name.to_string(), text))
    };
    let user = range("fixed loop in user space", &|reading| reading.user_ns);
    let syscalls = range("fixed loop of system calls", &|reading| reading.syscall_ns);
    user.into_iter().chain(syscalls).collect()
}

fn interrupts(results: &Results) -> String {
    let readings = results.starts.iter().filter_map(|start| start.thermometer);
    let booked = readings.map(|of| of.syscall_ns as f64 / of.syscall_elapsed_ns.max(1) as f64);
    let booked = stats::median(&booked.collect::<Vec<_>>());
    match booked < BOOKED_MIN {
        true => "left out of CPU time by this kernel: the receiver's TCP input is not counted",
        false => "booked on the thread that runs: the receiver's TCP input is in its CPU time",
    }
    .to_string()
}

/// The share of the servers' CPUs that others took during the run.
fn disturbance(results: &Results) -> Vec<(String, String)> {
    let samples = || {
        results.regimes.iter().flat_map(|regime| &regime.blocks).flat_map(|block| &block.samples)
    };
    let sum = |part: &dyn Fn(&Sample) -> u64| samples().map(part).sum::<u64>() as f64;
    let lasted_s = sum(&|sample| sample.elapsed_ns) / 1e9;
    if lasted_s == 0.0 {
        return Vec::new();
    }
    let cores = results.settings.server_cores.len().max(1) as f64;
    let ticks = results.machine.ticks_per_s.max(1) as f64;
    let steal = sum(&|sample| sample.steal_ticks) / ticks / cores / lasted_s;
    let wait = sum(&|sample| sample.wait_ns) / 1e9 / cores / lasted_s;
    let share = |part: f64| format!("{:.1} % of the time", part * 100.0);
    vec![
        ("taken by the hypervisor (steal)".to_string(), share(steal)),
        ("taken by other processes".to_string(), share(wait)),
    ]
}
