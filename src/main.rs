//! The `pinloop` binary: turns the command line into settings, serves, handles signals.
#![forbid(unsafe_code)]

mod cli;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cli::Arguments;
use pinloop::app::{App, Limit};
use pinloop::{AccessLog, Config, RateLimiter, Server, StartError, Workers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Gives the memory of a burst back to the system, which glibc and mimalloc do not: see
/// `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Interval at which the limiter forgets idle clients, because a walk over 100,000 clients
/// takes some 10 ms.
const FORGET_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum number of jobs that wait for a worker. 1,024 jobs of a millisecond take a second,
/// which is as long as a client should wait for a 503.
const JOBS_MAX: usize = 1024;

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let arguments = cli::parse(&line).unwrap_or_else(|error| error.exit());
    if let Some(text) = arguments.document() {
        write_stdout(&text);
        return ExitCode::SUCCESS;
    }
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match serve(&arguments).map_err(|error| error.downcast::<clap::Error>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ok(wrong_option)) => wrong_option.exit(),
        Err(Err(error)) => {
            eprintln!("pinloop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal stops the server.
///
/// An error about an option is a [`clap::Error`], which exits with 2. Other errors exit with 1.
fn serve(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    // Handles signals before the start line is printed, because its reader may send one.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut config = arguments.config();
    config.access_log = access_log(arguments)?;
    if config.access_log.is_some() {
        signals.add_signal(SIGHUP)?;
    }
    let mut app = App::new(arguments.work);
    app.workers = workers(arguments, &config)?;
    app.metrics = config.metrics.clone();
    app.limit = limiter(arguments)?.map(Limit::new);
    // Never dropped, because the drop would finish the queued jobs after the last connection.
    let _workers = ManuallyDrop::new(app.workers.clone());
    let server = pinloop::start(&config, move |_core| app.clone()).map_err(start_error)?;
    announce(&server);

    let (stopper, log) = (server.stopper(), config.access_log.clone());
    let handle = signals.handle();
    let watch = thread::Builder::new().name("pinloop-signals".into()).spawn(move || {
        for signal in &mut signals {
            match (signal, &log) {
                (SIGHUP, Some(log)) => log.reopen(),
                _ => stopper.stop(),
            }
        }
    })?;
    let ended = server.join();
    handle.close();
    // Ends the thread's share in the access log, because the last one writes the last lines.
    let _ = watch.join();
    ended?;
    Ok(())
}

fn start_error(error: StartError) -> Box<dyn Error> {
    match error {
        StartError::Config(error) => cli::refuse(error).into(),
        error => error.into(),
    }
}

/// Opens the access log, if one was asked for.
fn access_log(arguments: &Arguments) -> Result<Option<AccessLog>, clap::Error> {
    let format = arguments.access_log_format;
    let Some(path) = &arguments.access_log else { return Ok(None) };
    let log = match path.as_os_str() == "-" {
        true => AccessLog::stdout(format),
        false => AccessLog::file(path, format),
    };
    log.map(Some).map_err(|error| {
        cli::refuse(format_args!("cannot write an access log to {}: {error}", path.display()))
    })
}

/// Starts the threads for `GET /data?offload` on the CPUs that the event loops leave free.
fn workers(arguments: &Arguments, config: &Config) -> Result<Option<Workers>, Box<dyn Error>> {
    let used = pinloop::cores(config).map_err(cli::refuse)?;
    let usable = core_affinity::get_core_ids().unwrap_or_default();
    let is_free = |cpu: &usize| config.pin && !used.iter().any(|core| core.cpu == Some(*cpu));
    let free: Vec<usize> = usable.into_iter().map(|core| core.id).filter(is_free).collect();
    let count = NonZeroUsize::new(arguments.workers.unwrap_or(free.len().max(1)));
    let start = |count| Workers::start_with(count, &free, JOBS_MAX, lower_priority);
    Ok(count.map(start).transpose()?)
}

/// Gives the calling worker the lowest priority, so that an event loop on the same CPU does
/// not wait for the end of a job's time slice, which is 3 ms.
fn lower_priority() {
    // On Linux this sets the priority of the calling thread, not of the process.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        log::warn!("a worker's priority could not be lowered: {error}");
    }
}

/// Makes the limiter, if a rate was given, and starts the thread that forgets idle clients.
fn limiter(arguments: &Arguments) -> io::Result<Option<Arc<RateLimiter>>> {
    let per_client = arguments.rate_limit.map(|rate| (rate, arguments.rate_limit_burst));
    let total = arguments.rate_limit_total.map(|rate| (rate, arguments.rate_limit_total_burst));
    if per_client.is_none() && total.is_none() {
        return Ok(None);
    }
    let limiter = Arc::new(RateLimiter::new(per_client, total));
    if per_client.is_some() {
        let limiter = limiter.clone();
        thread::Builder::new().name("pinloop-limiter".into()).spawn(move || {
            loop {
                thread::sleep(FORGET_INTERVAL);
                limiter.forget();
            }
        })?;
    }
    Ok(Some(limiter))
}

/// Prints the start line.
fn announce(server: &Server) {
    let threads = server.cores().len();
    let cpus: Vec<String> =
        server.cores().iter().filter_map(|core| core.cpu).map(|cpu| cpu.to_string()).collect();
    let plural = if threads == 1 { "" } else { "s" };
    let place = match cpus.as_slice() {
        [] => "not pinned".to_string(),
        [cpu] => format!("on core {cpu}"),
        cpus => format!("on cores {}", cpus.join(",")),
    };
    let addr = server.addr();
    write_stdout(
        format!("pinloop listening on http://{addr} with {threads} thread{plural} {place}\n")
            .as_bytes(),
    );
}

/// Writes to standard output. Ignores a failure, because a closed pipe must not end the server.
fn write_stdout(text: &[u8]) {
    let _ = io::stdout().write_all(text);
}
