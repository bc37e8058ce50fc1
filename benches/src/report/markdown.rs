//! The report as Markdown, for a pull request.

use super::figures::{self, RegimeFigures, Row};
use super::stats::Verdict;
use super::units::{interval, latency, microseconds, thousands};
use super::{answer, gate, method};
use crate::results::Results;

/// The answer, a table for each regime, and where it comes from.
pub fn render(results: &Results) -> String {
    let regimes = figures::of(results);
    let mut parts = answer::sentences(results, &regimes);
    if let Some(first) = parts.first_mut() {
        *first = format!("**{first}**");
    }
    parts.extend(regimes.iter().map(|regime| table(regime, &results.reference)));
    parts.extend(results.gate.as_ref().map(gate::summary));
    parts.push(method::machine_in_brief(&results.machine));
    let warnings = method::warnings(results, &regimes);
    parts.extend(warnings.iter().map(|warning| format!("> {warning}")));
    parts.join("\n\n") + "\n"
}

fn table(regime: &RegimeFigures, reference: &str) -> String {
    let mut lines = vec![
        format!("### {}", regime.title),
        String::new(),
        format!("| | CPU/request | to {reference} | 95 % interval | req/s | p50 | p99 |"),
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |".to_string(),
    ];
    lines.extend(regime.rows.iter().map(|row| line(row, reference)));
    lines.push(String::new());
    lines.push(format!("{} {}.", method::noise(regime, reference), method::blocks(regime)));
    lines.join("\n")
}

fn line(row: &Row, reference: &str) -> String {
    let figures = match &row.figures {
        Ok(figures) => figures,
        Err(reason) => return format!("| {} | {reason} | | | | | |", row.contender),
    };
    let ratio = match figures.ratio {
        None if row.contender == reference => "1".to_string(),
        None => "–".to_string(),
        Some(ratio) => format!("{:.3}", ratio.value),
    };
    let remark = match figures.verdict {
        _ if row.again => ", A/A",
        Verdict::NoDifference => ", no difference",
        _ => "",
    };
    let bounds = figures.ratio.and_then(|ratio| ratio.interval).map_or(String::new(), interval);
    let latency = |ns: Option<u64>| ns.map_or("–".to_string(), latency);
    format!(
        "| {} | {} | {ratio} | {bounds}{remark} | {} | {} | {} |",
        row.contender,
        microseconds(figures.cpu_ns),
        thousands(figures.requests_per_s),
        latency(figures.p50_ns),
        latency(figures.p99_ns),
    )
}
