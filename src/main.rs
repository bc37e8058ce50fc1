//! The `pinloop` binary: arguments -> `Config` -> serve; signals.
#![forbid(unsafe_code)]

mod arguments;

use std::io::Write;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arguments::{Arguments, Command};
use pinloop::app::{App, Limit};
use pinloop::{AccessLog, Background, Config, RateLimiter, StartError, Workers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a wrong argument, and a setting that can't be honoured, exit with.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let environment = |name: &str| std::env::var_os(name);
    let arguments = match arguments::read(std::env::args_os().skip(1), environment) {
        Ok(Command::Serve(arguments)) => arguments,
        Ok(Command::Show(text)) => {
            // As for the line on start: nobody may be reading it.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return refuse(&wrong),
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Start(StartError::Config(error))) => refuse(&error),
        Err(Failure::AccessLog(path, error)) => {
            refuse(&format_args!("cannot write an access log to {}: {error}", path.display()))
        }
        Err(Failure::Start(error)) => {
            eprintln!("pinloop: {error}");
            ExitCode::FAILURE
        }
        Err(Failure::Io(error)) => {
            eprintln!("pinloop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with an argument or a setting.
fn refuse(wrong: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("pinloop: {wrong}\nTry 'pinloop --help'.");
    ExitCode::from(EXIT_USAGE)
}

fn serve(arguments: &Arguments) -> Result<(), Failure> {
    // Before the line that says so: whoever reads it may send a signal at once.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut config = arguments.config.clone();
    config.access_log = access_log(arguments)?;
    let background = Background::default();
    if let Some(log) = config.access_log.clone() {
        signals.add_signal(SIGHUP)?;
        background.every(REPORT_INTERVAL, "the access log's report", move || {
            log.report_dropped();
        })?;
    }
    let mut app = App::new(arguments.work);
    app.workers = workers(arguments, &config)?;
    app.metrics = config.metrics.clone();
    app.limit = limiter(arguments, &background)?.map(Limit::new);
    // Never dropped, which would wait for jobs whose answers nobody waits for any more.
    let _workers = ManuallyDrop::new(app.workers.clone());
    let server = pinloop::start_app(&config, app).map_err(Failure::Start)?;
    announce(&server);

    let (stopper, log) = (server.stopper(), config.access_log.clone());
    let handle = signals.handle();
    let watch = std::thread::Builder::new().name("pinloop-signals".into()).spawn(move || {
        for signal in &mut signals {
            match (signal, &log) {
                (SIGHUP, Some(log)) => log.reopen(),
                _ => stopper.stop(),
            }
        }
    })?;
    let ended = server.join();
    handle.close();
    // It has a share in the access log, whose last lines are written when all are gone.
    let _ = watch.join();
    ended?;
    Ok(())
}

/// The access log, if there is to be one.
fn access_log(arguments: &Arguments) -> Result<Option<AccessLog>, Failure> {
    let format = arguments.access_log_format;
    let Some(path) = &arguments.access_log else { return Ok(None) };
    let log = match path.as_os_str() == "-" {
        true => AccessLog::stdout(format),
        false => AccessLog::file(path, format),
    };
    log.map(Some).map_err(|error| Failure::AccessLog(path.clone(), error))
}

/// How often it is said that lines of the access log were dropped, if they were.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The threads for `GET /data?offload`, on the CPUs that the event loops leave free.
fn workers(arguments: &Arguments, config: &Config) -> Result<Option<Workers>, Failure> {
    let used = pinloop::cores(config).map_err(|error| Failure::Start(error.into()))?;
    let usable = core_affinity::get_core_ids().unwrap_or_default();
    let is_free = |cpu: &usize| config.pin && !used.iter().any(|core| core.cpu == Some(*cpu));
    let free: Vec<usize> = usable.into_iter().map(|core| core.id).filter(is_free).collect();
    let count = NonZeroUsize::new(arguments.workers.unwrap_or(free.len().max(1)));
    let start = |count| Workers::start_with(count, &free, JOBS_MAX, yield_to_event_loops);
    Ok(count.map(start).transpose()?)
}

/// The least share of a CPU, should there be an event loop on it too: that loop then
/// does not wait for the end of a job's time slice, which is 3 ms.
fn yield_to_event_loops() {
    // On Linux that is of this thread, not of the process.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        log::warn!("a worker's priority could not be lowered: {error}");
    }
}

/// The limiter, if there is a limit, and its housekeeping.
fn limiter(
    arguments: &Arguments,
    background: &Background,
) -> std::io::Result<Option<Arc<RateLimiter>>> {
    let per_client = arguments.rate_limit.map(|rate| (rate, arguments.rate_limit_burst));
    let total = arguments.rate_limit_total.map(|rate| (rate, arguments.rate_limit_total_burst));
    if per_client.is_none() && total.is_none() {
        return Ok(None);
    }
    let limiter = Arc::new(RateLimiter::new(per_client, total));
    let forgetful = limiter.clone();
    background.every(FORGET_INTERVAL, "forgetting clients", move || forgetful.forget())?;
    Ok(Some(limiter))
}

/// How often the limiter forgets clients: a walk over 100,000 of them takes some 10 ms.
const FORGET_INTERVAL: Duration = Duration::from_secs(5);

/// Jobs that wait for a worker: 1,024 of a millisecond each are a second of
/// waiting, which is as long as a client should wait before it is told to come back.
const JOBS_MAX: usize = 1024;

/// The one line on start. Nobody may be reading it, which is no reason to stop.
fn announce(server: &pinloop::Server) {
    let threads = server.cores().len();
    let cpus: Vec<String> =
        server.cores().iter().filter_map(|core| core.cpu).map(|cpu| cpu.to_string()).collect();
    let plural = if threads == 1 { "" } else { "s" };
    let place = match cpus.as_slice() {
        [] => "not pinned".to_string(),
        [cpu] => format!("on core {cpu}"),
        cpus => format!("on cores {}", cpus.join(",")),
    };
    let _ = writeln!(
        std::io::stdout(),
        "pinloop listening on http://{} with {threads} thread{plural} {place}",
        server.addr()
    );
}

enum Failure {
    Start(StartError),
    AccessLog(PathBuf, std::io::Error),
    Io(std::io::Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Io(error)
    }
}
