//! Arguments of the study.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, RangedU64ValueParser};

use super::measure::{self, Plan};
use crate::cli::output::{interrupts, results_path};
use crate::cli::servers::{AGAIN, Setup, entrants_of, plan};
use crate::load::command::parse_time;
use crate::results::Settings;
use crate::rig::machine;
use crate::rig::study::Common;
use crate::serve::Cores;
use crate::studies::args::{finish, path};
use crate::studies::ladder::measure as ladder;
use crate::variants::{self, REFERENCE, Variant};

#[derive(Args)]
pub(crate) struct Balance {
    /// Variants that take part, separated by commas; pinloop always does, twice
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "pinloop,pinloop_balanced,pinloop_steered,hyper_per_core,\
                         hyper_work_stealing,axum",
        value_parser = answering()
    )]
    variants: Vec<String>,
    /// Numbers of connections for each core of a server, with light requests only
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,4,8",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    connections: Vec<usize>,
    /// CPU times of the heavy requests: each makes a load in which 1 of 10 requests is heavy
    #[arg(long, value_name = "TIMES", value_delimiter = ',', default_value = "100us,700us,5ms",
        value_parser = parse_time)]
    heavy: Vec<Duration>,
    /// Connections for each core in the loads with heavy requests
    #[arg(long, value_name = "N", default_value_t = 4,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    heavy_connections: usize,
    /// Path of the light requests, with GET
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = path)]
    light: String,
    /// Measure for this many seconds in all
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Length of one slice in milliseconds; each server has two in each start
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    slice_ms: u64,
    /// Seed of the random order [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// The results that this study is added to, or a new file [default:
    /// pinloop/results.json in cargo's target directory]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    setup: Setup,
}

pub(crate) fn run(arguments: &Balance) -> anyhow::Result<ExitCode> {
    arguments.setup.must_load_from_here("balance")?;
    let allowed = machine::allowed_cores().context("cannot tell which CPUs may be used")?;
    let mut setup = arguments.setup.clone();
    setup.on_all_cores = true;
    let ladder::Plan { mut settings, host, load_hosts, .. } = plan(&setup)?;
    let cores = settings.server_cores.len();
    ensure!(cores > 1, "one CPU has nothing to balance; --server-cores takes two or more");
    settings.study = "balance".to_string();
    settings.slice_ms = arguments.slice_ms;
    settings.seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build, and its figures say nothing; use cargo bench");
    }
    let plan = Plan {
        common: Common {
            settings,
            host,
            load_hosts,
            path: "/data".to_string(),
            reference: REFERENCE.to_string(),
            left_out: Vec::new(),
        },
        light_path: arguments.light.clone(),
        again: format!("{REFERENCE}{AGAIN}"),
        generator_cores: setup.generator_cores.map_or(allowed, |Cores(cores)| cores),
        connections_per_core: arguments.connections.clone(),
        heavy: arguments.heavy.clone(),
        heavy_connections_per_core: arguments.heavy_connections,
        budget: Duration::from_secs(arguments.seconds),
    };
    let variants = arguments.variants();
    let entrants =
        |settings: &Settings| entrants_of(&variants, settings, true).map_err(io::Error::other);
    let (path, stop) = (results_path(arguments.out.as_deref())?, interrupts()?);
    finish("balance", measure::run(&plan, &entrants, &path, &stop), &path, |results| {
        let balance = results.studies.balance.as_ref()?;
        Some((balance.occasion.complete, !balance.failures.is_empty()))
    })
}

impl Balance {
    /// Returns the variants that take part, from the bottom of the ladder up.
    fn variants(&self) -> Vec<&'static Variant> {
        let takes_part = |variant: &&Variant| {
            variant.name == REFERENCE || self.variants.iter().any(|name| name == variant.name)
        };
        variants::all().filter(takes_part).collect()
    }
}

/// Parses the name of a variant that gives the service's answers.
fn answering() -> PossibleValuesParser {
    let answering = variants::all().filter(|variant| variant.answers);
    PossibleValuesParser::new(answering.map(|variant| variant.name))
}
