//! `cargo bench -- work`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::report::section::Options;
use crate::results::Settings;
use crate::rig::study::Common;
use crate::studies::work::measure as work;
use crate::studies::work::measure::Plan;
use crate::variants::{REFERENCE, SQUARE};
use anyhow::{Context, ensure};
use clap::Args;

use crate::cli::output::{ended, interrupts, results_path, show};
use crate::cli::servers::{Setup, entrants, plan, warn};

#[derive(Args)]
pub(crate) struct Work {
    /// Measure for this many seconds in all
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Length of one slice in milliseconds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    slice_ms: u64,
    /// Seed of the random order [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Where to add the results [default: pinloop/results.json in cargo's target
    /// directory]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    setup: Setup,
}

pub(crate) fn run(arguments: &Work) -> anyhow::Result<ExitCode> {
    let mut ladder = plan(&arguments.setup)?;
    ladder.settings.slice_ms = arguments.slice_ms;
    ladder.settings.seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    warn(&ladder.settings);
    let [_, _, _, over] = SQUARE;
    let again = format!("{REFERENCE}_again");
    let takes_part = [REFERENCE, over, &again];
    let of = |settings: &Settings| -> anyhow::Result<Vec<_>> {
        let mut entrants = entrants(settings, true)?;
        entrants.retain(|entrant| takes_part.contains(&entrant.contender.key.as_str()));
        ensure!(entrants.len() == takes_part.len(), "not all of {takes_part:?} are there");
        Ok(entrants)
    };
    let contenders = of(&ladder.settings)?.into_iter().map(|entrant| entrant.contender).collect();
    let path = results_path(arguments.out.as_deref())?;
    let common = Common {
        settings: ladder.settings.clone(),
        host: ladder.host.clone(),
        load_hosts: ladder.load_hosts.clone(),
        path: "/data".to_string(),
        reference: REFERENCE.to_string(),
        left_out: Vec::new(),
    };
    let mut results = common.open(&path, contenders)?;
    let plan = Plan {
        settings: ladder.settings,
        host: ladder.host,
        load_hosts: ladder.load_hosts,
        base: REFERENCE.to_string(),
        over: over.to_string(),
        again: again.clone(),
        budget: Duration::from_secs(arguments.seconds),
    };

    let with = |rounds| {
        of(&Settings { work_rounds: rounds, ..plan.settings.clone() }).map_err(io::Error::other)
    };
    let stop = interrupts()?;
    let found = work::run(&plan, &with, &stop, &mut |work| {
        results.studies.work = Some(work.clone());
        results.write(&path)
    });
    let found = found.with_context(|| format!("cannot measure, or write {}", path.display()))?;
    show(&results, &path, &Options { first: "work", ..Options::default() })?;
    let failed = found.points.iter().any(|point| !point.regime.failures.is_empty());
    Ok(ended(found.complete, failed))
}
