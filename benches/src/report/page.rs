//! The report as one HTML page, with everything it needs in it.
//!
//! Here is the frame: the answer, and which sections there are, in their order.
//! How to add one is said in [the module](super).

use askama::Template;

use crate::report::plots::{self, PlotError};
use crate::report::{answer, method, sections};
use crate::results::Results;
use crate::studies::ladder::figures;
use crate::studies::ladder::figures::RegimeFigures;
use crate::studies::{self, ladder};

/// In the order of the page. Each is none where the results have nothing for it.
const SECTIONS: &[fn(&Context<'_>) -> Section] = &[
    ladder::sections::changes::render,
    ladder::sections::overview::render,
    ladder::sections::regimes::render,
    studies::count::section::render,
    studies::work::section::render,
    studies::memory::section::render,
    studies::arrivals::section::render,
    studies::knee::section::render,
    studies::scaling::section::render,
    studies::offload::section::render,
    ladder::sections::price::render,
    sections::contenders::render,
    sections::gate::render,
    sections::method::render,
    sections::machine::render,
];

/// HTML of a section, if there is something to show.
pub type Section = Result<Option<String>, PageError>;

/// What a report can be asked for beside its file.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Price of one core for an hour, in dollars.
    pub price_per_core_hour: f64,
    /// An older run, to say what changed since.
    pub baseline: Option<&'a Results>,
}

impl Default for Options<'_> {
    /// The machine of 2017: four cores for 0.05 dollars an hour. No older run.
    fn default() -> Self {
        Self { price_per_core_hour: 0.0125, baseline: None }
    }
}

/// What sections are made of.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The counts.
    pub results: &'a Results,
    /// The figures of the ladder.
    pub regimes: &'a [RegimeFigures],
    /// The colours of all that is drawn.
    pub legend: &'a [Key],
    /// What was asked for.
    pub options: &'a Options<'a>,
}

impl Context<'_> {
    /// Where a contender stands on the ladder, and so in the legend.
    pub fn place(&self, contender: &str) -> usize {
        self.legend.iter().position(|key| key.name == contender).unwrap_or(0)
    }

    /// What a study has to say, unless it is the page's answer already, as it is without
    /// the ladder.
    pub fn beside_the_answer(&self, says: fn(&Results) -> Option<String>) -> Option<String> {
        if self.regimes.is_empty() { None } else { says(self.results) }
    }
}

/// A contender and its colour.
#[derive(Clone, Debug)]
pub struct Key {
    /// The contender's key.
    pub name: String,
    /// As in `#0072b2`.
    pub colour: &'static str,
    /// What it is, in one line.
    pub about: String,
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
    machine_in_brief: String,
    sections: Vec<String>,
    version: String,
}

/// Renders the page.
pub fn render(results: &Results, options: &Options<'_>) -> Result<String, PageError> {
    let regimes = figures::of(results);
    let legend = legend(results);
    let context = Context { results, regimes: &regimes, legend: &legend, options };
    let sections: Result<Vec<Option<String>>, PageError> =
        SECTIONS.iter().map(|section| section(&context)).collect();
    let page = Page {
        answer: answer::sentences(results, &regimes),
        warnings: method::warnings(results, &regimes),
        machine_in_brief: method::machine_in_brief(&results.machine),
        sections: sections?.into_iter().flatten().collect(),
        version: results.version.clone(),
    };
    Ok(page.render()?)
}

/// The picture of the ladder in the first regime alone, as an SVG file.
pub fn ladder_picture(results: &Results) -> Result<Option<String>, PageError> {
    let regimes = figures::of(results);
    let Some(regime) = regimes.first() else { return Ok(None) };
    let picture = ladder::sections::regimes::ladder(results, regime)?;
    Ok(picture.map(|picture| picture.wide))
}

/// The second of the A/A pair has no colour of its own.
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
