//! What changed since an older run.

use askama::Template;

use crate::report::page::{Context, Section};
use crate::stats::Verdict;
use crate::studies::ladder::comparison;
use crate::studies::ladder::comparison::Change;

#[derive(Template)]
#[template(path = "sections/changes.html")]
struct Changes {
    summary: String,
    rows: Vec<Row>,
    doubts: Vec<String>,
    missing: Vec<String>,
}

struct Row {
    regime: String,
    what: String,
    then: String,
    now: String,
    change: String,
    spread: String,
    /// A style sheet's class: whether it is more, less or no change.
    class: &'static str,
}

pub(crate) fn render(context: &Context<'_>) -> Section {
    let Some(baseline) = context.options.baseline else { return Ok(None) };
    let comparison = comparison::compare(context.results, baseline);
    let section = Changes {
        summary: comparison.summary(),
        rows: comparison.changes.iter().map(row).collect(),
        doubts: comparison.doubts,
        missing: comparison.missing,
    };
    Ok(Some(section.render()?))
}

fn row(change: &Change) -> Row {
    Row {
        regime: change.regime.clone(),
        what: format!("{} to {}", change.contender, change.to),
        then: format!("{:.3}", change.then.value),
        now: format!("{:.3}", change.now.value),
        change: change.percent(),
        spread: change.spread(),
        class: match change.verdict {
            Verdict::Less => "less",
            Verdict::More => "more",
            Verdict::NoDifference | Verdict::Unknown => "same",
        },
    }
}
