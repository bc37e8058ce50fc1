//! The study of short requests beside long ones: arguments -> plan -> study.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::load::command::parse_rate;
use crate::results::Settings;
use crate::rig::study::Common;
use crate::studies::ladder::measure as ladder;
use crate::studies::offload::measure as offload;
use crate::studies::offload::measure::Plan;
use crate::variants::{self, REFERENCE, Variant};

use crate::cli::output::{interrupts, results_path};
use crate::cli::servers::{Setup, entrants_of, plan, warn};
use crate::studies::args::{finish, path};

#[derive(Args)]
pub(crate) struct Offload {
    /// Variants that take part, separated by commas
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "pinloop,pinloop_offload,hyper_per_core,hyper_offload",
        value_parser = answering()
    )]
    variants: Vec<String>,
    /// Sizes of the long work in rounds, separated by commas; instead of --work
    #[arg(
        long,
        value_name = "ROUNDS",
        value_delimiter = ',',
        default_value = "100,1000,10000,100000"
    )]
    works: Vec<u32>,
    /// Path of the long requests, with GET
    #[arg(long, default_value = "/data?offload", value_parser = path)]
    long: String,
    /// Path of the short requests, with GET
    #[arg(long, default_value = "/", value_parser = path)]
    short: String,
    /// Short requests per second, evenly spaced
    #[arg(long, value_name = "PER_SECOND", default_value = "1000", value_parser = parse_rate)]
    rate: f64,
    /// Connections that share the short requests
    #[arg(short, long, value_name = "N", default_value_t = 16,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    connections: usize,
    /// Slices of each server with each size of work
    #[arg(long, value_name = "N", default_value_t = 7,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    blocks: usize,
    /// Length of one slice in milliseconds; each has three
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=60_000))]
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

pub(crate) fn run(arguments: &Offload) -> anyhow::Result<ExitCode> {
    arguments.setup.must_load_from_here("offload")?;
    let variants = arguments.variants();
    let ladder::Plan { mut settings, host, load_hosts, .. } = plan(&arguments.setup)?;
    settings.study = "offload".to_string();
    settings.slice_ms = arguments.slice_ms;
    settings.seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    warn(&settings);
    let reference = variants.iter().find(|variant| variant.name == REFERENCE);
    let reference = reference.or(variants.first()).map(|variant| variant.name.to_string());
    let plan = Plan {
        common: Common {
            settings,
            host,
            load_hosts,
            path: arguments.long.clone(),
            reference: reference.unwrap_or_default(),
            left_out: Vec::new(),
        },
        works: arguments.works.clone(),
        short_path: arguments.short.clone(),
        short_rate: arguments.rate,
        short_connections: arguments.connections,
        blocks: arguments.blocks,
    };
    let (path, stop) = (results_path(arguments.out.as_deref())?, interrupts()?);
    let entrants =
        |settings: &Settings| entrants_of(&variants, settings, false).map_err(io::Error::other);
    finish("offload", offload::run(&plan, entrants, &path, &stop), &path, |results| {
        let offload = results.studies.offload.as_ref()?;
        Some((offload.occasion.complete, !offload.failures.is_empty()))
    })
}

impl Offload {
    /// Returns the variants that take part, each behind the one that it adds something to.
    fn variants(&self) -> Vec<&'static Variant> {
        self.variants.iter().filter_map(|name| variants::find(name)).collect()
    }
}

/// Parses the name of a variant that gives the service's answers.
fn answering() -> PossibleValuesParser {
    let answering = variants::all().filter(|variant| variant.answers);
    PossibleValuesParser::new(answering.map(|variant| variant.name))
}
