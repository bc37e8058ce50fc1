//! The report as one HTML page, with everything it needs in it.
//!
//! Here figures become words; where they stand is the template's affair.

use askama::Template;

use super::figures::{self, Figures, RegimeFigures, Row};
use super::plots::{self, Picture, PlotError};
use super::square::{self, SquareFigures};
use super::stats::{Estimate, Verdict};
use super::units::{
    interval, interval_of_difference, latency, microseconds, signed_microseconds, thousands,
};
use super::{answer, gate, method};
use crate::results::Results;

/// What a report can be asked for beside its file.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Price of one core for an hour, in dollars.
    pub price_per_core_hour: f64,
}

impl Default for Options {
    /// The machine of 2017: four cores for 0.05 dollars an hour.
    fn default() -> Self {
        Self { price_per_core_hour: 0.0125 }
    }
}

/// Why there is no page.
#[derive(Debug)]
pub enum PageError {
    /// A picture cannot be drawn.
    Plot(PlotError),
    /// The template cannot be filled.
    Template(askama::Error),
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    answer: Vec<String>,
    warnings: Vec<String>,
    regimes: Vec<RegimeView>,
    legend: Vec<Key>,
    reference: String,
    price: Option<PriceView>,
    gate: Option<gate::GateView>,
    machine: Vec<(&'static str, String)>,
    machine_in_brief: String,
    method: Vec<String>,
    doubts: Vec<String>,
    version: String,
}

/// A contender and its colour.
struct Key {
    name: String,
    colour: &'static str,
    about: String,
}

struct RegimeView {
    title: String,
    blocks: usize,
    ladder: Option<Picture>,
    percentiles: Option<Picture>,
    rows: Vec<RowView>,
    failures: Vec<String>,
    noise: String,
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

struct PriceView {
    per_core_hour: String,
    regime: String,
    rows: Vec<(String, String)>,
}

/// Renders the page.
pub fn render(results: &Results, options: &Options) -> Result<String, PageError> {
    let regimes = figures::of(results);
    let legend = legend(results);
    let views: Result<_, PlotError> = results
        .regimes
        .iter()
        .zip(&regimes)
        .map(|(regime, figures)| {
            let square = square::of(results, regime, figures);
            regime_view(figures, square.as_ref(), &legend, &results.reference)
        })
        .collect();
    let page = Page {
        answer: answer::sentences(results, &regimes),
        warnings: method::warnings(results, &regimes),
        regimes: views?,
        legend,
        reference: results.reference.clone(),
        price: price(&regimes, options),
        gate: results.gate.as_ref().map(gate::view),
        machine: method::machine(results),
        machine_in_brief: method::machine_in_brief(&results.machine),
        method: method::method(results),
        doubts: method::doubts(results),
        version: results.version.clone(),
    };
    Ok(page.render()?)
}

fn legend(results: &Results) -> Vec<Key> {
    let mut seen = Vec::new();
    let first = results.contenders.iter().filter(|contender| {
        let again = seen.contains(&contender.variant);
        seen.push(contender.variant.clone());
        !again
    });
    first
        .enumerate()
        .map(|(place, contender)| Key {
            name: contender.key.clone(),
            colour: plots::colour(place),
            about: contender.about.clone(),
        })
        .collect()
}

fn regime_view(
    regime: &RegimeFigures,
    square: Option<&SquareFigures>,
    legend: &[Key],
    reference: &str,
) -> Result<RegimeView, PlotError> {
    let beside = |contender: &str| {
        let ratio = regime.of(contender)?.ratio?;
        Some(format!("{:.2}×", ratio.value))
    };
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
        blocks: regime.blocks,
        ladder: plots::ladder(regime, &beside)?,
        percentiles: plots::percentiles(&regime.title, &curves)?,
        rows: regime
            .rows
            .iter()
            .filter_map(|row| Some(row_view(row, row.figures.as_ref().ok()?, reference)))
            .collect(),
        failures: regime.rows.iter().filter_map(failed).collect(),
        noise: method::noise(regime, reference),
        square: square.map(square_view),
    })
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

/// What five cents buy, in the regime with work if there is one, as in 2017.
fn price(regimes: &[RegimeFigures], options: &Options) -> Option<PriceView> {
    let regime = regimes.iter().find(|regime| regime.key == "data").or(regimes.first())?;
    let core_seconds = 0.05 / options.price_per_core_hour * 3600.0;
    let millions = |figures: &Figures| core_seconds * 1e9 / figures.cpu_ns / 1e6;
    let rows = regime.rows.iter().filter(|row| !row.again).filter_map(|row| {
        let figures = row.figures.as_ref().ok()?;
        Some((row.contender.clone(), format!("{} million", thousands(millions(figures)))))
    });
    Some(PriceView {
        per_core_hour: format!("${}", options.price_per_core_hour),
        regime: regime.title.clone(),
        rows: rows.collect(),
    })
}

impl std::error::Error for PageError {}

impl std::fmt::Display for PageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plot(error) => error.fmt(f),
            Self::Template(error) => write!(f, "the page cannot be filled: {error}"),
        }
    }
}

impl From<PlotError> for PageError {
    fn from(error: PlotError) -> Self {
        Self::Plot(error)
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        Self::Template(error)
    }
}
