//! `cargo bench -- …`: arguments -> study.

mod count;
mod memory;
mod offload;
mod state;
mod studies;
mod work;

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{env, fs};

use self::count::Count;
use self::memory::Memory;
use self::work::Work;
use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};

use pinloop::app::DEFAULT_ROUNDS;
use pinloop_bench::load;
use pinloop_bench::load::command::LoadArgs;
use pinloop_bench::measure::fleet::Entrant;
use pinloop_bench::measure::ladder::{self, Plan};
use pinloop_bench::measure::process::{PORT, Readiness, end_with_parent};
use pinloop_bench::measure::regimes::Regime;
use pinloop_bench::measure::{machine, regimes, wrk};
use pinloop_bench::report::assertion::Assertion;
use pinloop_bench::report::page::{self, Options};
use pinloop_bench::report::{comparison, markdown, table};
use pinloop_bench::results::{Contender, GeneratorKind, Results, Settings, Square};
use pinloop_bench::serve::{self, Cores, Serve, cores};
use pinloop_bench::variants::{self, REFERENCE, SQUARE, VARIANTS, Variant};

/// Of a study that was interrupted: 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Of a report of which something was claimed that is not so.
const CLAIM_FAILED: u8 = 3;

/// What the key of the second of the A/A pair ends with.
const AGAIN: &str = "_again";

/// How often `--full` starts the servers: where a process's code and memory happen
/// to lie is part of its figures, and another one's lie elsewhere.
const PASSES: u32 = 5;

/// What HTTP servers cost on top of a hand-written one: CPU time per request,
/// layer by layer, on this machine.
#[derive(Parser)]
#[command(bin_name = "cargo bench --", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    study: Option<Study>,
    #[command(flatten)]
    ladder: Ladder,
    /// What cargo adds by itself.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Study {
    /// Measure every variant in every regime (the default)
    Ladder(Ladder),
    /// Only check that every variant gives the same bytes
    Check(Setup),
    /// Show the report of an earlier run
    Report(Report),
    /// Count exactly what a request takes: instructions, system calls, allocations
    Count(Count),
    /// Measure the memory that an idle connection takes
    Memory(Memory),
    /// Measure from how much work on it no longer matters which server it is
    Work(Work),
    /// Let clients arrive one after another, and see what becomes of latency
    Arrivals(studies::Arrivals),
    /// Find the highest rate that each server sustains
    Knee(studies::Knee),
    /// Measure the servers on 1, 2, … cores, and fit a law to it
    Scaling(studies::Scaling),
    /// See what short requests have of long ones beside them, with and without offloading
    Offload(offload::Offload),
    /// See what metrics, an access log and a rate limit cost pinloop
    State(state::State),
    /// Load any HTTP/1.1 server, as wrk does
    Load(LoadArgs),
    /// Serve one variant until the process is ended
    #[command(hide = true)]
    Serve(Serve),
    /// Become a server from outside that ends with the process that measures it
    #[command(hide = true)]
    Become(Become),
}

#[derive(Args)]
struct Ladder {
    /// Measure for 20 s in all, with wider intervals, instead of about 90 s
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Measure in all regimes and with servers that are started again five times, in
    /// about ten minutes
    #[arg(long, conflicts_with = "generator")]
    full: bool,
    /// Measure in these regimes only, separated by commas: closed, pipelined, data, half,
    /// idle, connect, echo, and two that --full leaves out: connect10, with a connection
    /// for every ten requests, and many, on 4,000 connections
    #[arg(long, value_name = "KEYS", value_delimiter = ',', conflicts_with = "full", value_parser = regime)]
    regimes: Vec<Regime>,
    /// Measure these variants only, separated by commas; pinloop always takes part
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = variant)]
    variants: Vec<String>,
    /// Measure a server of your own too: 'NAME=COMMAND', with {port} where it is told
    /// the port of 127.0.0.1 to listen on. It is to be one process: what its
    /// children use is not counted. Can be given several times
    #[arg(long, value_name = "NAME=COMMAND", value_parser = own)]
    with: Vec<Own>,
    /// What loads the servers: wrk shows that the figures don't hang on our generator.
    /// Its slices last a second at least, and so the whole some five minutes
    #[arg(long, default_value = "own", value_parser = generator)]
    generator: GeneratorKind,
    /// Measure for this many seconds in all
    #[arg(long, conflicts_with = "quick", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Length of one slice in milliseconds: short, so that a block is soon over,
    /// and long against the start of a run [default: 100; 1000 with wrk]
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    slice_ms: Option<u64>,
    /// Seed of the random order [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Where to write the results [default: pinloop/results.json in cargo's
    /// target directory]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    price: Price,
    #[command(flatten)]
    setup: Setup,
}

#[derive(Args)]
struct Report {
    /// A results.json
    file: PathBuf,
    /// Print Markdown, for a pull request, and write no page
    #[arg(long)]
    markdown: bool,
    /// Write the picture of the ladder, in the first regime, to this SVG file
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Put the answer, the table and the machine between the marks of this Markdown
    /// file, which has them for it
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,
    /// The results.json of an older run: say what changed since, beyond noise
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// A claim, such as 'pinloop.cpu_ns < 0.9 * hyper_per_core.cpu_ns'; of another
    /// regime than the first as 'pipelined: …'. Exits with 3 unless the whole 95 %
    /// interval is so. Can be given several times
    #[arg(long = "assert", value_name = "CLAIM")]
    claims: Vec<Assertion>,
    #[command(flatten)]
    price: Price,
}

#[derive(Args)]
struct Price {
    /// Dollars for one core and an hour, to reckon what requests cost
    #[arg(long, default_value_t = Options::default().price_per_core_hour, value_parser = price)]
    price_per_core_hour: f64,
}

impl Price {
    fn options(&self) -> Options<'static> {
        Options { price_per_core_hour: self.price_per_core_hour, baseline: None }
    }
}

#[derive(Args, Clone)]
struct Setup {
    /// CPUs for the servers, one thread each, such as 0,2-3 [default: the first]
    #[arg(long, value_parser = cores)]
    server_cores: Option<Cores>,
    /// CPU for the load generator [default: one apart from the servers']
    #[arg(long)]
    generator_core: Option<usize>,
    /// Rounds of the work function for one GET /data
    #[arg(long, default_value_t = DEFAULT_ROUNDS)]
    work: u32,
}

#[derive(Args)]
struct Become {
    /// Process that this one is to end with
    #[arg(long)]
    parent: u32,
    /// For the shell
    command: String,
}

/// A server from outside.
#[derive(Clone)]
struct Own {
    name: String,
    command: String,
}

fn main() -> ExitCode {
    let Arguments { study, ladder, bench } = Arguments::parse();
    let done = match study {
        Some(Study::Ladder(ladder)) => measure(&ladder),
        Some(Study::Check(setup)) => check(&setup),
        Some(Study::Report(arguments)) => report(&arguments),
        Some(Study::Arrivals(arguments)) => studies::run_arrivals(&arguments),
        Some(Study::Knee(arguments)) => studies::run_knee(&arguments),
        Some(Study::Scaling(arguments)) => studies::run_scaling(&arguments),
        Some(Study::Offload(arguments)) => offload::run(&arguments),
        Some(Study::State(arguments)) => state::run(&arguments),
        Some(Study::Load(arguments)) => return load::command::run(&arguments),
        Some(Study::Count(arguments)) => count::run(&arguments),
        Some(Study::Memory(arguments)) => memory::run(&arguments),
        Some(Study::Work(arguments)) => work::run(&arguments),
        Some(Study::Serve(arguments)) => serve::run(&arguments).map(|()| ExitCode::SUCCESS),
        Some(Study::Become(arguments)) => become_server(&arguments),
        None if bench => measure(&ladder),
        // `cargo test --all-targets` runs benches too, without `--bench`.
        None => say("Nothing measured: this is run by `cargo bench`.").map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn measure(arguments: &Ladder) -> anyhow::Result<ExitCode> {
    let mut plan = plan(&arguments.setup)?;
    let by_wrk = arguments.generator == GeneratorKind::Wrk;
    if by_wrk {
        wrk::is_installed().map_err(anyhow::Error::msg)?;
    }
    plan.budget = Duration::from_secs(match arguments.seconds {
        Some(seconds) => seconds,
        None if arguments.full => 600,
        None if arguments.quick => 17,
        None if by_wrk => 300,
        None => 85,
    });
    plan.settings.generator = arguments.generator;
    plan.settings.slice_ms = arguments.slice_ms.unwrap_or(if by_wrk { 1000 } else { 100 });
    plan.settings.seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    if arguments.full {
        plan.settings.passes = PASSES;
        plan.regimes = regimes::full();
    }
    if !arguments.regimes.is_empty() {
        plan.regimes = arguments.regimes.clone();
    }
    warn(&plan.settings);

    let path = results_path(arguments.out.as_deref())?;
    let stop = interrupts()?;
    let mut entrants = entrants(&plan.settings, true)?;
    if !arguments.variants.is_empty() {
        let name = |entrant: &Entrant| entrant.contender.variant.clone();
        entrants.retain(|entrant| {
            name(entrant) == REFERENCE || arguments.variants.contains(&name(entrant))
        });
    }
    entrants.extend(from_outside(&arguments.with)?);
    let results = ladder::run(&plan, entrants, &path, &stop)
        .with_context(|| format!("cannot measure, or write {}", path.display()))?;
    show(&results, &path, &arguments.price.options())?;
    let failed = results.regimes.iter().any(|regime| !regime.failures.is_empty());
    Ok(match results.complete {
        false => ExitCode::from(INTERRUPTED),
        true if failed => ExitCode::FAILURE,
        true => ExitCode::SUCCESS,
    })
}

/// The report, on the terminal and as a page.
fn show(results: &Results, path: &Path, options: &Options<'_>) -> anyhow::Result<()> {
    say(&table::render(results))?;
    say(&format!("All that was counted: {}", path.display()))?;
    write_page(results, path, options)
}

/// Where results go; its directory is there.
fn results_path(out: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match out {
        Some(path) => from_callers_directory(path),
        None => target_directory()?.join("pinloop/results.json"),
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(path)
}

fn check(setup: &Setup) -> anyhow::Result<ExitCode> {
    let plan = plan(setup)?;
    let (gate, failures) = ladder::check(&plan, entrants(&plan.settings, false)?);
    for failure in &failures {
        say(&format!("{} {}", failure.contender, failure.reason))?;
    }
    say(&table::gate(&gate))?;
    let passed = gate.is_passed() && failures.is_empty();
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(arguments: &Report) -> anyhow::Result<ExitCode> {
    let read = |file: &Path| {
        let file = from_callers_directory(file);
        Results::read(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let results = read(&arguments.file)?;
    let baseline = arguments.baseline.as_deref().map(read).transpose()?;
    let changes = baseline.as_ref().map(|older| comparison::compare(&results, older));
    if arguments.markdown {
        say(markdown::render(&results).trim_end())?;
        changes.iter().try_for_each(|changes| say(&markdown::changes(changes)))?;
    } else {
        say(&table::render(&results))?;
        changes.iter().try_for_each(|changes| say(&table::changes(changes)))?;
        let file = from_callers_directory(&arguments.file);
        let options = Options { baseline: baseline.as_ref(), ..arguments.price.options() };
        write_page(&results, &file, &options)?;
    }
    if let Some(path) = &arguments.picture {
        let path = from_callers_directory(path);
        let picture = page::ladder_picture(&results)?.context("there is nothing to draw")?;
        fs::write(&path, picture).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &arguments.readme {
        let path = from_callers_directory(path);
        let readme =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let readme = markdown::into_readme(&results, &readme)
            .with_context(|| format!("{} has no marks for a run", path.display()))?;
        fs::write(&path, readme).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut all_hold = true;
    for claim in &arguments.claims {
        let outcome = claim.check(&results);
        // Not among the Markdown, which is for a file.
        eprintln!("{}", outcome.sentence);
        all_hold &= outcome.holds;
    }
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::from(CLAIM_FAILED) })
}

/// Writes the page beside the results that it is made of.
fn write_page(results: &Results, file: &Path, options: &Options<'_>) -> anyhow::Result<()> {
    let name = match file.file_stem() {
        Some(stem) if stem != "results" => Path::new(stem).with_extension("html"),
        _ => PathBuf::from("report.html"),
    };
    let path = file.with_file_name(name);
    let page = page::render(results, options)?;
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("The report: {}", path.display()))
}

/// Those variants that were asked for by name, or the whole ladder; each once.
fn chosen(settings: &Settings, names: &[String]) -> anyhow::Result<Vec<Entrant>> {
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
fn become_server(arguments: &Become) -> anyhow::Result<ExitCode> {
    end_with_parent(arguments.parent)?;
    let command = format!("exec {}", arguments.command);
    let error = Command::new("sh").args(["-c", &command]).exec();
    Err(error).context("cannot run sh")
}

fn plan(setup: &Setup) -> anyhow::Result<Plan> {
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
        passes: 1,
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

fn square() -> Square {
    let [plain, tokio, hyper, both] = SQUARE.map(String::from);
    Square { plain, tokio, hyper, both }
}

/// All variants, each as this program started again; with the reference twice,
/// where it is to be held against itself.
fn entrants(settings: &Settings, twice: bool) -> anyhow::Result<Vec<Entrant>> {
    entrants_of(&VARIANTS.iter().collect::<Vec<_>>(), settings, twice)
}

/// As [`entrants`], of these variants.
fn entrants_of(
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
                command,
                readiness: Readiness::Announced,
            });
        }
    }
    Ok(entrants)
}

fn from_outside(servers: &[Own]) -> anyhow::Result<Vec<Entrant>> {
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

fn warn(settings: &Settings) {
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

/// Set by the first SIGINT or SIGTERM; the second ends this process at once, and
/// the kernel its servers.
fn interrupts() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let (armed, set) = (Arc::clone(&stop), Arc::clone(&stop));
        let status = i32::from(INTERRUPTED);
        signal_hook::flag::register_conditional_shutdown(signal, status, armed)?;
        signal_hook::flag::register(signal, set)?;
    }
    Ok(stop)
}

/// Cargo's target directory: the one with its tag above this program.
fn target_directory() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot find this program")?;
    let tagged = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").exists());
    Ok(tagged.map_or_else(|| PathBuf::from("target"), Path::to_path_buf))
}

/// A path as the user means it: cargo starts benches in their package's
/// directory, and leaves PWD as the user's shell had it.
fn from_callers_directory(path: &Path) -> PathBuf {
    match (env::var_os("CARGO"), env::var_os("PWD")) {
        (Some(_), Some(directory)) => Path::new(&directory).join(path),
        _ => path.to_path_buf(),
    }
}

fn own(text: &str) -> Result<Own, String> {
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

fn regime(key: &str) -> Result<Regime, String> {
    let all = regimes::all();
    let keys: Vec<_> = all.iter().map(|regime| regime.key).collect();
    let unknown = format!("there is no regime {key:?}; there are {}", keys.join(", "));
    all.into_iter().find(|regime| regime.key == key).ok_or(unknown)
}

fn variant(name: &str) -> Result<String, String> {
    let names: Vec<_> = VARIANTS.iter().map(|variant| variant.name).collect();
    let unknown = format!("there is no variant {name:?}; there are {}", names.join(", "));
    variants::find(name).map(|variant| variant.name.to_string()).ok_or(unknown)
}

fn generator(text: &str) -> Result<GeneratorKind, String> {
    match text {
        "own" => Ok(GeneratorKind::Own),
        "wrk" => Ok(GeneratorKind::Wrk),
        _ => Err("expected own or wrk".to_string()),
    }
}

fn price(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(price) if f64::is_finite(price) && price > 0.0 => Ok(price),
        _ => Err("expected dollars, more than 0, such as 0.0125".to_string()),
    }
}

/// Prints a line, or says why it cannot; `println!` would panic.
fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}
