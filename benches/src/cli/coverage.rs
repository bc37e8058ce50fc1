//! `cargo bench -- coverage`: how often the intervals of the ladder hold the true value.

use std::process::ExitCode;

use clap::Args;

use super::output::say;
use crate::report::section::{Section, Table};
use crate::report::terminal;
use crate::stats::coverage::{Coverage, STARTS_DEFAULT, STARTS_FULL, WORLDS, simulate};

#[derive(Args)]
pub(crate) struct Simulation {
    /// Simulated runs of each world
    #[arg(long, value_name = "N", default_value_t = 10_000,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    runs: usize,
    /// Seed of the simulated noise
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Simulates runs of the ladder in five worlds, and prints a table.
pub(crate) fn run(arguments: &Simulation) -> anyhow::Result<ExitCode> {
    let mut section = Section::new("Share of the 95 % intervals that hold the true ratio");
    let head = |starts: usize| format!("{starts} starts");
    let columns = ["world".to_string(), head(STARTS_DEFAULT), head(STARTS_FULL)];
    let mut table = Table::new("", &columns);
    for world in WORLDS {
        let cell = |starts| {
            let Coverage { share, half_width } =
                simulate(world, starts, arguments.runs, arguments.seed);
            format!("{:.1} % at ±{:.2} %", share * 100.0, half_width * 100.0)
        };
        table.row([world.name(), cell(STARTS_DEFAULT), cell(STARTS_FULL)]);
    }
    section.tables.push(table);
    section.notes.push(format!(
        "{} simulated runs each. ± is the mean half width of the interval.",
        arguments.runs
    ));
    say(&terminal::section(&section))?;
    Ok(ExitCode::SUCCESS)
}
