//! `cargo bench -- …`: parses the command line and calls the study.

pub(crate) mod check;
pub(crate) mod coverage;
pub(crate) mod output;
pub(crate) mod outside;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod servers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::check::Check;
use self::coverage::Simulation;
use self::output::say;
use self::outside::Become;
use self::plan::Plan;
use self::report::Report;
use crate::load;
use crate::load::command::LoadArgs;
use crate::rig::agent;
use crate::serve::{self, Serve};
use crate::studies::ladder::args::{self as ladder, Ladder};
use crate::studies::state::args::State;
use crate::studies::{self, state};
use crate::variants;

/// Measures the CPU time per request that HTTP servers cost on top of a hand-written one,
/// layer by layer, on this machine.
#[derive(Parser)]
#[command(bin_name = "cargo bench --", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    ladder: Ladder,
    /// Flag that cargo adds by itself.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Study(studies::Command),
    /// See what metrics, an access log and a rate limit cost pinloop
    State(State),
    /// Only check that every server gives the same answers
    Check(Check),
    /// Show the report of an earlier run
    Report(Report),
    /// Plan many machines from the studies knee and scaling of one
    Plan(Plan),
    /// Simulate how often the intervals of the ladder hold the true value
    Coverage(Simulation),
    /// Load any HTTP/1.1 server, as wrk does
    Load(LoadArgs),
    /// Serve one variant until the process is ended
    #[command(hide = true)]
    Serve(Serve),
    /// Start servers and read what they use, as told over stdin
    #[command(hide = true)]
    Agent,
    /// Become a server from outside that ends with the process that measures it
    #[command(hide = true)]
    Become(Become),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Arguments { command, ladder, bench } = Arguments::parse();
    let done = match command {
        Some(Command::Study(study)) => study.run(),
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Report(arguments)) => report::run(&arguments),
        Some(Command::State(arguments)) => state::args::run(&arguments),
        Some(Command::Plan(arguments)) => plan::run(&arguments),
        Some(Command::Coverage(arguments)) => coverage::run(&arguments),
        Some(Command::Load(arguments)) => return load::command::run(&arguments),
        Some(Command::Serve(arguments)) => serve::run(&arguments).map(|()| ExitCode::SUCCESS),
        Some(Command::Agent) => {
            let unavailable = |name: &str| variants::find(name).and_then(variants::unavailable);
            agent::program::run(unavailable)
                .map(|()| ExitCode::SUCCESS)
                .map_err(anyhow::Error::from)
        }
        Some(Command::Become(arguments)) => outside::become_server(&arguments),
        None if bench => ladder::run(&ladder),
        // `cargo test --all-targets` runs benches too, without `--bench`.
        None => say("Nothing measured: this is run by `cargo bench`.").map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
