//! `cargo bench -- …`: parses the command line and calls the study.

pub(crate) mod check;
pub(crate) mod coverage;
pub(crate) mod output;
pub(crate) mod outside;
pub(crate) mod report;
pub(crate) mod servers;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::check::Check;
use self::coverage::Simulation;
use self::output::say;
use self::outside::Become;
use self::report::Report;
use crate::load;
use crate::load::command::LoadArgs;
use crate::serve::{self, Serve};
use crate::studies::arrivals::args::Arrivals;
use crate::studies::count::args::Count;
use crate::studies::knee::args::Knee;
use crate::studies::ladder::args::{self as ladder, Ladder};
use crate::studies::memory::args::Memory;
use crate::studies::offload::args::Offload;
use crate::studies::scaling::args::Scaling;
use crate::studies::state::args::State;
use crate::studies::work::args::Work;
use crate::studies::{arrivals, count, knee, memory, offload, scaling, state, work};

/// Measures the CPU time per request that HTTP servers cost on top of a hand-written one,
/// layer by layer, on this machine.
#[derive(Parser)]
#[command(bin_name = "cargo bench --", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    study: Option<Study>,
    #[command(flatten)]
    ladder: Ladder,
    /// Flag that cargo adds by itself.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Study {
    /// Measure every variant in every regime (the default)
    Ladder(Ladder),
    /// Only check that every server gives the same answers
    Check(Check),
    /// Show the report of an earlier run
    Report(Report),
    /// Count exactly what a request takes: instructions, system calls, allocations
    Count(Count),
    /// Measure the memory that an idle connection takes
    Memory(Memory),
    /// Measure from how much work on it no longer matters which server it is
    Work(Work),
    /// Let clients arrive one after another, and see what becomes of latency
    Arrivals(Arrivals),
    /// Find the highest rate that each server sustains
    Knee(Knee),
    /// Measure the servers on 1, 2, … cores, and fit a law to it
    Scaling(Scaling),
    /// See what short requests have of long ones beside them, with and without offloading
    Offload(Offload),
    /// See what metrics, an access log and a rate limit cost pinloop
    State(State),
    /// Simulate how often the intervals of the ladder hold the true value
    Coverage(Simulation),
    /// Load any HTTP/1.1 server, as wrk does
    Load(LoadArgs),
    /// Serve one variant until the process is ended
    #[command(hide = true)]
    Serve(Serve),
    /// Become a server from outside that ends with the process that measures it
    #[command(hide = true)]
    Become(Become),
}

/// Runs the command line of this process. `counted` is the program whose allocator
/// counts.
pub fn main(counted: &Path) -> ExitCode {
    let Arguments { study, ladder, bench } = Arguments::parse();
    let done = match study {
        Some(Study::Ladder(ladder)) => ladder::run(&ladder),
        Some(Study::Check(arguments)) => check::run(&arguments),
        Some(Study::Report(arguments)) => report::run(&arguments),
        Some(Study::Arrivals(arguments)) => arrivals::args::run(&arguments),
        Some(Study::Knee(arguments)) => knee::args::run(&arguments),
        Some(Study::Scaling(arguments)) => scaling::args::run(&arguments),
        Some(Study::Offload(arguments)) => offload::args::run(&arguments),
        Some(Study::State(arguments)) => state::args::run(&arguments),
        Some(Study::Coverage(arguments)) => coverage::run(&arguments),
        Some(Study::Load(arguments)) => return load::command::run(&arguments),
        Some(Study::Count(arguments)) => count::args::run(&arguments, counted),
        Some(Study::Memory(arguments)) => memory::args::run(&arguments),
        Some(Study::Work(arguments)) => work::args::run(&arguments),
        Some(Study::Serve(arguments)) => serve::run(&arguments).map(|()| ExitCode::SUCCESS),
        Some(Study::Become(arguments)) => outside::become_server(&arguments),
        None if bench => ladder::run(&ladder),
        // `cargo test --all-targets` runs benches too, without `--bench`.
        None => say("Nothing measured: this is run by `cargo bench`.").map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
