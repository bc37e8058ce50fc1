//! The studies of one request: arguments -> plan -> study.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;

use pinloop_bench::load;
use pinloop_bench::load::command::{parse_phase, parse_rate, parse_time};
use pinloop_bench::measure::fleet::Entrant;
use pinloop_bench::measure::study::Common;
use pinloop_bench::measure::{arrivals, knee, machine, scaling};
use pinloop_bench::report::page::Options;
use pinloop_bench::results::{Bound, Results, Settings};
use pinloop_bench::variants::{REFERENCE, VARIANTS};

use super::Setup;

/// Share of an offered rate that must have been answered. A look at a rate ends with
/// its last answer; so even where all is well that is less than all of it, by the
/// latency that the other bound allows in one second.
const REACHED: f64 = 0.98;

#[derive(Args)]
pub(super) struct Arrivals {
    /// Clients that arrive per second, evenly spaced
    #[arg(long, value_name = "PER_SECOND", default_value = "8", value_parser = parse_rate,
        allow_negative_numbers = true)]
    rate: f64,
    /// For how long they arrive: 60s, 2m; seconds without a unit
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    lasts: Duration,
    /// Several phases instead, one after the other: 8x60s,0x10s,20x30s is 8 clients a
    /// second for 60 s, then none for 10 s, then 20 a second for 30 s
    #[arg(long, value_name = "RATExTIME", value_delimiter = ',', value_parser = parse_phase,
        conflicts_with_all = ["rate", "lasts"])]
    phases: Vec<load::Phase>,
    /// No more clients than so many
    #[arg(long, value_name = "N", default_value_t = 500,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    max_clients: usize,
    /// For how long all stay after that. If so few are missing to --max-clients that they
    /// can arrive in that time, they do: 8 a second make 480 in 60 s, and 500 2.5 s later
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    hold: Duration,
    #[command(flatten)]
    study: Study,
}

#[derive(Args)]
pub(super) struct Knee {
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
    /// How many times the knee is looked for; fewer than 6 give no interval
    #[arg(long, value_name = "N", default_value_t = 7,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    searches: usize,
    #[command(flatten)]
    study: Study,
}

#[derive(Args)]
pub(super) struct Scaling {
    /// Estimate the rate on so many cores
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

/// What all of them can be asked.
#[derive(Args)]
struct Study {
    /// Who takes part, separated by commas
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "pinloop,hyper_per_core"
    )]
    variants: Vec<String>,
    /// Every variant takes part
    #[arg(long, conflicts_with = "variants")]
    all: bool,
    /// What is asked for, with GET
    #[arg(long, default_value = "/data", value_parser = path)]
    path: String,
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

pub(super) fn run_arrivals(arguments: &Arrivals) -> anyhow::Result<ExitCode> {
    let Arrivals { rate, lasts, phases, max_clients, hold, study } = arguments;
    let asked = match phases.as_slice() {
        [] => vec![load::Phase { clients_per_second: *rate, lasts: *lasts }],
        phases => phases.to_vec(),
    };
    let common = study.common("arrivals", &study.setup)?;
    super::warn(&common.settings);
    let plan =
        arrivals::Plan { common, arrivals: load::Arrivals::held(asked, *max_clients, *hold) };
    ensure!(plan.arrivals.clients() > 0, "no client arrives in these phases");
    let (path, stop) = (super::results_path(study.out.as_deref())?, super::interrupts()?);
    let entrants = study.entrants(&plan.common.settings)?;
    finish(arrivals::run(&plan, entrants, &path, &stop), &path, |results| {
        let arrivals = results.arrivals.as_ref()?;
        let failed = arrivals.tours.iter().any(|tour| tour.failure.is_some());
        Some((arrivals.occasion.complete, failed))
    })
}

pub(super) fn run_knee(arguments: &Knee) -> anyhow::Result<ExitCode> {
    let study = &arguments.study;
    let common = study.common("knee", &study.setup)?;
    super::warn(&common.settings);
    let plan = knee::Plan {
        common,
        bound: Bound { p99_ns: arguments.p99.as_nanos() as u64, reached: REACHED },
        connections: arguments.connections,
        probe: arguments.probe,
        searches: arguments.searches,
    };
    let (path, stop) = (super::results_path(study.out.as_deref())?, super::interrupts()?);
    let entrants = study.entrants(&plan.common.settings)?;
    finish(knee::run(&plan, entrants, &path, &stop), &path, |results| {
        let knee = results.knee.as_ref()?;
        Some((knee.occasion.complete, !knee.failures.is_empty()))
    })
}

pub(super) fn run_scaling(arguments: &Scaling) -> anyhow::Result<ExitCode> {
    let study = &arguments.study;
    let allowed = machine::allowed_cores().context("cannot tell which CPUs may be used")?;
    let mut setup = study.setup.clone();
    setup.server_cores.get_or_insert(super::Cores(allowed.clone()));
    let mut common = study.common("scaling", &setup)?;
    common.settings.slice_ms = arguments.slice_ms;
    let plan = scaling::Plan {
        common,
        generator_cores: setup.generator_core.map_or(allowed, |core| vec![core]),
        connections_per_core: arguments.connections,
        blocks: arguments.blocks,
        plan_cores: arguments.plan,
    };
    let (path, stop) = (super::results_path(study.out.as_deref())?, super::interrupts()?);
    let entrants = |cores: &[usize]| {
        let settings = Settings { server_cores: cores.to_vec(), ..plan.common.settings.clone() };
        study.entrants(&settings).map_err(io::Error::other)
    };
    finish(scaling::run(&plan, entrants, &path, &stop), &path, |results| {
        let scaling = results.scaling.as_ref()?;
        Some((scaling.occasion.complete, !scaling.failures.is_empty()))
    })
}

/// Shows what came of it. `ended` says of the study whether it is complete, and whether
/// anyone has failed.
pub(super) fn finish(
    results: io::Result<Results>,
    path: &Path,
    ended: impl Fn(&Results) -> Option<(bool, bool)>,
) -> anyhow::Result<ExitCode> {
    let results =
        results.with_context(|| format!("cannot measure, or write {}", path.display()))?;
    super::show(&results, path, &Options::default())?;
    Ok(match ended(&results) {
        Some((true, false)) => ExitCode::SUCCESS,
        Some((false, _)) => ExitCode::from(super::INTERRUPTED),
        _ => ExitCode::FAILURE,
    })
}

impl Study {
    fn common(&self, name: &str, setup: &Setup) -> anyhow::Result<Common> {
        let names = self.names()?;
        let mut settings = super::plan(setup)?.settings;
        settings.study = name.to_string();
        settings.seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let reference = names.iter().find(|&&name| name == REFERENCE).or(names.first());
        let reference = reference.map(ToString::to_string).unwrap_or_default();
        Ok(Common { settings, path: self.path.clone(), reference })
    }

    /// Those that take part, from the bottom of the ladder up.
    fn names(&self) -> anyhow::Result<Vec<&'static str>> {
        let answering: Vec<&str> =
            VARIANTS.iter().filter(|variant| variant.answers).map(|variant| variant.name).collect();
        if let Some(name) = self.variants.iter().find(|name| !answering.contains(&name.as_str())) {
            bail!("no variant called {name:?} answers this; there are {}", answering.join(", "));
        }
        let takes_part = |name: &&str| self.all || self.variants.iter().any(|other| other == name);
        Ok(answering.into_iter().filter(takes_part).collect())
    }

    fn entrants(&self, settings: &Settings) -> anyhow::Result<Vec<Entrant>> {
        let names = self.names()?;
        let mut entrants = super::entrants(settings, false)?;
        entrants.retain(|entrant| names.contains(&entrant.contender.key.as_str()));
        Ok(entrants)
    }
}

pub(super) fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_string());
    }
    Err("expected a path such as /data: it begins with / and has no spaces".to_string())
}
