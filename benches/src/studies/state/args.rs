//! Arguments of the study: the cost of metrics, an access log and a rate limit.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::report::section::Options;
use crate::studies::ladder::measure as ladder;
use crate::variants::{REFERENCE, STATE, VARIANTS, Variant};

use crate::cli::output::{ended, interrupts, results_path, show};
use crate::cli::servers::{Setup, entrants_of, plan, warn};

#[derive(Args)]
pub(crate) struct State {
    /// Measure for this many seconds in all
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Length of one slice in milliseconds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    slice_ms: u64,
    /// Seed of the random order [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Where to write the results [default: pinloop/state.json in cargo's target
    /// directory]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    setup: Setup,
}

pub(crate) fn run(arguments: &State) -> anyhow::Result<ExitCode> {
    let mut plan = plan(&arguments.setup)?;
    plan.square = None;
    plan.budget = Duration::from_secs(arguments.seconds);
    plan.settings.study = "state".to_string();
    plan.settings.slice_ms = arguments.slice_ms;
    plan.settings.seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    warn(&plan.settings);

    let path = match &arguments.out {
        Some(path) => results_path(Some(path))?,
        None => results_path(None)?.with_file_name("state.json"),
    };
    let stop = interrupts()?;
    let plain = VARIANTS.iter().filter(|variant| variant.name == REFERENCE);
    let variants: Vec<&Variant> = plain.chain(STATE).collect();
    let entrants = entrants_of(&variants, &plan.settings, true)?;
    let results = ladder::run(&plan, entrants, &path, &stop)
        .with_context(|| format!("cannot measure, or write {}", path.display()))?;
    show(&results, &path, &Options::default())?;
    let failed = results.regimes.iter().any(|regime| !regime.failures.is_empty());
    Ok(ended(results.complete, failed))
}
