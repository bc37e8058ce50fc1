//! One folder a study: its arguments (`args`), its measurement (`measure`), what it
//! records (`record`), the figures made of the record (`figures`) and its part of the
//! report (`section`).
//!
//! A study is a folder and one entry of `studies!`, which makes its command, its record
//! in the file of results, and its place in the report.

mod args;
pub mod state;

use std::process::ExitCode;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::report::plots::PlotError;
use crate::report::section::{Context, Options, Report, Section, Sections};
use crate::report::{gate, machine, machines};
use crate::results::{Machines, OnMachines, Results};

/// Makes the sections of a study.
type Study = fn(&Context<'_>) -> Sections;

/// Declares the studies in the order of the report: the help text, the module, the
/// arguments, and the record with an older name of it.
macro_rules! studies {
    ($(
        #[doc = $about:literal]
        $module:ident: $Arguments:ident $(=> $Record:ident $(or $older:literal)?)?;
    )*) => {
        $(pub mod $module;)*

        /// A study on the command line.
        #[derive(Subcommand)]
        pub(crate) enum Command {
            $(#[doc = $about] $Arguments($module::args::$Arguments),)*
        }

        impl Command {
            /// Measures, and shows the report.
            pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
                match self {
                    $(Self::$Arguments(arguments) => $module::args::run(arguments),)*
                }
            }
        }

        /// Records of the studies beside the ladder.
        #[derive(Clone, Debug, Default, Deserialize, Serialize)]
        pub struct Records {
            $($(
                #[doc = concat!("The study `", stringify!($module), "`, if it was measured.")]
                #[serde(default, $(alias = $older,)? skip_serializing_if = "Option::is_none")]
                pub $module: Option<$module::record::$Record>,
            )?)*
        }

        impl Records {
            /// Returns the other machines of each study that was measured.
            pub fn machines(&self) -> Vec<&Machines> {
                let all = [$($(
                    self.$module.as_ref().and_then(<$module::record::$Record as OnMachines>::machines),
                )?)*];
                all.into_iter().flatten().collect()
            }
        }

        /// Name and sections of each study, in the order of the report.
        const STUDIES: &[(&str, Study)] =
            &[$((stringify!($module), $module::section::sections)),*];
    };
}

studies! {
    /// Measure every variant in every regime (the default)
    ladder: Ladder;
    /// Count exactly what a request takes: instructions, system calls, allocations
    count: Count => Counts or "counts";
    /// Measure from how much work on it no longer matters which server it is
    work: Work => Work;
    /// Measure the memory that an idle connection takes
    memory: Memory => Memory;
    /// Let clients arrive one after another, and see what becomes of latency
    arrivals: Arrivals => Arrivals;
    /// Find the highest rate that each server sustains
    knee: Knee => Knee;
    /// Measure the servers on 1, 2, … cores, and fit a law to it
    scaling: Scaling => Scaling;
    /// See what short requests have of long ones beside them, with and without offloading
    offload: Offload => Offload;
    /// Measure if it pays that threads share work, with few connections and with unlike requests
    balance: Balance => Balance;
}

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
    sections.extend(machines::section(&results.all_machines()));
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
