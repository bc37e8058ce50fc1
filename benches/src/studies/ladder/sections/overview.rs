//! All ratios at a glance: a row for each contender, a column for each regime.

use askama::Template;

use crate::report::page::{Context, Section};
use crate::report::units::{interval, microseconds};
use crate::stats::{Estimate, Verdict};
use crate::studies::ladder::figures::{Figures, RegimeFigures};

#[derive(Template)]
#[template(path = "sections/overview.html")]
struct Overview<'a> {
    reference: &'a str,
    regimes: Vec<Column<'a>>,
    rows: Vec<(&'a str, Vec<Cell>)>,
}

struct Column<'a> {
    brief: &'a str,
    /// Of the reference.
    cpu_ns: String,
    a_to_a: String,
}

#[derive(Default)]
struct Cell {
    ratio: String,
    spread: String,
    /// A style sheet's class: whether it is more, less or no difference.
    class: &'static str,
}

pub(crate) fn render(context: &Context<'_>) -> Section {
    let Context { results, regimes, legend, .. } = *context;
    if regimes.len() < 2 {
        return Ok(None);
    }
    let reference = results.reference.as_str();
    let section = Overview {
        reference,
        regimes: regimes.iter().map(|regime| column(regime, reference)).collect(),
        rows: legend
            .iter()
            .map(|key| {
                let cells = regimes.iter().map(|regime| cell(regime.of(&key.name)));
                (key.name.as_str(), cells.collect())
            })
            .collect(),
    };
    Ok(Some(section.render()?))
}

fn column<'a>(regime: &'a RegimeFigures, reference: &str) -> Column<'a> {
    let bounds = regime.a_to_a.and_then(|ratio| ratio.interval);
    Column {
        brief: &regime.brief,
        cpu_ns: regime.of(reference).map_or("–".to_string(), |of| microseconds(of.cpu_ns)),
        a_to_a: bounds.map_or("–".to_string(), interval),
    }
}

fn cell(figures: Option<&Figures>) -> Cell {
    let Some(Figures { ratio: Some(ratio), verdict, .. }) = figures else {
        let ratio = if figures.is_some() { "1" } else { "–" };
        return Cell { ratio: ratio.to_string(), ..Cell::default() };
    };
    let Estimate { value, interval: bounds } = *ratio;
    let (class, spread) = match verdict {
        Verdict::NoDifference => ("same", "no difference".to_string()),
        Verdict::Unknown => ("same", "not sure".to_string()),
        Verdict::Less => ("less", bounds.map_or(String::new(), interval)),
        Verdict::More => ("more", bounds.map_or(String::new(), interval)),
    };
    Cell { ratio: format!("{value:.2}"), spread, class }
}
