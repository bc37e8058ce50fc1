//! How it was measured, where, and what could be wrong with it.

use crate::report::units::{cpus, cpus_count, interval, thousands};
use crate::results::{GeneratorKind, Machine, Results, Sample};
use crate::stats;
use crate::studies::ladder::disturbance;
use crate::studies::ladder::figures::RegimeFigures;

/// What the reader has to know before the first figure.
pub fn warnings(results: &Results, regimes: &[RegimeFigures]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !results.complete {
        warnings.push("This run was interrupted: fewer blocks than planned.".to_string());
    }
    if !results.optimized {
        warnings
            .push("This is a debug build: its figures say nothing. Use cargo bench.".to_string());
    }
    let settings = &results.settings;
    if !regimes.is_empty() && settings.server_cores.contains(&settings.generator_core) {
        warnings.push(
            "Servers and generator share a CPU: they disturb each other, and these figures mean \
             little."
                .to_string(),
        );
    }
    // At a rate they are not meant to be.
    let closed = regimes.iter().filter(|regime| regime.rate_per_s.is_none());
    let rows = closed.flat_map(|regime| &regime.rows);
    let starved = rows.filter_map(|row| row.figures.as_ref().ok()).any(|f| f.busy < 0.8);
    if starved {
        warnings.push(
            "Some servers were not kept busy: their req/s is the generator's, and CPU/request \
             the figure to look at."
                .to_string(),
        );
    }
    warnings
}

/// How many blocks the figures of a regime are made of.
pub fn blocks(regime: &RegimeFigures) -> String {
    let rate = match regime.rate_per_s {
        Some(rate) => format!(", at {} requests a second", thousands(rate)),
        None => String::new(),
    };
    let dropped = match regime.dropped {
        _ if regime.none_spared => "; too many of them were disturbed to drop any".to_string(),
        0 => ", none dropped".to_string(),
        dropped => format!(", {dropped} more dropped as disturbed"),
    };
    format!("{} blocks{dropped}{rate}", regime.blocks)
}

/// How far to trust the ratios of a regime.
pub fn noise(regime: &RegimeFigures, reference: &str) -> String {
    match regime.same_band {
        Some(band) => format!(
            "Two processes of {reference} differ by up to {:.1} % here: a ratio whose interval \
             reaches into {} is no difference.",
            (band.high - 1.0) * 100.0,
            interval(band)
        ),
        None => format!(
            "There is no ratio of {reference} to itself to hold the others against: none of \
             them is sure."
        ),
    }
}

/// How it was measured.
pub fn method(results: &Results) -> Vec<String> {
    let settings = &results.settings;
    let generator = match settings.generator {
        GeneratorKind::Own => "the load generator is one thread",
        GeneratorKind::Wrk => "the load generator is wrk, one process for each slice,",
    };
    let starts = match settings.passes {
        0 | 1 => String::new(),
        passes => format!(
            " The servers are started {passes} times, each time for an equal share of the \
             blocks, and an interval holds what differs between starts too."
        ),
    };
    vec![
        format!(
            "Every variant is a process of its own, with one thread on each of {}; {generator} on \
             CPU {}. All are up at once, one is loaded at a time, for {} ms; within a block each \
             has its turn, in a random order (seed {}).{starts}",
            cpus(&settings.server_cores),
            settings.generator_core,
            settings.slice_ms,
            settings.seed,
        ),
        format!(
            "A block is dropped if in one of its slices the hypervisor took the server's CPU, or \
             its threads waited for it, for more than {:.0} % of the slice beyond what is usual \
             for that server there. If that were more than half of the blocks, or left fewer than \
             {}, none is.",
            disturbance::SHARE_MAX * 100.0,
            stats::VALUES_MIN
        ),
        "CPU time per request is what the kernel's scheduler has counted for all threads of the \
         server, in ns, over the answers that arrived, each of them checked. The split into \
         kernel and user is sampled by the kernel's tick."
            .to_string(),
        format!(
            "A ratio is the median of the ratios within blocks, with its 95 % bootstrap interval. \
             {} runs twice, as two processes: what these two differ by is the noise, and a ratio \
             within it is called no difference.",
            results.reference
        ),
        format!(
            "GET /data does {} rounds of the work function: a String formatted in each, the last \
             one serialized as JSON. Where that isn't said, an answer takes no work.",
            settings.work_rounds
        ),
        "A latency begins when its request is written, and in a closed loop that is when the \
         answer before it has arrived; at a rate it begins when the request was due. A figure at a \
         rate is made only if 98 % of the requests could be sent in time. A percentile is drawn where at least ten requests were \
         slower."
            .to_string(),
    ]
}

/// What could be wrong with it.
pub fn doubts(results: &Results) -> Vec<String> {
    let mut doubts: Vec<String> = [
        "On loopback there is no network card and no distance, and the thread that sends also \
         runs the receiver's TCP input: some of the generator's work is booked on the server, and \
         some of the server's on the generator. It is nearly the same for all variants, as all \
         write as often.",
        "Only pinloop has timeouts on heads, bodies, idle connections and writes, and limits on \
         what it buffers. The other rungs have their library's defaults, which is less.",
        "hyper is set to flush pipelined answers together, which is its fastest way here. With \
         this option hyper 1.12 drops the 400 that it has for a malformed head and closes without \
         a word.",
        "Where a process's code and memory happen to lie is part of its figure; the A/A pair, \
         and --full, which starts all of them several times, show how much that can be.",
        "All variants are one program, built with fat LTO and one codegen unit, with the system's \
         allocator. Another allocator would change what allocates.",
        "It is one machine. Kernel, mitigations and cache sizes move the kernel's part, which is \
         most of it; the ratio with them.",
    ]
    .map(String::from)
    .into();
    if results.settings.generator == GeneratorKind::Wrk {
        doubts.push(
            "wrk opens its connections anew for each slice: accepting them is in the server's CPU \
             time. Its latencies are five percentiles, with a correction of its own for requests \
             that it could not send."
                .to_string(),
        );
    }
    if results.settings.server_cores.len() == 1 {
        doubts.push(
            "With one core for the servers a runtime that shares work among its threads has \
             nobody to share it with."
                .to_string(),
        );
    }
    doubts
}

/// The machine, by name and value.
pub fn machine(results: &Results) -> Vec<(&'static str, String)> {
    let Machine { cpu, cores, cpu_mhz, governor, hypervisor, kernel, memory_bytes, .. } =
        &results.machine;
    let machine = &results.machine;
    let mut rows = vec![("CPU", cpu.clone())];
    rows.extend(cpu_mhz.map(|mhz| ("clock", format!("{mhz:.0} MHz"))));
    rows.push(("CPUs that may be used", cpus_count(cores.len())));
    rows.push((
        "SMT",
        match machine.smt_siblings.is_empty() {
            true => "no siblings among them".to_string(),
            false => format!("siblings {:?}", machine.smt_siblings),
        },
    ));
    rows.extend(governor.clone().map(|governor| ("governor", governor)));
    rows.push(("hypervisor", hypervisor.clone().unwrap_or("none".to_string())));
    rows.push(("kernel", kernel.clone()));
    rows.extend(
        machine
            .mitigations
            .iter()
            .map(|(name, measure)| ("mitigation", format!("{name}: {measure}"))),
    );
    rows.push(("memory", format!("{:.1} GiB", *memory_bytes as f64 / f64::from(1 << 30))));
    rows.push(("load average before", format!("{:.2}", machine.load_average)));
    rows.extend(disturbance(results));
    rows
}

/// The machine in one line.
pub fn machine_in_brief(machine: &Machine) -> String {
    let mut parts = vec![machine.cpu.clone(), cpus_count(machine.cores.len())];
    if machine.smt_siblings.is_empty() {
        parts.push("no SMT siblings among them".to_string());
    } else {
        parts.push(format!("SMT siblings {:?}", machine.smt_siblings));
    }
    parts.extend(machine.hypervisor.as_ref().map(|name| format!("virtual (hypervisor: {name})")));
    parts.push(machine.kernel.clone());
    parts.extend(machine.governor.as_ref().map(|governor| format!("governor {governor}")));
    let affected: Vec<&str> = machine.mitigations.iter().map(|(name, _)| name.as_str()).collect();
    if !affected.is_empty() {
        parts.push(format!("affected by {}", affected.join(", ")));
    }
    parts.join("; ")
}

/// What others took of the servers' CPUs during the run.
fn disturbance(results: &Results) -> Vec<(&'static str, String)> {
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
        ("taken by the hypervisor (steal)", share(steal)),
        ("taken by other processes", share(wait)),
    ]
}
