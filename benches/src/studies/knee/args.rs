//! Arguments of the study.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::measure;
use super::record::Bound;
use crate::cli::output::{interrupts, results_path};
use crate::cli::servers::warn;
use crate::load::command::parse_time;
use crate::studies::args::{Study, finish};

/// Share of an offered rate that must have been answered. A look at a rate ends with
/// its last answer; so even where all is well that is less than all of it, by the
/// latency that the other bound allows in one second.
const REACHED: f64 = 0.98;

#[derive(Args)]
pub(crate) struct Knee {
    /// The 99th percentile of latency that a rate may have to be called sustained
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = parse_time)]
    p99: Duration,
    /// Connections kept open to each server
    #[arg(short, long, value_name = "N", default_value_t = 64,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    connections: usize,
    /// Length of one look at a rate
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time)]
    probe: Duration,
    /// Number of searches for the knee; fewer than 6 give no interval
    #[arg(long, value_name = "N", default_value_t = 7,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    searches: usize,
    #[command(flatten)]
    study: Study,
}

pub(crate) fn run(arguments: &Knee) -> anyhow::Result<ExitCode> {
    let study = &arguments.study;
    let common = study.common("knee", &study.setup)?;
    warn(&common.settings);
    let plan = measure::Plan {
        common,
        bound: Bound { p99_ns: arguments.p99.as_nanos() as u64, reached: REACHED },
        connections: arguments.connections,
        probe: arguments.probe,
        searches: arguments.searches,
    };
    let (path, stop) = (results_path(study.out.as_deref())?, interrupts()?);
    let entrants = study.entrants(&plan.common, &plan.common.settings)?;
    finish("knee", measure::run(&plan, entrants, &path, &stop), &path, |results| {
        let knee = results.studies.knee.as_ref()?;
        Some((knee.occasion.complete, !knee.failures.is_empty()))
    })
}
