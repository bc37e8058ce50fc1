//! Arguments of the ladder, the study that runs by default.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::measure;
use crate::cli::output::{ended, interrupts, results_path, show};
use crate::cli::outside::Outside;
use crate::cli::report::Price;
use crate::cli::servers::{Setup, entrants_of, leave_out, plan, rung_name, warn};
use crate::results::GeneratorKind;
use crate::rig::regimes::{self, Regime};
use crate::rig::wrk;
use crate::variants::{REFERENCE, VARIANTS, Variant, full_ladder, measured_by_name};

#[derive(Args)]
pub(crate) struct Ladder {
    /// Measure for 20 s in all, with wider intervals, instead of about 90 s
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Measure in all regimes, with the rungs on io_uring and three times the number of starts, in
    /// about ten minutes
    #[arg(long, conflicts_with = "generator")]
    full: bool,
    /// Measure in these regimes only, separated by commas. One of them is not part of --full:
    /// connect10, with a connection for every ten requests
    #[arg(long, value_name = "KEYS", value_delimiter = ',', conflicts_with = "full", value_parser = regime())]
    regimes: Vec<Regime>,
    /// Measure these variants only, separated by commas; pinloop always takes part. Those on
    /// io_uring are otherwise part of --full alone, and pinloop_balanced and pinloop_steered of
    /// the study balance
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = rung_name())]
    variants: Vec<String>,
    #[command(flatten)]
    outside: Outside,
    /// What loads the servers: wrk shows that the figures don't hang on our generator.
    /// Its slices last a second at least, and so the whole some five minutes
    #[arg(long, default_value = "own", value_parser = generator)]
    generator: GeneratorKind,
    /// Measure for this many seconds in all
    #[arg(long, conflicts_with = "quick", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Length of one slice in milliseconds: short, so that a block is soon over,
    /// and long against the start of a run [default: 75; 1000 with wrk]
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    slice_ms: Option<u64>,
    /// Seed of the random order [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Name of this run in the file of results [default: ladder-1, ladder-2, …]
    #[arg(long)]
    name: Option<String>,
    /// Where to add the results [default: pinloop/results.json in cargo's
    /// target directory]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    price: Price,
    #[command(flatten)]
    setup: Setup,
}

pub(crate) fn run(arguments: &Ladder) -> anyhow::Result<ExitCode> {
    let mut plan = plan(&arguments.setup)?;
    let by_wrk = arguments.generator == GeneratorKind::Wrk;
    if by_wrk {
        arguments.setup.must_load_from_here("wrk")?;
        wrk::is_installed().map_err(anyhow::Error::msg)?;
        let cores = plan.settings.generator_cores.len();
        ensure!(cores == 1, "--generator wrk runs on one CPU; --generator-cores has {cores}");
    }
    plan.budget = Duration::from_secs(match arguments.seconds {
        Some(seconds) => seconds,
        None if arguments.full => 600,
        None if arguments.quick => 17,
        None if by_wrk => 300,
        None => 85,
    });
    plan.settings.generator = arguments.generator;
    if by_wrk {
        // Each slice of wrk is a process of its own, and lasts a second at least.
        plan.settings.warm_up_ms = 0;
    }
    plan.name.clone_from(&arguments.name);
    plan.settings.slice_ms = arguments.slice_ms.unwrap_or(if by_wrk { 1000 } else { 75 });
    plan.settings.seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    if arguments.full {
        plan.regimes = regimes::full();
    }
    if !arguments.regimes.is_empty() {
        plan.regimes = arguments.regimes.clone();
    }
    warn(&plan.settings);
    warn_of_tracking(&plan);

    let path = results_path(arguments.out.as_deref())?;
    let stop = interrupts()?;
    let mut rungs = rungs(arguments);
    plan.left_out = leave_out(&mut rungs, &plan.host)?;
    let mut entrants = entrants_of(&rungs, &plan.settings, true)?;
    entrants.extend(arguments.outside.entrants(&plan.settings)?);
    let results = measure::run(&plan, entrants, &path, &stop)
        .with_context(|| format!("cannot measure, or write {}", path.display()))?;
    show(&results, &path, &arguments.price.options())?;
    let failed = results.regimes.iter().any(|regime| !regime.failures.is_empty());
    Ok(ended(results.complete, failed))
}

/// Says that a connection for each request may fill the kernel's table of connections.
fn warn_of_tracking(plan: &measure::Plan) {
    let opens_many = plan.regimes.iter().any(|regime| regime.requests_per_connection.is_some());
    let machine = &plan.host.side().machine;
    let in_use = machine.tracked_connections.filter(|table| table.is_in_use());
    if let Some(table) = in_use.filter(|_| opens_many) {
        eprintln!(
            "warning: a firewall or a container engine tracks connections on {}, which costs time \
             for each packet; a connection for each request may fill the table of {} entries, and \
             then no server can be reached for two minutes. Exempt the servers' ports from tracking, \
             or raise net.netfilter.nf_conntrack_max",
            plan.host.side().host,
            table.max,
        );
    }
}

/// Returns the rungs that take part, from the bottom of the ladder up.
fn rungs(arguments: &Ladder) -> Vec<&'static Variant> {
    let is_asked_for = |name: &str| name == REFERENCE || arguments.variants.iter().any(|of| of == name);
    match (arguments.variants.is_empty(), arguments.full) {
        (true, false) => VARIANTS.iter().collect(),
        (true, true) => full_ladder().collect(),
        (false, _) => measured_by_name().filter(|variant| is_asked_for(variant.name)).collect(),
    }
}

/// Parses the key of a regime. For a misspelled key clap suggests a similar one.
fn regime() -> impl TypedValueParser<Value = Regime> {
    PossibleValuesParser::new(regimes::all().into_iter().map(|regime| regime.key)).try_map(|key| {
        regimes::all().into_iter().find(|regime| regime.key == key).ok_or("unknown regime")
    })
}

fn generator(text: &str) -> Result<GeneratorKind, String> {
    match text {
        "own" => Ok(GeneratorKind::Own),
        "wrk" => Ok(GeneratorKind::Wrk),
        _ => Err("expected own or wrk".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        ladder: Ladder,
    }

    fn names(options: &[&str]) -> Vec<&'static str> {
        let line = Line::parse_from([&["ladder"], options].concat());
        rungs(&line.ladder).iter().map(|variant| variant.name).collect()
    }

    #[test]
    fn the_rungs_on_io_uring_take_part_in_a_full_run_and_by_name() {
        assert_eq!(names(&[]), VARIANTS.iter().map(|of| of.name).collect::<Vec<_>>());
        assert_eq!(names(&["--quick"]), names(&[]));
        for pair in [["floor", "floor_on_uring"], ["pinloop", "pinloop_on_uring"]] {
            assert!(names(&["--full"]).windows(2).any(|neighbors| neighbors == pair), "{pair:?}");
        }
        assert_eq!(names(&["--full"]).len(), VARIANTS.len() + 2);
        assert_eq!(names(&["--variants", "pinloop_on_uring"]), ["pinloop", "pinloop_on_uring"]);
    }

    #[test]
    fn other_choices_of_the_core_take_part_by_name() {
        assert_eq!(names(&["--variants", "pinloop_balanced"]), ["pinloop", "pinloop_balanced"]);
        assert!(!names(&["--full"]).contains(&"pinloop_balanced"));
    }
}
