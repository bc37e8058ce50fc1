//! `cargo bench -- report`: shows a file of results, and checks claims about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;

use super::output::{from_callers_directory, say, show};
use crate::report::markdown;
use crate::report::section::Options;
use crate::results::Results;
use crate::studies;
use crate::studies::ladder::assertion::Assertion;

/// Exit status when an `--assert` fails.
const CLAIM_FAILED: u8 = 3;

#[derive(Args)]
pub(crate) struct Report {
    /// A results.json
    file: PathBuf,
    /// Print Markdown, for a pull request, and write no page
    #[arg(long)]
    markdown: bool,
    /// Write the picture of the ladder, in the first regime, to this SVG file
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Put the answer, the table and the machine between the marks of this Markdown
    /// file, which has them for it
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,
    /// Show this run of the file, and not the newest one
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// The results.json of an older run: say what changed since, beyond noise
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// A claim, such as 'pinloop.cpu_ns < 0.9 * hyper_per_core.cpu_ns'; of another
    /// regime than the first as 'pipelined: …'. Exits with 3 unless the whole 95 %
    /// interval is so. Can be given several times
    #[arg(long = "assert", value_name = "CLAIM")]
    claims: Vec<Assertion>,
    #[command(flatten)]
    price: Price,
}

#[derive(Args)]
pub(crate) struct Price {
    /// Dollars for one core and an hour, to reckon what requests cost
    #[arg(long, default_value_t = Options::default().price_per_core_hour, value_parser = price)]
    price_per_core_hour: f64,
}

impl Price {
    pub(crate) fn options(&self) -> Options<'static> {
        Options { price_per_core_hour: self.price_per_core_hour, ..Options::default() }
    }
}

pub(crate) fn run(arguments: &Report) -> anyhow::Result<ExitCode> {
    let read = |file: &Path| {
        let file = from_callers_directory(file);
        Results::read(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let mut results = read(&arguments.file)?;
    if let Some(name) = &arguments.run {
        let names = results.run_names().join(", ");
        ensure!(results.show_run(name), "there is no run {name:?}; there are {names}");
    }
    let baseline = arguments.baseline.as_deref().map(read).transpose()?;
    let options = Options { baseline: baseline.as_ref(), ..arguments.price.options() };
    let report = studies::report(&results, &options)?;
    if arguments.markdown {
        say(markdown::render(&report).trim_end())?;
    } else {
        show(&results, &from_callers_directory(&arguments.file), &options)?;
    }
    if let Some(path) = &arguments.picture {
        let path = from_callers_directory(path);
        let picture = studies::ladder_picture(&results)?.context("there is nothing to draw")?;
        fs::write(&path, picture).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &arguments.readme {
        let path = from_callers_directory(path);
        let readme =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let readme = markdown::into_readme(&report, &readme)
            .with_context(|| format!("{} has no marks for a run", path.display()))?;
        fs::write(&path, readme).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut all_hold = true;
    for claim in &arguments.claims {
        let outcome = claim.check(&results);
        // Not among the Markdown, which is for a file.
        eprintln!("{}", outcome.sentence);
        all_hold &= outcome.holds;
    }
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::from(CLAIM_FAILED) })
}

fn price(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(price) if f64::is_finite(price) && price > 0.0 => Ok(price),
        _ => Err("expected dollars, more than 0, such as 0.0125".to_string()),
    }
}
