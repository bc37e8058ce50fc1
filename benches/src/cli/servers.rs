//! Which servers take part, and on which CPUs: shared by the arguments of all studies.

use std::collections::BTreeMap;
use std::env;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use pinloop::app::DEFAULT_ROUNDS;

use crate::load::command::parse_time;
use crate::report::loaders;
use crate::report::units::cpus;
use crate::results::{Allocator, Contender, Failure, Machines, Settings, Square};
use crate::rig::fleet::Entrant;
use crate::rig::host::{Host, Place};
use crate::rig::load_hosts::{LoadHosts, Loader};
use crate::rig::process::{LISTEN, PARENT, Readiness};
use crate::rig::{machine, regimes, site};
use crate::serve::{Cores, cores};
use crate::studies::ladder::measure::Plan;
use crate::variants::{self, REFERENCE, SQUARE, VARIANTS, Variant};

/// Length of the load before a slice: caches and connections are warm after it.
const WARM_UP_MS: u64 = 25;

/// Program that serves the variants with mimalloc, beside this program or one folder above it.
const WITH_MIMALLOC: &str = "pinloop-bench-mimalloc";

/// Suffix of the key of the second server of the A/A pair.
pub(crate) const AGAIN: &str = "_again";

#[derive(Args, Clone)]
pub(crate) struct Setup {
    /// CPUs for the servers, one thread each, such as 0,2-3 [default: the first]
    #[arg(long, value_parser = cores)]
    pub(crate) server_cores: Option<Cores>,
    /// Run the servers on another machine: a command that runs the command behind it there, such as
    /// 'ssh HOST', 'docker exec -i NAME', 'kubectl exec -i POD --' or 'ip netns exec NAME'. This
    /// program is copied there, and is an agent as long as this command runs
    #[arg(long, value_name = "COMMAND", requires = "address", value_parser = command)]
    pub(crate) server_on: Option<String>,
    /// IP address at which the servers are reached from other machines, with --server-on or
    /// --load-from
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// IP address that they listen on [default: --address]
    #[arg(long, value_name = "IP", requires = "address")]
    pub(crate) listen: Option<IpAddr>,
    /// This program, built from the same sources for machines of --server-on and --load-from that are
    /// of another platform
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// Every CPU of the servers' machine is the default.
    #[arg(skip)]
    pub(crate) on_all_cores: bool,
    /// Load the servers from another machine: a command as for --server-on. Can be given several times:
    /// all machines load a server together, and start at the same instant
    #[arg(long, value_name = "COMMAND", requires = "address", value_parser = command)]
    pub(crate) load_from: Vec<String>,
    /// CPUs for the load generator, one thread each, such as 2-7 [default: one apart from the
    /// servers']. It has no more threads than connections
    #[arg(long, alias = "generator-core", value_name = "LIST", value_parser = cores)]
    pub(crate) generator_cores: Option<Cores>,
    /// Rounds of the work function for one GET /data
    #[arg(long, default_value_t = DEFAULT_ROUNDS)]
    pub(crate) work: u32,
    /// Memory allocator of all variants
    #[arg(long, value_enum, default_value_t)]
    pub(crate) allocator: Allocator,
    /// Time that a server may take from its start until it is ready
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    pub(crate) ready_within: Duration,
}

/// Returns the variants with these names, or the whole ladder without names; each once.
pub(crate) fn chosen(plan: &Plan, names: &[String]) -> anyhow::Result<Vec<Entrant>> {
    let asked_for = |variant: &&Variant| names.iter().any(|name| name == variant.name);
    let mut chosen: Vec<&Variant> = match names {
        [] => VARIANTS.iter().collect(),
        _ => variants::all().filter(asked_for).collect(),
    };
    leave_out(&mut chosen, &plan.host)?;
    entrants_of(&chosen, &plan.settings, false)
}

/// Takes the variants that the servers' machine cannot run out of `variants`, says why, and returns
/// them.
pub(crate) fn leave_out(variants: &mut Vec<&Variant>, host: &Host) -> anyhow::Result<Vec<Failure>> {
    let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
    let mut reasons = host.unavailable(&names)?.into_iter();
    let mut left_out = Vec::new();
    variants.retain(|variant| {
        let Some(reason) = reasons.next().flatten() else { return true };
        eprintln!("{} is left out: {reason}", variant.name);
        left_out.push(Failure { contender: variant.name.to_string(), reason });
        false
    });
    Ok(left_out)
}

pub(crate) fn plan(setup: &Setup) -> anyhow::Result<Plan> {
    let host = setup.host()?;
    let side = host.side();
    let server_cores = match &setup.server_cores {
        Some(cores) => cores.0.clone(),
        None if setup.on_all_cores => side.machine.cores.clone(),
        None => vec![side.machine.cores[0]],
    };
    let here = site::describe(None, None).context("cannot tell what machine this is")?;
    // Namespaces and containers of one machine share its CPUs.
    let taken = if side.boot == here.boot { server_cores.as_slice() } else { &[] };
    let generator_cores = match &setup.generator_cores {
        Some(cores) => cores.0.clone(),
        None => vec![machine::generator_core(&here.machine, taken)],
    };
    may_use(&server_cores, &side.machine.cores, &side.host)?;
    let load_hosts = setup.load_hosts(&host, &server_cores)?;
    if load_hosts.is_empty() {
        may_use(&generator_cores, &here.machine.cores, "this machine")?;
    }
    warn_of_shared_cpus(&load_hosts);
    let loaders = load_hosts.iter().map(Loader::side).map(|side| &side.boot);
    let machines_differ = match load_hosts.is_empty() {
        true => side.boot != here.boot,
        false => loaders.clone().all(|boot| *boot != side.boot),
    };
    let settings = Settings {
        study: "ladder".to_string(),
        server_cores,
        generator_cores,
        work_rounds: setup.work,
        warm_up_ms: WARM_UP_MS,
        allocator: setup.allocator,
        machines_differ,
        ready_within_ms: setup.ready_within.as_millis() as u64,
        ..Settings::default()
    };
    Ok(Plan {
        settings,
        host,
        load_hosts,
        regimes: regimes::quick(),
        reference: REFERENCE.to_string(),
        square: Some(square()),
        left_out: Vec::new(),
        budget: Duration::ZERO,
        name: None,
    })
}

impl Setup {
    /// Starts the agent, on this machine or on another one.
    fn host(&self) -> anyhow::Result<Arc<Host>> {
        let program = env::current_exe().context("cannot find this program")?;
        let Some(address) = self.address else { return Ok(Host::local(&program)?) };
        let Some(command) = &self.server_on else {
            ensure!(
                !self.load_from.is_empty(),
                "--address is for servers or generators on other machines: add --server-on or --load-from"
            );
            return Ok(Host::local_at(&program, self.listen.unwrap_or(address), address)?);
        };
        let place = Place {
            command: command.clone(),
            address,
            listen: self.listen.unwrap_or(address),
            agent: self.agent.clone(),
        };
        Host::remote(&place, &program).context("--server-on")
    }
}

impl Setup {
    /// Starts the agents of the machines that load the servers.
    fn load_hosts(&self, host: &Host, server_cores: &[usize]) -> anyhow::Result<LoadHosts> {
        let program = env::current_exe().context("cannot find this program")?;
        let loader = |command: &String| {
            let server = self.address.context("--load-from needs --address")?;
            let loader = Host::loader(command, &program, self.agent.as_deref(), server);
            let mut loader = loader.context("--load-from")?;
            let side = loader.side();
            let taken = if side.boot == host.side().boot { server_cores } else { &[] };
            let cores = match &self.generator_cores {
                Some(cores) => cores.0.clone(),
                None => vec![machine::generator_core(&side.machine, taken)],
            };
            may_use(&cores, &side.machine.cores, &side.host)?;
            loader.set_cores(cores);
            Ok(loader)
        };
        let loaders: anyhow::Result<Vec<Loader>> = self.load_from.iter().map(loader).collect();
        Ok(LoadHosts::from(loaders?))
    }

    /// Fails if other machines were to load the servers of a study that cannot do that.
    pub(crate) fn must_load_from_here(&self, study: &str) -> anyhow::Result<()> {
        ensure!(
            self.load_from.is_empty(),
            "--load-from: {study} loads its servers from this machine alone; the ladder, arrivals, \
             knee and work can use other machines"
        );
        Ok(())
    }
}

/// Warns if several of --load-from lead to one machine and share CPUs there.
fn warn_of_shared_cpus(load_hosts: &LoadHosts) {
    let load_hosts = load_hosts.iter().map(|host| host.record(None)).collect();
    for sentence in loaders::shared(&Machines { load_hosts, ..Machines::default() }) {
        eprintln!("warning: {sentence}");
    }
}

fn may_use(cores: &[usize], allowed: &[usize], host: &str) -> anyhow::Result<()> {
    for core in cores {
        ensure!(
            allowed.contains(core),
            "CPU {core} of {host} may not be used; allowed are {allowed:?}"
        );
    }
    Ok(())
}

/// Parses a command for the shell.
fn command(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected a command such as 'ssh HOST'".to_string()),
        command => Ok(command.to_string()),
    }
}

pub(crate) fn square() -> Square {
    let [plain, tokio, hyper, both] = SQUARE.map(String::from);
    Square { plain, tokio, hyper, both }
}

/// All variants, each as this program started again; with the reference twice,
/// where it is to be held against itself.
pub(crate) fn entrants(settings: &Settings, twice: bool) -> anyhow::Result<Vec<Entrant>> {
    entrants_of(&VARIANTS.iter().collect::<Vec<_>>(), settings, twice)
}

/// Makes the servers of these variants, as [`entrants`] does.
pub(crate) fn entrants_of(
    variants: &[&Variant],
    settings: &Settings,
    twice: bool,
) -> anyhow::Result<Vec<Entrant>> {
    let program = program(settings.allocator)?;
    let cores: Vec<String> = settings.server_cores.iter().map(usize::to_string).collect();
    let mut entrants = Vec::new();
    for variant in variants {
        let copies = if twice && variant.name == REFERENCE { 2 } else { 1 };
        for copy in 0..copies {
            let again = if copy > 0 { AGAIN } else { "" };
            let mut command = Command::new(&program);
            command
                .args(["serve", variant.name, "--port", "0", "--cores", &cores.join(",")])
                .args(["--work", &settings.work_rounds.to_string()])
                .args(["--listen", LISTEN, "--parent", PARENT]);
            entrants.push(Entrant {
                contender: Contender {
                    key: format!("{}{again}", variant.name),
                    variant: variant.name.to_string(),
                    about: about(variant, &settings.server_cores),
                    base: variant.base.map(String::from),
                    adds: variant.adds.to_string(),
                    command: None,
                },
                answers: variant.answers,
                works: variant.answers,
                command,
                readiness: Readiness::Announced,
                patience: Duration::from_millis(settings.ready_within_ms),
                expected: BTreeMap::new(),
            });
        }
    }
    Ok(entrants)
}

/// Describes a variant. One with a single thread leaves all CPUs but the first to nobody.
fn about(variant: &Variant, cores: &[usize]) -> String {
    let about = variant.about.to_string();
    match cores {
        [first, _, ..] if variants::SINGLE_THREADED.contains(&variant.name) => {
            format!("{about}; it uses CPU {first} only, of {} CPUs", cores.len())
        }
        _ => about,
    }
}

/// Returns the program that serves the variants with `allocator`.
fn program(allocator: Allocator) -> anyhow::Result<PathBuf> {
    match allocator {
        Allocator::System => env::current_exe().context("cannot find this program"),
        _ => program_beside(WITH_MIMALLOC),
    }
}

/// Finds another program of this package. Cargo puts benches into a folder below that of
/// the programs.
pub(crate) fn program_beside(name: &str) -> anyhow::Result<PathBuf> {
    let this = env::current_exe().context("cannot find this program")?;
    let folders = this.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.exists());
    found.with_context(|| format!("there is no program {name} beside {}", this.display()))
}

pub(crate) fn warn(settings: &Settings) {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build, and its figures say nothing; use cargo bench");
    }
    if settings.server_cores.len() > 1 {
        let single = variants::SINGLE_THREADED.join(", ");
        eprintln!("note: {single} has one thread, and uses one of the servers' CPUs only");
    }
    let is_shared =
        |core: &&usize| !settings.machines_differ && settings.server_cores.contains(core);
    let shared: Vec<usize> = settings.generator_cores.iter().filter(is_shared).copied().collect();
    if !shared.is_empty() {
        eprintln!(
            "warning: there is no CPU for the load generator alone; servers and generator disturb \
             each other on {}, and figures mean little",
            cpus(&shared)
        );
    }
}

/// Parses the name of a variant that the ladder measures.
pub(crate) fn rung_name() -> PossibleValuesParser {
    PossibleValuesParser::new(variants::measured_by_name().map(|variant| variant.name))
}

/// Parses the name of a variant. For a misspelled name clap suggests a similar one.
pub(crate) fn variant_name() -> PossibleValuesParser {
    PossibleValuesParser::new(variants::all().map(|variant| variant.name))
}
