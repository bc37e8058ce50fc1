//! `cargo bench -- check`: the gate alone.

use std::process::ExitCode;

use clap::Args;

use super::output::say;
use super::outside::Outside;
use super::servers::{Setup, chosen, plan, variant_name};
use crate::report::{gate, terminal};
use crate::studies::ladder::measure;

#[derive(Args)]
pub(crate) struct Check {
    /// Only these variants, separated by commas [default: the ladder's]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = variant_name())]
    variants: Vec<String>,
    #[command(flatten)]
    outside: Outside,
    #[command(flatten)]
    setup: Setup,
}

/// Compares the answers of all variants, and of the servers of `--with`.
pub(crate) fn run(arguments: &Check) -> anyhow::Result<ExitCode> {
    let plan = plan(&arguments.setup)?;
    let mut entrants = chosen(&plan, &arguments.variants)?;
    entrants.extend(arguments.outside.entrants(&plan.settings)?);
    let (found, failures) = measure::check(&plan, entrants)?;
    for failure in &failures {
        say(&format!("{} {}", failure.contender, failure.reason))?;
    }
    let section = gate::section(&found);
    say(&terminal::section(&section))?;
    say(&terminal::quotes(&section))?;
    let passed = found.is_passed() && failures.is_empty();
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
