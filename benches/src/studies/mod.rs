//! One folder a study: its arguments (`args`), its measurement (`measure`), what it
//! records (`record`), the figures made of the record (`figures`) and its part of the
//! report (`section`).
//!
//! A study is a folder and one line in [`STUDIES`]. Its record is a field of
//! [`Results`](crate::results::Results), and its command an arm of [`crate::cli`].

mod args;
pub mod arrivals;
pub mod count;
pub mod knee;
pub mod ladder;
pub mod memory;
pub mod offload;
pub mod scaling;
pub mod state;
pub mod work;

use crate::report::plots::PlotError;
use crate::report::section::{Context, Options, Report, Section, Sections};
use crate::report::{gate, machine};
use crate::results::Results;

/// Makes the sections of a study.
type Study = fn(&Context<'_>) -> Sections;

/// Name and sections of each study, in the order of the report.
const STUDIES: &[(&str, Study)] = &[
    ("ladder", ladder::section::sections),
    ("count", count::section::sections),
    ("work", work::section::sections),
    ("memory", memory::section::sections),
    ("arrivals", arrivals::section::sections),
    ("knee", knee::section::sections),
    ("scaling", scaling::section::sections),
    ("offload", offload::section::sections),
];

/// Makes the report of all that was measured.
pub fn report(results: &Results, options: &Options<'_>) -> Result<Report, PlotError> {
    let instructions = |regime: &str, key: &str| count::figures::instructions(results, regime, key);
    let context = Context { results, options, instructions: &instructions };
    let mut order: Vec<_> = STUDIES.iter().collect();
    // A stable sort: the others keep their order.
    order.sort_by_key(|(name, _)| *name != options.first);
    let mut sections: Vec<Section> = Vec::new();
    for (_, of_study) in order {
        sections.extend(of_study(&context)?);
    }
    let regimes = ladder::figures::of(results);
    let mut answer = match options.first {
        "" | "ladder" => ladder::answer::sentences(&context, &regimes),
        _ => Vec::new(),
    };
    if answer.is_empty() {
        let first = sections.iter_mut().find(|section| !section.answer.is_empty());
        answer = first.map(|section| std::mem::take(&mut section.answer)).unwrap_or_default();
    }
    sections.push(servers(results));
    sections.extend(results.gate.as_ref().map(gate::section));
    if !regimes.is_empty() {
        sections.extend(ladder::method::sections(results));
    }
    let mut facts = ladder::method::of_the_run(results);
    if !results.earlier.is_empty() {
        let names = results.run_names().join(", ");
        facts.push((format!("runs in this file, this one {}", results.name), names));
    }
    sections.push(machine::section(&results.machine, facts));
    Ok(Report {
        answer,
        warnings: ladder::method::warnings(results, &regimes),
        machine: machine::in_brief(&results.machine),
        sections,
        version: results.version.clone(),
    })
}

/// Draws the ladder in the first regime alone, as an SVG file.
pub fn ladder_picture(results: &Results) -> Result<Option<String>, PlotError> {
    let instructions = |regime: &str, key: &str| count::figures::instructions(results, regime, key);
    let options = Options::default();
    let context = Context { results, options: &options, instructions: &instructions };
    let regimes = ladder::figures::of(results);
    let Some(regime) = regimes.first() else { return Ok(None) };
    Ok(ladder::section::picture(&context, regime)?.map(|picture| picture.wide))
}

fn servers(results: &Results) -> Section {
    let mut section = Section::new("The servers");
    let about = results.contenders.iter().map(|of| (of.key.clone(), of.about.clone()));
    section.definitions = about.collect();
    section
}
