//! `cargo bench -- load URL`: the generator by itself, against any HTTP/1.1 server.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::summary::{self, Figures};
use crate::stdout;

use super::{
    Arrivals, Generator, LoadError, Outcome, Pace, Phase, RequestParts, Shape, Snapshot, Stop,
    Target, Url, Watch, hgrm, pin,
};

/// Time between two lines of progress, and the length of the intervals in the JSON's series.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Added to the number of a signal, it is the exit status of a program that the signal ended.
const SIGNALED: i32 = 128;

/// Exit status after errors, or if nothing could be measured.
const FAILED: u8 = 1;

/// Exit status if the arguments make no sense.
const MISUSED: u8 = 2;

/// Load any HTTP/1.1 server from one thread, and print its rate and latencies.
///
/// Without --rate each connection sends its next request as soon as the last one is answered.
/// Exit status: 0; 1 after errors, or if nothing could be measured; 2 for bad arguments.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// URL to request: `http://HOST[:PORT][/PATH][?QUERY]`; IPv6 addresses in brackets
    pub url: String,

    /// Connections kept open [default: 64]; with --arrivals the maximum number of clients
    #[arg(short, long, value_name = "N")]
    pub connections: Option<NonZeroUsize>,

    /// Requests sent at once on a connection, before the first of them is answered
    #[arg(short, long, value_name = "N", default_value = "1")]
    pub pipeline: NonZeroUsize,

    /// Requests per second over all connections, at fixed times: latency then counts from when a
    /// request should have been sent (no coordinated omission)
    #[arg(short, long, value_name = "PER_SECOND", value_parser = parse_rate, allow_negative_numbers = true)]
    pub rate: Option<f64>,

    /// Clients arriving, each on a connection of its own, in a closed loop to the end: 8x60s is 8
    /// a second for 60 s. Several phases may follow one another: 8x60s,0x30s
    #[arg(
        long,
        value_name = "RATExTIME",
        value_delimiter = ',',
        value_parser = parse_phase,
        conflicts_with_all = ["rate", "duration", "requests"]
    )]
    pub arrivals: Vec<Phase>,

    /// Length of the run: 10s, 500ms, 2m; seconds without a unit [default: 10s]
    #[arg(short, long, value_name = "TIME", value_parser = parse_time)]
    pub duration: Option<Duration>,

    /// Stop after this number of requests instead
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "duration")]
    pub requests: Option<NonZeroU64>,

    /// Request method [default: GET, with --body POST]
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<String>,

    /// Request body: text, or @FILE for the bytes of a file
    #[arg(short, long, value_name = "TEXT|@FILE")]
    pub body: Option<String>,

    /// A header field to send, 'name: value'; may be given several times
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub headers: Vec<String>,

    /// Close a connection after this number of answers, and open another one
    #[arg(long, value_name = "N")]
    pub new_connection_every: Option<NonZeroU64>,

    /// Compare every answer with the first one, byte by byte, apart from the date. An answer that
    /// differs is an error
    #[arg(long)]
    pub compare: bool,

    /// Time that a server may be silent while an answer is due; also the time to wait for the last
    /// answers at the end of the run
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "5s")]
    pub timeout: Duration,

    /// Print one JSON object instead of the summary
    #[arg(long)]
    pub json: bool,

    /// Write the latencies as an HdrHistogram percentile distribution, in ms
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,

    /// Pin the generator to this core
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
}

/// Reason why the command ends without figures, and its exit status.
struct Failure {
    status: u8,
    sentence: String,
}

/// Runs the command to its end. Figures go to stdout, warnings and errors to stderr.
pub fn run(args: &LoadArgs) -> ExitCode {
    match load_and_report(args) {
        Ok(outcome) if outcome.errors.total() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILED),
        Err(failure) => {
            eprintln!("error: {}", failure.sentence);
            ExitCode::from(failure.status)
        }
    }
}

fn load_and_report(args: &LoadArgs) -> Result<Outcome, Failure> {
    let url = Url::parse(&args.url).map_err(|error| Failure::misuse(&error))?;
    let request = render_request(args, &url)?;
    // Opened first: to lose a run's figures for want of a directory would be a pity.
    let hgrm = args.hgrm.as_deref().map(create).transpose()?;
    if let Some(core) = args.core {
        pin(core).map_err(|error| Failure::misuse(&error))?;
    }
    let mut generator = connect(args, &url, &request)?;
    generator.set_timeout(args.timeout);
    if !args.json {
        print(&format!("{}: {}\n", args.url, plan(args)))?;
    }
    if args.compare {
        generator.compare_with_first()?;
    }
    let (outcome, series) = load(args, &mut generator)?;
    if let Some((path, mut file)) = hgrm {
        hgrm::write(&outcome.latency_ns, &mut file)
            .and_then(|()| file.flush())
            .map_err(|error| Failure::io(path, &error))?;
    }
    if args.json {
        let figures = Figures::new(&args.url, pace(args), &outcome, &series);
        let json = serde_json::to_string_pretty(&figures).map_err(io::Error::from);
        print(&format!("{}\n", json.map_err(LoadError::from)?))?;
    } else {
        print(&summary::text(pace(args), &outcome))?;
    }
    for warning in summary::warnings(pace(args), &outcome) {
        eprintln!("{warning}");
    }
    Ok(outcome)
}

fn print(text: &str) -> Result<(), LoadError> {
    Ok(stdout::print(text)?)
}

fn render_request(args: &LoadArgs, url: &Url) -> Result<Target, Failure> {
    let body = match args.body.as_deref() {
        None => None,
        Some(text) => Some(match text.strip_prefix('@') {
            None => text.as_bytes().to_vec(),
            Some(path) => {
                std::fs::read(path).map_err(|error| Failure::io(Path::new(path), &error))?
            }
        }),
    };
    let parts = RequestParts { method: args.method.clone(), fields: args.headers.clone(), body };
    let unresolved = ([0, 0, 0, 0], 0).into();
    let request = parts.render(url).map_err(|error| Failure::misuse(&error))?;
    Ok(Target { addr: unresolved, request, method_is_head: parts.method() == "HEAD" })
}

fn create(path: &Path) -> Result<(&Path, BufWriter<File>), Failure> {
    let file = File::create(path).map_err(|error| Failure::io(path, &error))?;
    Ok((path, BufWriter::new(file)))
}

/// Connects to the first of the host's addresses that accepts.
fn connect(args: &LoadArgs, url: &Url, request: &Target) -> Result<Generator, Failure> {
    let shape = Shape {
        // Clients that arrive bring their connections with them.
        connections: if args.arrivals.is_empty() {
            args.connections.map_or(Shape::default().connections, NonZeroUsize::get)
        } else {
            0
        },
        pipeline: args.pipeline.get(),
        requests_per_connection: args.new_connection_every,
    };
    let addresses = url.resolve().map_err(|error| Failure {
        status: FAILED,
        sentence: format!("cannot find the host of '{}': {error}", args.url),
    })?;
    let mut failure = None;
    for addr in addresses {
        let target = Target { addr, ..request.clone() };
        match Generator::connect(&target, &shape) {
            Ok(generator) => return Ok(generator),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or(LoadError::EmptyShape).into())
}

/// Runs the load, with its progress on a terminal. SIGINT or SIGTERM ends the run early.
fn load(args: &LoadArgs, generator: &mut Generator) -> Result<(Outcome, Vec<Snapshot>), Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    // The first signal ends the run, and the figures are shown. The second one ends the program.
    for signal in [SIGINT, SIGTERM] {
        let status = SIGNALED + signal;
        signal_hook::flag::register_conditional_shutdown(signal, status, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
            .map_err(LoadError::from)?;
    }
    let bar = progress_bar();
    let mut series = Vec::new();
    let mut tell = |snapshot: &Snapshot| {
        series.push(*snapshot);
        bar.set_message(summary::progress(snapshot));
        if interrupted.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let watch = Watch::new(TELL_EVERY, &mut tell);
    let outcome = if args.arrivals.is_empty() {
        generator.run_watched(pace(args), stop(args), watch)
    } else {
        generator.run_arrivals(&arrivals(args), watch)
    };
    bar.finish_and_clear();
    Ok((outcome?, series))
}

fn progress_bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("  {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn pace(args: &LoadArgs) -> Pace {
    args.rate.map_or(Pace::Closed, Pace::Rate)
}

fn stop(args: &LoadArgs) -> Stop {
    match (args.requests, args.duration) {
        (Some(requests), _) => Stop::Requests(requests.get()),
        (None, duration) => Stop::After(duration.unwrap_or(Duration::from_secs(10))),
    }
}

fn arrivals(args: &LoadArgs) -> Arrivals {
    let clients_max = args.connections.map_or(usize::MAX, NonZeroUsize::get);
    Arrivals { phases: args.arrivals.clone(), clients_max }
}

/// Describes the run in words.
fn plan(args: &LoadArgs) -> String {
    let mut plan = if args.arrivals.is_empty() {
        let connections = args.connections.map_or(Shape::default().connections, NonZeroUsize::get);
        let until = match stop(args) {
            Stop::After(time) => format!("{} s", time.as_secs_f64()),
            Stop::Requests(count) => format!("{count} requests"),
        };
        let pace = match pace(args) {
            Pace::Closed => "closed loop".into(),
            Pace::Rate(rate) => format!("{rate} requests per second"),
        };
        format!("{until}, {connections} connections, {pace}")
    } else {
        let arrivals = arrivals(args);
        let time = arrivals.lasts().as_secs_f64();
        format!("{time} s, {} clients arriving, closed loop", arrivals.clients())
    };
    if args.pipeline.get() > 1 {
        plan += &format!(", {} requests at once", args.pipeline);
    }
    if let Some(every) = args.new_connection_every {
        plan += &format!(", a new connection every {every} requests");
    }
    plan
}

/// Parses a number of requests or clients per second, above 0.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number per second, above 0".into())
}

/// Parses a phase: `8x60s` is 8 clients a second for 60 s.
pub fn parse_phase(text: &str) -> Result<Phase, String> {
    let wanted = || "write RATExTIME, such as 8x60s for 8 clients a second for 60 s".to_owned();
    let (rate, time) = text.split_once('x').ok_or_else(wanted)?;
    let rate = rate.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0);
    let clients_per_second = rate.ok_or_else(wanted)?;
    Ok(Phase { clients_per_second, lasts: parse_time(time)? })
}

/// Parses a time above 0, with or without its unit: `10s`, `500ms`, `1.5`.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let unit_seconds = match unit {
        "ms" => Some(1e-3),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let number = number.parse::<f64>().ok();
    let seconds = number.zip(unit_seconds).map(|(number, unit_seconds)| number * unit_seconds);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "a time above 0, such as 10s, 500ms, 2m or 1.5 (seconds)".into())
}

impl Failure {
    fn misuse(sentence: &impl ToString) -> Self {
        Self { status: MISUSED, sentence: sentence.to_string() }
    }

    fn io(path: &Path, error: &io::Error) -> Self {
        Self { status: MISUSED, sentence: format!("'{}': {error}", path.display()) }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let status = match error {
            LoadError::EmptyRequest
            | LoadError::EmptyShape
            | LoadError::Rate(_)
            | LoadError::Descriptors { .. } => MISUSED,
            LoadError::Connect { .. } | LoadError::NoAnswer { .. } | LoadError::Io(_) => FAILED,
        };
        Self { status, sentence: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::tests::held_port;
    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn parse(args: &str) -> Result<LoadArgs, String> {
        let args = ["load", "http://127.0.0.1:1/"].into_iter().chain(args.split_whitespace());
        Cli::try_parse_from(args).map(|cli| cli.load).map_err(|error| error.to_string())
    }

    fn planned(args: &str) -> String {
        plan(&parse(args).unwrap())
    }

    #[test]
    fn describes_the_run() {
        assert_eq!(planned(""), "10 s, 64 connections, closed loop");
        assert_eq!(
            planned("-c 8 -p 16 -n 1000"),
            "1000 requests, 8 connections, closed loop, 16 requests at once"
        );
        assert_eq!(
            planned("--rate 2.5e3 -d 500ms --new-connection-every 1"),
            "0.5 s, 64 connections, 2500 requests per second, a new connection every 1 requests"
        );
        assert_eq!(
            planned("--arrivals 8x60s,0x30 -c 500"),
            "90 s, 480 clients arriving, closed loop"
        );
    }

    #[test]
    fn refuses_bad_arguments_and_names_good_ones() {
        for (args, said) in [
            ("--rate 0", "above 0"),
            ("--rate NaN", "above 0"),
            ("--rate -5", "above 0"),
            ("--duration 0", "above 0"),
            ("--duration 10d", "10s, 500ms, 2m"),
            ("--duration 1s --requests 5", "cannot be used with"),
            ("--arrivals 8", "8x60s"),
            ("--arrivals 8x60s --rate 5", "cannot be used with"),
            ("--connections 0", "--connections"),
            ("--pipeline 0", "--pipeline"),
            ("--requests 0", "--requests"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(said), "{args}: {error}");
        }
    }

    fn failure(url: &str, args: &str) -> Failure {
        let args = LoadArgs { url: url.into(), ..parse(args).unwrap() };
        load_and_report(&args).unwrap_err()
    }

    #[test]
    fn ends_with_a_sentence_and_a_status() {
        let (_held, refused) = held_port();
        let here = format!("http://{refused}/");
        for (url, args, status, said) in [
            ("host:80", "", MISUSED, "must begin with http://"),
            (&here, "", FAILED, "refused"),
            (&here, "-X CONNECT", MISUSED, "tunnel"),
            (&here, "-H nonsense", MISUSED, "not a header field"),
            (&here, "-b @/no/such/file", MISUSED, "'/no/such/file'"),
            (&here, "--hgrm /no/such/dir/file", MISUSED, "'/no/such/dir/file'"),
            (&here, "--connections 99999999", MISUSED, "ulimit -n"),
            (&here, "--core 99999", MISUSED, "core 99999"),
            ("http://no.such.host.invalid/", "", FAILED, "cannot find the host"),
        ] {
            let failure = failure(url, args);
            assert_eq!(failure.status, status, "{url} {args}");
            assert!(failure.sentence.contains(said), "{url} {args}: {}", failure.sentence);
        }
    }
}
