//! The report for a terminal.

use crate::report::gate::{self, Finding};
use crate::report::units::{cpus, interval, latency, microseconds, thousands};
use crate::report::{answer, method};
use crate::results::{Counts, Gate, Memory, Results, Work};
use crate::stats::{Estimate, Verdict};
use crate::studies::arrivals::figures as arrivals;
use crate::studies::count::figures as counts;
use crate::studies::knee::figures as knee;
use crate::studies::ladder::comparison::Comparison;
use crate::studies::ladder::figures;
use crate::studies::ladder::figures::{Figures, RegimeFigures, Row};
use crate::studies::memory::figures as memory;
use crate::studies::offload::figures as offload;
use crate::studies::scaling::figures as scaling;
use crate::studies::work::figures as work;

/// What a part of the results says, in paragraphs.
type Part = fn(&Results, &[RegimeFigures]) -> Vec<String>;

/// In this order, each as far as the results have something for it.
const PARTS: &[Part] = &[
    |results, regimes| vec![answer::sentences(results, regimes).join("\n")],
    |results, regimes| regimes.iter().map(|of| table(of, &results.reference)).collect(),
    |results, _| results.counts.iter().flat_map(counted).collect(),
    |results, _| results.work.iter().flat_map(|found| work(results, found)).collect(),
    |results, _| results.memory.iter().flat_map(memory).collect(),
    |results, _| arrivals::paragraphs(results),
    |results, _| knee::paragraphs(results),
    |results, _| scaling::paragraphs(results),
    |results, _| offload::paragraphs(results),
    |results, _| results.gate.iter().map(gate_in_brief).collect(),
    |results, _| vec![method::machine_in_brief(&results.machine)],
    |results, regimes| regimes.first().map(|_| how(results)).into_iter().collect(),
    warnings,
];

/// The whole report.
pub fn render(results: &Results) -> String {
    let regimes = figures::of(results);
    let parts: Vec<String> = PARTS.iter().flat_map(|part| part(results, &regimes)).collect();
    parts.join("\n\n") + "\n"
}

/// What changed since an older run.
pub fn changes(comparison: &Comparison) -> String {
    let mut cells = vec![["", "then", "now", "change"].map(String::from)];
    let mut lines = vec![comparison.summary()];
    lines.extend(comparison.doubts.iter().chain(&comparison.missing).cloned());
    for of_regime in comparison.changes.chunk_by(|one, other| one.regime == other.regime) {
        cells.push([of_regime[0].regime.clone(), String::new(), String::new(), String::new()]);
        cells.extend(of_regime.iter().map(|change| {
            let what = format!("  {} to {}", change.contender, change.to);
            let ratio = |value: f64| format!("{value:.3}");
            [what, ratio(change.then.value), ratio(change.now.value), change.in_words()]
        }));
    }
    lines.extend(align(&cells));
    lines.join("\n")
}

/// What the gate found, every difference with both answers.
pub fn gate(gate: &Gate) -> String {
    let view = gate::view(gate);
    let mut lines = vec![view.summary.clone()];
    lines.extend(view.outside.iter().cloned());
    lines.extend(view.answers.iter().map(|found| both(found, &gate.reference)));
    lines.extend(view.verdicts.iter().map(|v| {
        format!("{}\n  {}: {}\n  {}: {}", v.requests, view.reference, v.expected, v.who, v.found)
    }));
    lines.join("\n")
}

/// Only faults with both answers.
fn gate_in_brief(gate: &Gate) -> String {
    let view = gate::view(gate);
    let mut lines = vec![view.summary];
    lines.extend(view.outside);
    let answers = view.answers.iter().filter(|found| !found.is_outside);
    lines.extend(answers.map(|found| match found.is_fault {
        true => both(found, &gate.reference),
        false => found.headline.clone(),
    }));
    if !view.verdicts.is_empty() {
        lines.push("Some have another verdict on invalid requests.".to_string());
    }
    if !gate.differences.is_empty() {
        lines.push("`cargo bench -- check` shows these answers.".to_string());
    }
    lines.join("\n")
}

/// What was counted exactly, a table for each workload.
pub fn counted(counts: &Counts) -> Vec<String> {
    let mut parts: Vec<String> = counts
        .workloads
        .iter()
        .map(|workload| {
            let mut cells = vec![counts::HEAD.map(String::from)];
            cells.extend(counts::rows(workload).iter().map(counts::words));
            format!("{}, per request\n{}", workload.title, align(&cells).join("\n"))
        })
        .collect();
    parts.extend(counts::gaps(counts));
    parts
}

/// What is left of a difference when requests take work.
pub fn work(results: &Results, found: &Work) -> Vec<String> {
    let mut parts = work::failures(found);
    if let Some(curve) = work::curve(results, found) {
        let mut cells = vec![work::head(found)];
        cells.extend(curve.points.iter().map(work::words));
        parts.push(format!("When requests take work\n{}", align(&cells).join("\n")));
        parts.push(work::sentences(found, &curve).join("\n"));
    }
    parts
}

/// What an idle connection takes.
pub fn memory(found: &Memory) -> Vec<String> {
    let mut cells = vec![memory::HEAD.map(String::from)];
    cells.extend(memory::rows(found).iter().map(memory::words));
    let remarks = memory::remarks(found).join("\n");
    vec![format!("Memory of an idle connection\n{}\n{remarks}", align(&cells).join("\n"))]
}

fn both(found: &Finding, reference: &str) -> String {
    let indent = |text: &str| text.replace('\n', "\n    | ");
    format!(
        "{}\n  {reference}:\n    | {}\n  found:\n    | {}",
        found.headline,
        indent(&found.expected),
        indent(&found.found)
    )
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
    let mut lines = vec![format!("{} ({})", regime.title, method::blocks(regime))];
    lines.extend(align(&cells));
    lines.extend(failures);
    lines.push(method::noise(regime, reference));
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
        figures.p50_ns.map_or("–".to_string(), latency),
        figures.p99_ns.map_or("–".to_string(), latency),
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

/// How the ladder was measured.
fn how(results: &Results) -> String {
    let settings = &results.settings;
    format!(
        "Servers on {}, load generator on CPU {}; slices of {} ms in random order within \
         each block; {} rounds of work for /data.\n\
         CPU/request is the server's CPU time by the scheduler's count; ratios are medians over \
         blocks with their 95 % bootstrap interval; user and kernel are split by tick samples.",
        cpus(&settings.server_cores),
        settings.generator_core,
        settings.slice_ms,
        settings.work_rounds,
    )
}

fn warnings(results: &Results, regimes: &[RegimeFigures]) -> Vec<String> {
    let warnings = method::warnings(results, regimes);
    warnings.iter().map(|warning| format!("Note: {warning}")).collect()
}

/// The first column to the left, the others to the right.
pub(crate) fn align<const N: usize>(cells: &[[String; N]]) -> Vec<String> {
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
