//! Servers on another machine: what lies between, and what a request costs that machine as a whole.

use super::figures::RegimeFigures;
use crate::report::costs;
use crate::report::machines;
use crate::report::section::{Cell, Section, Table};
use crate::report::units::microseconds;
use crate::results::{Baseline, MachineTicks, Results, Sample};
use crate::stats::{Estimate, starts};

/// Makes the section on the network and the servers' machine; none if the servers were on the measure's
/// machine.
pub(crate) fn section(results: &Results, regimes: &[RegimeFigures]) -> Option<Section> {
    let remote = results.machines.remote.as_ref()?;
    let mut section = Section::new("The network, and the servers' machine");
    section.answer.push(machines::place(remote, &results.settings.server_cores));
    if remote.is_same_machine || !results.settings.machines_differ {
        section.notes.push(
            "A load generator runs on the servers' machine: its CPUs work for both, so what a request \
             costs the whole machine is not shown."
                .to_string(),
        );
    } else {
        section.tables.extend(regimes.iter().filter_map(|regime| table(results, regime)));
        section.notes.extend(baseline_note(results));
    }
    Some(section)
}

/// What each request costs the process, and the machine as a whole.
fn table(results: &Results, figures: &RegimeFigures) -> Option<Table> {
    let regime = results.regimes.iter().find(|of| of.key == figures.key)?;
    let columns = [
        "CPU time per request",
        "of the process",
        "of the machine",
        "of it in softirqs",
        "process / machine",
    ];
    let mut table = Table::new(figures.title.clone(), &columns);
    for row in figures.rows.iter().filter(|row| row.figures.is_ok()) {
        let key = &row.contender;
        let mean = |of: &dyn Fn(&Sample) -> Option<f64>| {
            let samples = regime.blocks.iter().flat_map(|block| &block.samples);
            let own = samples.filter(|sample| sample.contender == *key);
            starts::mean(&own.map(of).collect::<Option<Vec<f64>>>()?)
        };
        let machine = |part| mean(&|sample| beyond_idle(results, sample, part));
        let Some(process) = mean(&|sample| Some(costs::cpu_ns(sample))) else { continue };
        let (Some(whole), Some(softirqs)) = (machine(|of| of.busy), machine(|of| of.softirqs)) else {
            continue;
        };
        // A machine with more to do before the slices than in them seems to work less than nothing.
        let share = match whole.value > 0.0 {
            true => format!("{:.0} %", process.value / whole.value * 100.0),
            false => "–".to_string(),
        };
        table.cells([
            Cell::plain(key),
            cell(process),
            cell(whole),
            cell(softirqs),
            Cell::plain(share),
        ]);
        table.rows.iter_mut().last().into_iter().for_each(|it| it.is_faint = row.again);
    }
    (!table.rows.is_empty()).then_some(table)
}

/// The machine's time for one request of a slice, in ns, beyond what it does without load. By chance
/// it may be below 0.
fn beyond_idle(results: &Results, sample: &Sample, part: fn(&MachineTicks) -> u64) -> Option<f64> {
    let tick_ns = 1e9 / results.machines.remote.as_ref()?.server.machine.ticks_per_s.max(1) as f64;
    let idle = baseline(results);
    let idle_rate = part(&idle.ticks) as f64 / idle.elapsed_ns.max(1) as f64;
    let seen = sample.machine.as_ref()?;
    // The readings are further apart than the first request and the last answer.
    let elapsed_ns = if seen.elapsed_ns == 0 { sample.elapsed_ns } else { seen.elapsed_ns };
    let ticks = part(seen) as f64 - idle_rate * elapsed_ns as f64;
    Some(ticks * tick_ns / sample.requests as f64)
}

fn cell(cost: Estimate) -> Cell {
    let bounds = cost.interval.map(|of| [of.low, of.high].map(microseconds).join("–"));
    Cell::with(microseconds(cost.value), bounds.unwrap_or_default())
}

/// All observations without load together.
fn baseline(results: &Results) -> Baseline {
    let mut sum = Baseline::default();
    for baseline in results.starts.iter().flat_map(|start| &start.baselines) {
        sum.elapsed_ns += baseline.elapsed_ns;
        sum.ticks.busy += baseline.ticks.busy;
        sum.ticks.softirqs += baseline.ticks.softirqs;
    }
    sum
}

fn baseline_note(results: &Results) -> Option<String> {
    let idle = baseline(results);
    let server = &results.machines.remote.as_ref()?.server.machine;
    if idle.elapsed_ns == 0 {
        return Some("The machine was not observed without load, so nothing was taken off.".to_string());
    }
    let busy_s = idle.ticks.busy as f64 / server.ticks_per_s.max(1) as f64;
    let share = busy_s / (idle.elapsed_ns as f64 / 1e9) * 100.0;
    Some(format!(
        "The machine's time is that of all its CPUs from /proc/stat: processes, interrupts and \
         softirqs, sampled by the kernel's tick. What the machine does without load, {share:.1} % of a \
         CPU before and after the slices, is taken off. A network card's interrupts and softirqs run \
         outside of the server's process, or in it, as the kernel decides."
    ))
}
