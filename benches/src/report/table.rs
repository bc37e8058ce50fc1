//! The report for a terminal.

use std::collections::BTreeSet;

use super::figures::{self, Figures, RegimeFigures, Row};
use super::stats::{Estimate, Interval, Verdict};
use crate::results::{Difference, Gate, Machine, Results, Subject};

/// The whole report: answer, tables, gate, machine.
pub fn render(results: &Results) -> String {
    let regimes = figures::of(results);
    let mut parts = Vec::new();
    parts.extend(regimes.iter().map(|regime| table(regime, &results.reference)));
    parts.extend(results.gate.as_ref().map(gate_in_brief));
    parts.push(where_and_how(results));
    parts.extend(warnings(results, &regimes));
    parts.join("\n\n") + "\n"
}

/// What the gate found, every difference with both answers.
pub fn gate(gate: &Gate) -> String {
    let mut lines = gate_summary(gate);
    lines.extend(group(&gate.differences).into_iter().map(|d| both(d, &gate.reference)));
    lines.join("\n")
}

/// Only faults with both answers.
fn gate_in_brief(gate: &Gate) -> String {
    let mut lines = gate_summary(gate);
    let invalid = gate.differences.iter().filter(|d| d.subject == Subject::Invalid);
    let exchanges: BTreeSet<&str> = invalid.map(|d| d.exchange.as_str()).collect();
    for found in group(&gate.differences) {
        if found[0].subject == Subject::Invalid {
            continue;
        }
        lines.push(match found[0].subject.is_binding() {
            true => both(found, &gate.reference),
            false => headline(found, &gate.reference),
        });
    }
    if !exchanges.is_empty() {
        lines.push(format!("{} invalid requests get another verdict from some.", exchanges.len()));
    }
    if !gate.differences.is_empty() {
        lines.push("`cargo bench -- check` shows these answers.".to_string());
    }
    lines.join("\n")
}

fn gate_summary(gate: &Gate) -> Vec<String> {
    let sentence = "All variants but the floor give the service's answers, byte for byte (dates \
                    masked)";
    gate.is_passed()
        .then(|| format!("{sentence}, in {} exchanges.", gate.exchanges.len()))
        .into_iter()
        .collect()
}

/// Differences that are the same for several contenders, together.
fn group(differences: &[Difference]) -> Vec<&[Difference]> {
    let same = |one: &Difference, other: &Difference| {
        one.exchange == other.exchange && one.found == other.found
    };
    differences.chunk_by(same).collect()
}

fn headline(found: &[Difference], reference: &str) -> String {
    let what = match &found[0].subject {
        Subject::Measured(_) => "no figure, for another answer, for",
        Subject::Service => "not the service's answer from",
        Subject::Protocol => "another answer, of the library's own, from",
        Subject::Invalid => {
            let Difference { exchange, expected, found: verdict, .. } = &found[0];
            let who = names(found);
            return format!("{exchange}: {reference}: {expected}; {who}: {verdict}");
        }
    };
    format!("{}: {what} {}", found[0].exchange, names(found))
}

fn both(found: &[Difference], reference: &str) -> String {
    if found[0].subject == Subject::Invalid {
        return headline(found, reference);
    }
    let indent = |text: &str| text.replace('\n', "\n    | ");
    format!(
        "{}\n  {reference}:\n    | {}\n  {}:\n    | {}",
        headline(found, reference),
        indent(&found[0].expected),
        names(found),
        indent(&found[0].found)
    )
}

fn names(found: &[Difference]) -> String {
    found.iter().map(|difference| difference.contender.as_str()).collect::<Vec<_>>().join(", ")
}

fn table(regime: &RegimeFigures, reference: &str) -> String {
    let ratio_head = format!("to {reference}");
    let head = ["", "CPU/request", "user", "kernel", &ratio_head, "req/s", "p50", "p99"];
    let mut cells = vec![head.map(String::from)];
    let mut failures = Vec::new();
    for row in &regime.rows {
        match &row.figures {
            Ok(figures) => cells.push(line(row, figures, reference)),
            Err(reason) => failures.push(format!("{} has no figures: {reason}", row.contender)),
        }
    }
    let mut lines = vec![format!("{} ({} blocks)", regime.title, regime.blocks)];
    lines.extend(align(&cells));
    lines.extend(failures);
    lines.push(noise(regime, reference));
    lines.join("\n")
}

fn line(row: &Row, figures: &Figures, reference: &str) -> [String; 8] {
    let part = |share: Option<f64>| {
        share.map_or("–".to_string(), |share| microseconds(figures.cpu_ns * share))
    };
    let ratio = match figures.ratio {
        None if row.contender == reference => "1".to_string(),
        None => "–".to_string(),
        Some(estimate) => ratio(estimate, figures.verdict, row.again),
    };
    [
        row.contender.clone(),
        microseconds(figures.cpu_ns),
        part(figures.user_share),
        part(figures.user_share.map(|share| 1.0 - share)),
        ratio,
        thousands(figures.requests_per_s),
        latency(figures.p50_ns),
        latency(figures.p99_ns),
    ]
}

fn ratio(Estimate { value, interval: spread }: Estimate, verdict: Verdict, again: bool) -> String {
    let spread = spread.map_or("no interval: too few blocks".to_string(), interval);
    let remark = match verdict {
        _ if again => ", A/A",
        Verdict::NoDifference => ", no difference",
        _ => "",
    };
    format!("{value:.3} [{spread}]{remark}")
}

fn interval(Interval { low, high }: Interval) -> String {
    format!("{low:.3}–{high:.3}")
}

/// The line below a table that says how far to trust its ratios.
fn noise(regime: &RegimeFigures, reference: &str) -> String {
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

fn where_and_how(results: &Results) -> String {
    let settings = &results.settings;
    format!(
        "{}\nServers on {}, load generator on CPU {}; slices of {} ms in random order within \
         each block; {} rounds of work for /data.\n\
         CPU/request is the server's CPU time by the scheduler's count; ratios are medians over \
         blocks with their 95 % bootstrap interval; user and kernel are split by tick samples.",
        machine(&results.machine),
        cpus(&settings.server_cores),
        settings.generator_core,
        settings.slice_ms,
        settings.work_rounds,
    )
}

/// The machine in one line.
pub fn machine(machine: &Machine) -> String {
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

fn warnings(results: &Results, regimes: &[RegimeFigures]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !results.complete {
        warnings.push("This run was interrupted: fewer blocks than planned.".to_string());
    }
    if !results.optimized {
        warnings
            .push("This is a debug build: its figures say nothing. Use cargo bench.".to_string());
    }
    if results.settings.server_cores.contains(&results.settings.generator_core) {
        warnings.push(
            "Servers and generator share a CPU: they disturb each other, and these figures mean \
             little."
                .to_string(),
        );
    }
    let rows = regimes.iter().flat_map(|regime| &regime.rows);
    let starved = rows.filter_map(|row| row.figures.as_ref().ok()).any(|f| f.busy < 0.8);
    if starved {
        warnings.push(
            "Some servers were not kept busy: their req/s is the generator's, and CPU/request \
             the figure to look at."
                .to_string(),
        );
    }
    warnings.into_iter().map(|warning| format!("Note: {warning}")).collect()
}

/// The first column to the left, the others to the right.
fn align<const N: usize>(cells: &[[String; N]]) -> Vec<String> {
    let width =
        |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    cells
        .iter()
        .map(|row| {
            let mut line = format!("{:<width$}", row[0], width = widths[0]);
            for (cell, width) in row.iter().zip(widths).skip(1) {
                line.push_str(&format!("  {cell:>width$}"));
            }
            line.trim_end().to_string()
        })
        .collect()
}

fn microseconds(ns: f64) -> String {
    format!("{:.2} µs", ns / 1e3)
}

/// Three digits, as no latency here is known better.
fn latency(ns: Option<u64>) -> String {
    let Some(ns) = ns else { return "–".to_string() };
    let us = ns as f64 / 1e3;
    match us {
        ..9.995 => format!("{us:.2} µs"),
        ..99.95 => format!("{us:.1} µs"),
        ..999.5 => format!("{us:.0} µs"),
        ..9_995.0 => format!("{:.2} ms", us / 1e3),
        ..99_950.0 => format!("{:.1} ms", us / 1e3),
        _ => format!("{:.0} ms", us / 1e3),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn cpus_count(count: usize) -> String {
    if count == 1 { "1 CPU".to_string() } else { format!("{count} CPUs") }
}

fn cpus(cores: &[usize]) -> String {
    let list: Vec<String> = cores.iter().map(usize::to_string).collect();
    format!("CPU{} {}", if cores.len() == 1 { "" } else { "s" }, list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits() {
        assert_eq!(latency(Some(740)), "0.74 µs");
        assert_eq!(latency(Some(74_060)), "74.1 µs");
        assert_eq!(latency(Some(740_600)), "741 µs");
        assert_eq!(latency(Some(999_600)), "1.00 ms");
        assert_eq!(latency(Some(12_345_678)), "12.3 ms");
        assert_eq!(latency(None), "–");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(85_123.4), "85,123");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(999.0), "999");
    }
}
