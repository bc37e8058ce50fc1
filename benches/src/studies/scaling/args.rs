//! Arguments of the study.

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::measure;
use crate::cli::output::{interrupts, results_path};
use crate::results::Settings;
use crate::rig::machine;
use crate::serve::Cores;
use crate::studies::args::{Study, finish};

#[derive(Args)]
pub(crate) struct Scaling {
    /// Estimate the rate on this number of cores
    #[arg(long, value_name = "CORES",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    plan: Option<usize>,
    /// Connections kept open for each core of a server
    #[arg(short, long, value_name = "N", default_value_t = 32,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    connections: usize,
    /// Slices of each server on each number of cores; fewer than 6 give no interval
    #[arg(long, value_name = "N", default_value_t = 20,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    blocks: usize,
    /// Length of one slice in milliseconds
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    slice_ms: u64,
    #[command(flatten)]
    study: Study,
}

pub(crate) fn run(arguments: &Scaling) -> anyhow::Result<ExitCode> {
    let study = &arguments.study;
    study.setup.must_load_from_here("scaling")?;
    let allowed = machine::allowed_cores().context("cannot tell which CPUs may be used")?;
    let mut setup = study.setup.clone();
    setup.on_all_cores = true;
    let mut common = study.common("scaling", &setup)?;
    common.settings.slice_ms = arguments.slice_ms;
    let plan = measure::Plan {
        common,
        generator_cores: setup.generator_cores.map_or(allowed, |Cores(cores)| cores),
        connections_per_core: arguments.connections,
        blocks: arguments.blocks,
        plan_cores: arguments.plan,
    };
    let (path, stop) = (results_path(study.out.as_deref())?, interrupts()?);
    let entrants = |cores: &[usize]| {
        let settings = Settings { server_cores: cores.to_vec(), ..plan.common.settings.clone() };
        study.entrants(&plan.common, &settings).map_err(io::Error::other)
    };
    finish("scaling", measure::run(&plan, entrants, &path, &stop), &path, |results| {
        let scaling = results.studies.scaling.as_ref()?;
        Some((scaling.occasion.complete, !scaling.failures.is_empty()))
    })
}
