//! The report as Markdown, for a pull request.

use crate::report::units::{interval, latency, microseconds, thousands};
use crate::report::{answer, gate, method};
use crate::results::Results;
use crate::stats::Verdict;
use crate::studies::ladder::comparison::Comparison;
use crate::studies::ladder::figures;
use crate::studies::ladder::figures::{RegimeFigures, Row};

/// The answer, a table for each regime, and where it comes from.
pub fn render(results: &Results) -> String {
    let regimes = figures::of(results);
    let mut parts = answer::sentences(results, &regimes);
    if let Some(first) = parts.first_mut() {
        *first = format!("**{first}**");
    }
    if !regimes.is_empty() {
        parts.push(glance(results, &regimes));
        parts.extend(answer::of_studies(results));
    }
    parts.extend(regimes.iter().map(|regime| table(regime, &results.reference)));
    parts.extend(results.gate.as_ref().map(gate::summary));
    parts.push(method::machine_in_brief(&results.machine));
    let warnings = method::warnings(results, &regimes);
    parts.extend(warnings.iter().map(|warning| format!("> {warning}")));
    parts.join("\n\n") + "\n"
}

/// Stand around what [`into_readme`] replaces.
const MARKS: [&str; 2] = ["<!-- the run -->\n", "<!-- the end of the run -->"];

/// `readme` with the answer, the table and the machine of this run between its
/// marks; none if it has no marks.
pub fn into_readme(results: &Results, readme: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = readme.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    let regimes = figures::of(results);
    let answer = answer::sentences(results, &regimes).join("\n\n");
    let table = glance(results, &regimes);
    let machine = method::machine_in_brief(&results.machine);
    let run = format!("\n{answer}\n\n{table}\n\nThe machine: {machine}.\n\n");
    Some(format!("{before}{begin}{run}{end}{after}"))
}

/// All ratios in one table, a column for each regime.
fn glance(results: &Results, regimes: &[RegimeFigures]) -> String {
    let reference = &results.reference;
    let mut lines = vec![
        format!("| CPU time, to {reference} | {} |", cells(regimes, |of| of.brief.clone())),
        format!("| --- | {} |", cells(regimes, |_| "---".to_string())),
    ];
    let is_measured =
        |key: &str| regimes.iter().any(|of| of.rows.iter().any(|row| row.contender == key));
    for contender in results.contenders.iter().filter(|contender| is_measured(&contender.key)) {
        let ratio = |regime: &RegimeFigures| ratio_in_brief(regime, &contender.key);
        lines.push(format!("| {} | {} |", contender.key, cells(regimes, ratio)));
    }
    let absolute = |of: &RegimeFigures| {
        of.of(reference).map_or("–".to_string(), |of| microseconds(of.cpu_ns))
    };
    lines.push(format!("| 1 stands for | {} |", cells(regimes, absolute)));
    lines.join("\n")
}

fn cells(regimes: &[RegimeFigures], cell: impl Fn(&RegimeFigures) -> String) -> String {
    regimes.iter().map(cell).collect::<Vec<_>>().join(" | ")
}

fn ratio_in_brief(regime: &RegimeFigures, key: &str) -> String {
    let Some(row) = regime.rows.iter().find(|row| row.contender == key) else {
        return "–".to_string();
    };
    let ratio = match &row.figures {
        Err(_) => return "failed".to_string(),
        Ok(figures) => match figures.ratio {
            None => return "1".to_string(),
            Some(ratio) => ratio,
        },
    };
    let bounds = ratio.interval.map_or("no interval".to_string(), interval);
    let verdict = row.figures.as_ref().map(|figures| figures.verdict);
    let remark = match verdict {
        _ if row.again => ", A/A",
        Ok(Verdict::NoDifference) => ", no difference",
        _ => "",
    };
    format!("{:.2} [{bounds}{remark}]", ratio.value)
}

/// What changed since an older run.
pub fn changes(comparison: &Comparison) -> String {
    let mut lines = vec!["### What changed".to_string(), String::new(), comparison.summary()];
    lines.extend(comparison.doubts.iter().chain(&comparison.missing).map(|s| format!("> {s}")));
    lines.push(String::new());
    lines.push("| | in ratio to | then | now | change, 95 % interval |".to_string());
    lines.push("| --- | --- | ---: | ---: | --- |".to_string());
    lines.extend(comparison.changes.iter().map(|change| {
        format!(
            "| {}, {} | {} | {:.3} | {:.3} | {} |",
            change.contender,
            change.regime,
            change.to,
            change.then.value,
            change.now.value,
            change.in_words()
        )
    }));
    lines.join("\n") + "\n"
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
