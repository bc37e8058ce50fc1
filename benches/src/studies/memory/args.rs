//! `cargo bench -- memory`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::report::section::Options;
use crate::rig::study::Common;
use crate::studies::memory::measure as memory;
use crate::variants::REFERENCE;
use anyhow::Context;
use clap::Args;

use crate::cli::output::{ended, interrupts, results_path, show};
use crate::cli::servers::{Setup, chosen, plan, variant_name, warn};

#[derive(Args)]
pub(crate) struct Memory {
    /// Only these variants, such as pinloop,axum [default: the ladder's]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = variant_name())]
    variants: Vec<String>,
    /// Connections, at most
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    connections: u32,
    /// Where to add the results [default: pinloop/results.json in cargo's target
    /// directory]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    setup: Setup,
}

pub(crate) fn run(arguments: &Memory) -> anyhow::Result<ExitCode> {
    arguments.setup.must_load_from_here("memory")?;
    let plan = plan(&arguments.setup)?;
    warn(&plan.settings);
    let mut entrants = chosen(&plan, &arguments.variants)?;
    for entrant in &mut entrants {
        entrant.command.args(["--connections", &arguments.connections.to_string()]);
    }
    let contenders = entrants.iter().map(|entrant| entrant.contender.clone()).collect();
    let path = results_path(arguments.out.as_deref())?;
    let common = Common {
        settings: plan.settings.clone(),
        host: plan.host.clone(),
        load_hosts: plan.load_hosts.clone(),
        path: "/".to_string(),
        reference: REFERENCE.to_string(),
        left_out: Vec::new(),
    };
    let mut results = common.open(&path, contenders)?;

    let stop = interrupts()?;
    let connections = arguments.connections as usize;
    let found = memory::run(&plan.settings, &plan.host, connections, entrants, &stop, &mut |memory| {
        results.studies.memory = Some(memory.clone());
        results.write(&path)
    });
    let found = found.with_context(|| format!("cannot measure, or write {}", path.display()))?;
    show(&results, &path, &Options { first: "memory", ..Options::default() })?;
    Ok(ended(found.complete, !found.failures.is_empty()))
}
