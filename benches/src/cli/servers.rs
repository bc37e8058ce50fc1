//! Which servers take part, and on which CPUs: shared by the arguments of all studies.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use pinloop::app::DEFAULT_ROUNDS;

use crate::results::{Contender, Settings, Square};
use crate::rig::fleet::Entrant;
use crate::rig::process::{PORT, Readiness, end_with_parent};
use crate::rig::{machine, regimes};
use crate::serve::{Cores, cores};
use crate::studies::ladder::measure::Plan;
use crate::variants::{self, REFERENCE, SQUARE, VARIANTS, Variant};

/// Length of the load before a slice: caches and connections are warm after it.
const WARM_UP_MS: u64 = 25;

/// What the key of the second of the A/A pair ends with.
pub(crate) const AGAIN: &str = "_again";

#[derive(Args, Clone)]
pub(crate) struct Setup {
    /// CPUs for the servers, one thread each, such as 0,2-3 [default: the first]
    #[arg(long, value_parser = cores)]
    pub(crate) server_cores: Option<Cores>,
    /// CPU for the load generator [default: one apart from the servers']
    #[arg(long)]
    pub(crate) generator_core: Option<usize>,
    /// Rounds of the work function for one GET /data
    #[arg(long, default_value_t = DEFAULT_ROUNDS)]
    pub(crate) work: u32,
}

#[derive(Args)]
pub(crate) struct Become {
    /// Process that this one is to end with
    #[arg(long)]
    parent: u32,
    /// For the shell
    command: String,
}

/// A server from outside.
#[derive(Clone)]
pub(crate) struct Own {
    name: String,
    command: String,
}

/// Those variants that were asked for by name, or the whole ladder; each once.
pub(crate) fn chosen(settings: &Settings, names: &[String]) -> anyhow::Result<Vec<Entrant>> {
    let known: Vec<&str> = variants::all().map(|variant| variant.name).collect();
    for name in names {
        let is_known = known.contains(&name.as_str());
        ensure!(is_known, "there is no variant {name:?}; there are {}", known.join(", "));
    }
    let asked_for = |variant: &&Variant| names.iter().any(|name| name == variant.name);
    let chosen: Vec<&Variant> = match names {
        [] => VARIANTS.iter().collect(),
        _ => variants::all().filter(asked_for).collect(),
    };
    entrants_of(&chosen, settings, false)
}

/// The shell becomes the server, so that it is the process that is measured.
pub(crate) fn become_server(arguments: &Become) -> anyhow::Result<ExitCode> {
    end_with_parent(arguments.parent)?;
    let command = format!("exec {}", arguments.command);
    let error = Command::new("sh").args(["-c", &command]).exec();
    Err(error).context("cannot run sh")
}

pub(crate) fn plan(setup: &Setup) -> anyhow::Result<Plan> {
    let machine = machine::describe().context("cannot tell what machine this is")?;
    let allowed = &machine.cores;
    let server_cores = match &setup.server_cores {
        Some(cores) => cores.0.clone(),
        None => vec![allowed[0]],
    };
    let generator_core =
        setup.generator_core.unwrap_or_else(|| machine::generator_core(&machine, &server_cores));
    for core in server_cores.iter().chain([&generator_core]) {
        ensure!(allowed.contains(core), "CPU {core} may not be used; allowed are {allowed:?}");
    }
    let settings = Settings {
        study: "ladder".to_string(),
        server_cores,
        generator_core,
        work_rounds: setup.work,
        warm_up_ms: WARM_UP_MS,
        ..Settings::default()
    };
    Ok(Plan {
        settings,
        regimes: regimes::quick(),
        reference: REFERENCE.to_string(),
        square: Some(square()),
        budget: Duration::ZERO,
    })
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

/// As [`entrants`], of these variants.
pub(crate) fn entrants_of(
    variants: &[&Variant],
    settings: &Settings,
    twice: bool,
) -> anyhow::Result<Vec<Entrant>> {
    let program = env::current_exe().context("cannot find this program")?;
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
                .args(["--parent", &std::process::id().to_string()]);
            entrants.push(Entrant {
                contender: Contender {
                    key: format!("{}{again}", variant.name),
                    variant: variant.name.to_string(),
                    about: variant.about.to_string(),
                    base: variant.base.map(String::from),
                    adds: variant.adds.to_string(),
                    command: None,
                },
                answers: variant.answers,
                does_the_work: variant.answers,
                command,
                readiness: Readiness::Announced,
            });
        }
    }
    Ok(entrants)
}

pub(crate) fn from_outside(servers: &[Own], does_the_work: bool) -> anyhow::Result<Vec<Entrant>> {
    let program = env::current_exe().context("cannot find this program")?;
    let entrant = |own: &Own| {
        let mut command = Command::new(&program);
        command.args(["become", "--parent", &std::process::id().to_string(), &own.command]);
        Entrant {
            contender: Contender {
                key: own.name.clone(),
                variant: own.name.clone(),
                about: format!("from outside: {}", own.command),
                base: None,
                adds: "a server from outside".to_string(),
                command: Some(own.command.clone()),
            },
            answers: true,
            does_the_work,
            command,
            readiness: Readiness::Accepting,
        }
    };
    for (at, own) in servers.iter().enumerate() {
        let taken = servers[..at].iter().any(|other| other.name == own.name)
            || own.name == format!("{REFERENCE}{AGAIN}")
            || VARIANTS.iter().any(|variant| own.name == variant.name);
        ensure!(!taken, "--with: the name {:?} is taken; choose another one", own.name);
    }
    Ok(servers.iter().map(entrant).collect())
}

pub(crate) fn warn(settings: &Settings) {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build, and its figures say nothing; use cargo bench");
    }
    if settings.server_cores.contains(&settings.generator_core) {
        eprintln!(
            "warning: there is no CPU for the load generator alone; servers and generator disturb \
             each other on CPU {}, and figures mean little",
            settings.generator_core
        );
    }
}

pub(crate) fn own(text: &str) -> Result<Own, String> {
    let (name, command) = text.split_once('=').ok_or("expected NAME=COMMAND")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(format!("the name {name:?} is not of letters, digits, '_' and '-' only"));
    }
    if !command.contains(PORT) {
        return Err(format!("the command does not say where the port goes: put {PORT} there"));
    }
    Ok(Own { name: name.to_string(), command: command.to_string() })
}
