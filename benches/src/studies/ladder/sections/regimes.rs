//! The ladder in each regime: the picture, the table, the square, latencies.

use askama::Template;

use crate::report::method;
use crate::report::page::{Context, Key, Section};
use crate::report::plots::{self, Picture, PlotError};
use crate::report::units::{
    interval, interval_of_difference, latency, microseconds, signed_microseconds, thousands,
};
use crate::results::Results;
use crate::stats::{Estimate, Verdict};
use crate::studies::count::figures as counts;
use crate::studies::ladder::figures::{Figures, RegimeFigures, Row};
use crate::studies::ladder::square;
use crate::studies::ladder::square::SquareFigures;

#[derive(Template)]
#[template(path = "sections/regimes.html")]
struct Regimes<'a> {
    regimes: Vec<RegimeView<'a>>,
    reference: &'a str,
}

struct RegimeView<'a> {
    title: String,
    blocks: String,
    ladder: Option<Picture>,
    percentiles: Option<Picture>,
    /// Of those who are on that picture.
    legend: Vec<&'a Key>,
    rows: Vec<RowView>,
    failures: Vec<String>,
    noise: String,
    /// Interval of the ratio of the A/A pair.
    a_to_a: String,
    square: Option<SquareView>,
}

struct RowView {
    name: String,
    again: bool,
    cpu: String,
    parts: String,
    ratio: String,
    spread: String,
    requests_per_s: String,
    p50: String,
    p99: String,
}

/// The corners, and what lies between them.
struct SquareView {
    plain: String,
    tokio: String,
    hyper: String,
    both: String,
    tokio_to_core: Effect,
    tokio_to_hyper: Effect,
    hyper_on_mio: Effect,
    hyper_on_tokio: Effect,
    interaction: Effect,
}

/// A difference in words.
struct Effect {
    value: String,
    spread: String,
    is_noise: bool,
}

/// All regimes.
pub(crate) fn render(context: &Context<'_>) -> Section {
    let Context { results, regimes, legend, .. } = *context;
    if regimes.is_empty() {
        return Ok(None);
    }
    let views: Result<_, PlotError> = results
        .regimes
        .iter()
        .zip(regimes)
        .map(|(regime, figures)| {
            let square = square::of(results, regime, figures);
            regime_view(results, figures, square.as_ref(), legend)
        })
        .collect();
    let section = Regimes { regimes: views?, reference: &results.reference };
    Ok(Some(section.render()?))
}

fn regime_view<'a>(
    results: &Results,
    regime: &RegimeFigures,
    square: Option<&SquareFigures>,
    legend: &'a [Key],
) -> Result<RegimeView<'a>, PlotError> {
    let reference = &results.reference;
    let curves: Vec<(usize, &[(u64, u64)])> = legend
        .iter()
        .enumerate()
        .filter_map(|(place, key)| Some((place, regime.of(&key.name)?.latencies.as_slice())))
        .collect();
    let failed = |row: &Row| {
        let reason = row.figures.as_ref().err()?;
        Some(format!("{} has no figures: {reason}", row.contender))
    };
    Ok(RegimeView {
        title: regime.title.clone(),
        blocks: method::blocks(regime),
        ladder: ladder(results, regime)?,
        percentiles: plots::percentiles(&regime.title, &curves)?,
        legend: legend.iter().filter(|key| regime.of(&key.name).is_some()).collect(),
        rows: regime
            .rows
            .iter()
            .filter_map(|row| Some(row_view(row, row.figures.as_ref().ok()?, reference)))
            .collect(),
        failures: regime.rows.iter().filter_map(failed).collect(),
        noise: method::noise(regime, reference),
        a_to_a: match regime.a_to_a.and_then(|ratio| ratio.interval) {
            Some(bounds) => interval(bounds),
            None => "none".to_string(),
        },
        square: square.map(square_view),
    })
}

/// The bars, with the ratio beside each, and its instructions where they were counted.
pub(crate) fn ladder(
    results: &Results,
    regime: &RegimeFigures,
) -> Result<Option<Picture>, PlotError> {
    let beside = |contender: &str| {
        let ratio = regime.of(contender)?.ratio.map(|ratio| format!("{:.2}×", ratio.value));
        let instructions = counts::instructions(results, &regime.key, contender);
        let instructions = instructions.map(|each| format!("{} instr.", thousands(each)));
        let known: Vec<String> = ratio.into_iter().chain(instructions).collect();
        (!known.is_empty()).then(|| known.join(" · "))
    };
    crate::studies::ladder::plot::ladder(regime, &beside)
}

fn row_view(row: &Row, figures: &Figures, reference: &str) -> RowView {
    let parts = figures.user_share.map_or(String::new(), |user| {
        let kernel = microseconds(figures.cpu_ns * (1.0 - user));
        format!("{kernel} kernel, {} user", microseconds(figures.cpu_ns * user))
    });
    let (ratio, spread) = match figures.ratio {
        None if row.contender == reference => ("1".to_string(), String::new()),
        None => ("–".to_string(), String::new()),
        Some(ratio) => (format!("{:.3}", ratio.value), spread(ratio, figures.verdict, row.again)),
    };
    RowView {
        name: row.contender.clone(),
        again: row.again,
        cpu: microseconds(figures.cpu_ns),
        parts,
        ratio,
        spread,
        requests_per_s: thousands(figures.requests_per_s),
        p50: figures.p50_ns.map_or("–".to_string(), latency),
        p99: figures.p99_ns.map_or("–".to_string(), latency),
    }
}

fn spread(ratio: Estimate, verdict: Verdict, again: bool) -> String {
    let bounds = ratio.interval.map_or("too few blocks".to_string(), interval);
    match verdict {
        _ if again => format!("{bounds}, A/A"),
        Verdict::NoDifference => format!("{bounds}, no difference"),
        Verdict::Unknown => format!("{bounds}, not sure"),
        Verdict::Less | Verdict::More => bounds,
    }
}

fn square_view(square: &SquareFigures) -> SquareView {
    let effect = |difference: Estimate| Effect {
        value: signed_microseconds(difference.value),
        spread: interval_of_difference(difference),
        is_noise: square.is_noise(difference),
    };
    SquareView {
        plain: microseconds(square.plain),
        tokio: microseconds(square.tokio),
        hyper: microseconds(square.hyper),
        both: microseconds(square.both),
        tokio_to_core: effect(square.tokio_to_core),
        tokio_to_hyper: effect(square.tokio_to_hyper),
        hyper_on_mio: effect(square.hyper_on_mio),
        hyper_on_tokio: effect(square.hyper_on_tokio),
        interaction: effect(square.interaction),
    }
}
