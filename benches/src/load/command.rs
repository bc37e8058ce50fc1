//! `cargo bench -- load URL`: the generator by itself, against any HTTP/1.1 server.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};

pub use super::arguments::{LoadArgs, parse_phase, parse_rate, parse_time};
use super::summary::{self, Figures};
use super::{
    LoadError, Outcome, Placement, RequestParts, Snapshot, Target, Threads, Url, Watch, hgrm,
};
use crate::stdout;

/// Time between two lines of progress, and the length of the intervals in the JSON's series.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Added to the number of a signal, it is the exit status of a program that the signal ended.
const SIGNALED: i32 = 128;

/// Exit status after errors, or if nothing could be measured.
const FAILED: u8 = 1;

/// Exit status if the arguments make no sense.
const MISUSED: u8 = 2;

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
    let placement = args.placement().map_err(|error| Failure::misuse(&error))?;
    let mut threads = connect(args, &url, &request, &placement)?;
    threads.set_timeout(args.timeout)?;
    if !args.json {
        print(&format!("{}: {}\n", args.url, args.plan(placement.total)))?;
    }
    if args.compare {
        threads.compare_with_first()?;
    }
    let (outcome, series) = load(args, &mut threads)?;
    if let Some((path, mut file)) = hgrm {
        hgrm::write(&outcome.latency_ns, &mut file)
            .and_then(|()| file.flush())
            .map_err(|error| Failure::io(path, &error))?;
    }
    if args.json {
        let figures = Figures::new(&args.url, args.pace(), &outcome, &series);
        let json = serde_json::to_string_pretty(&figures).map_err(io::Error::from);
        print(&format!("{}\n", json.map_err(LoadError::from)?))?;
    } else {
        print(&summary::text(args.pace(), &outcome))?;
    }
    for warning in summary::warnings(args.pace(), &outcome) {
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
fn connect(
    args: &LoadArgs,
    url: &Url,
    request: &Target,
    placement: &Placement,
) -> Result<Threads, Failure> {
    let shape = args.shape();
    let addresses = url.resolve().map_err(|error| Failure {
        status: FAILED,
        sentence: format!("cannot find the host of '{}': {error}", args.url),
    })?;
    let mut failure = None;
    for addr in addresses {
        let target = Target { addr, ..request.clone() };
        match Threads::connect(&target, &shape, placement) {
            Ok(threads) => return Ok(threads),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or(LoadError::EmptyShape).into())
}

/// Runs the load, with its progress on a terminal. SIGINT or SIGTERM ends the run early.
fn load(args: &LoadArgs, threads: &mut Threads) -> Result<(Outcome, Vec<Snapshot>), Failure> {
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
        threads.run_watched(args.pace(), args.stop(), watch)
    } else {
        threads.run_arrivals(&args.arriving(), watch)
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
            | LoadError::TooManyThreads { .. }
            | LoadError::Core(_)
            | LoadError::Descriptors { .. } => MISUSED,
            LoadError::Connect { .. }
            | LoadError::NoAnswer { .. }
            | LoadError::Panicked
            | LoadError::Io(_) => FAILED,
        };
        Self { status, sentence: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{held_port, parse_args};
    use super::*;

    fn failure(url: &str, args: &str) -> Failure {
        let args = LoadArgs { url: url.into(), ..parse_args(args).unwrap() };
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
            (&here, "--cores 1000", MISUSED, "core 1000"),
            (&here, "--threads 2 --cores 0", MISUSED, "--threads 2 needs as many --cores"),
            (&here, "--threads 3 --connections 2", MISUSED, "use at most 2 threads"),
            ("http://no.such.host.invalid/", "", FAILED, "cannot find the host"),
        ] {
            let failure = failure(url, args);
            assert_eq!(failure.status, status, "{url} {args}");
            assert!(failure.sentence.contains(said), "{url} {args}: {}", failure.sentence);
        }
    }
}
