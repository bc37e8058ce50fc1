//! The `pinloop` binary: turns the command line into settings, serves, handles signals.
#![forbid(unsafe_code)]

mod cli;
mod diagnostics;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cli::Arguments;
use diagnostics::Diagnostics;
use pinloop::app::{App, Limit};
use pinloop::{AccessLog, Config, Core, RateLimiter, Server, StartError, Stopper, Workers};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Gives the memory of a burst back to the system, which glibc and mimalloc do not: see
/// `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Interval at which the limiter forgets idle clients, because a walk over 100,000 clients
/// takes some 10 ms.
const FORGET_INTERVAL: Duration = Duration::from_secs(5);

/// Time that the event loops have after a second signal. An idle loop takes less than a
/// millisecond; a loop that a service blocks is not waited for.
const CUT_OFF_WAIT: Duration = Duration::from_millis(200);

/// Maximum number of jobs that wait for a worker. 1,024 jobs of a millisecond take a second,
/// which is as long as a client should wait for a 503.
const JOBS_MAX: usize = 1024;

/// Descriptors of the process itself: standard streams, logs and signals.
const FILES_OF_PROCESS: usize = 16;

/// Descriptors for refused connections that are still open.
const FILES_OF_REFUSED: usize = 64;

/// Descriptors of each thread: its listener, epoll, waker and reserved descriptor.
const FILES_OF_THREAD: usize = 4;

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let arguments = cli::parse(&line).unwrap_or_else(|error| error.exit());
    if let Some(text) = arguments.document() {
        write_stdout(&text);
        return ExitCode::SUCCESS;
    }
    let diagnostics = match Diagnostics::start() {
        Ok(diagnostics) => diagnostics,
        Err(error) => {
            eprintln!("pinloop: cannot log to standard error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = serve(&arguments, &diagnostics).map_err(|error| error.downcast::<clap::Error>());
    if let Err(Err(error)) = &ended {
        diagnostics.send(format!("pinloop: {error}\n").as_bytes());
    }
    diagnostics.flush();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ok(wrong_option)) => wrong_option.exit(),
        Err(Err(_)) => ExitCode::FAILURE,
    }
}

/// Serves until a signal stops the server.
///
/// An error about an option is a [`clap::Error`], which exits with 2. Other errors exit with 1.
fn serve(arguments: &Arguments, diagnostics: &Diagnostics) -> Result<(), Box<dyn Error>> {
    // Without a handler SIGHUP would end the process.
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let mut config = arguments.config();
    config.access_log = access_log(arguments)?;
    count_diagnostics(&config, diagnostics);
    let cores = pinloop::cores(&config).map_err(cli::refuse)?;
    let mut app = App::new(arguments.work);
    app.workers = workers(arguments, &cores)?;
    app.metrics = config.metrics.clone();
    app.limit = limiter(arguments)?.map(Limit::new);
    // Never dropped, because the drop would finish the queued jobs after the last connection.
    let _workers = ManuallyDrop::new(app.workers.clone());
    allow_files(config.connections_max, cores.len() * FILES_OF_THREAD + FILES_OF_PROCESS);
    let server = pinloop::start(&config, move |_core| app.clone()).map_err(start_error)?;

    let (stopper, log) = (server.stopper(), config.access_log.clone());
    let handle = signals.handle();
    // Before the start line, because its reader may send a signal.
    let (end, has_ended) = mpsc::channel();
    let watch = Watch { stopper, log, has_ended, diagnostics: diagnostics.clone(), stops: 0 };
    let watch = watch.start(signals)?;
    announce(&server)?;
    let ended = server.join();
    drop(end);
    handle.close();
    // Ends the thread's share in the access log, because the last one writes the last lines.
    let is_cut_off = watch.join().is_ok_and(|stops| stops > 1);
    match (ended?, is_cut_off) {
        (cut, true) => Err(format!("a second signal has cut off {cut} unfinished requests").into()),
        (0, false) => Ok(()),
        (cut, false) => {
            Err(format!("the drain timeout has cut off {cut} unfinished requests").into())
        }
    }
}

/// The thread that handles signals. It never waits for a log.
struct Watch {
    stopper: Stopper,
    log: Option<AccessLog>,
    diagnostics: Diagnostics,
    /// Disconnected once the event loops have ended.
    has_ended: mpsc::Receiver<()>,
    /// Number of signals that stop the server.
    stops: u32,
}

impl Watch {
    /// Starts the thread. It returns the number of signals that stop the server.
    fn start(mut self, mut signals: Signals) -> io::Result<JoinHandle<u32>> {
        let watch = move || {
            signals.forever().for_each(|signal| self.handle(signal));
            self.stops
        };
        thread::Builder::new().name("pinloop-signals".into()).spawn(watch)
    }

    fn handle(&mut self, signal: i32) {
        if signal == SIGHUP {
            return self.log.iter().for_each(AccessLog::reopen);
        }
        self.stops += 1;
        match self.stops {
            1 => self.stopper.stop(),
            _ => self.cut_off(),
        }
    }

    /// Has the event loops end at once. Ends the process if a service keeps one from doing so.
    fn cut_off(&self) {
        self.stopper.cut_off();
        if self.has_ended.recv_timeout(CUT_OFF_WAIT) == Err(RecvTimeoutError::Timeout) {
            log::error!(
                "a second signal has cut off the unfinished requests; their number is unknown, \
                 because a thread is busy with one of them"
            );
            self.diagnostics.flush();
            std::process::exit(1);
        }
    }
}

/// Adds the counters of panics and of dropped log lines to the metrics.
fn count_diagnostics(config: &Config, diagnostics: &Diagnostics) {
    let Some(metrics) = &config.metrics else { return };
    let help = "Messages that standard error did not take";
    metrics.add_counter("log_lines_dropped", help, diagnostics.dropped());
    metrics.add_counter("panics", "Panics of any thread", diagnostics.panics());
    if let Some(log) = &config.access_log {
        let help = "Lines of the access log that were dropped or could not be written";
        metrics.add_counter("access_log_lines_dropped", help, log.dropped_counter());
    }
}

/// Raises the limit of open files to what the connections and the `others` need, as far as the
/// hard limit allows.
fn allow_files(connections: usize, others: usize) {
    let limit = getrlimit(Resource::Nofile);
    let needed = connections.saturating_add(others + FILES_OF_REFUSED) as u64;
    let mut current = limit.current.unwrap_or(u64::MAX);
    let raised = needed.min(limit.maximum.unwrap_or(u64::MAX));
    let new = Rlimit { current: Some(raised), maximum: limit.maximum };
    if raised > current && setrlimit(Resource::Nofile, new).is_ok() {
        current = raised;
    }
    if current < needed {
        let fit = current.saturating_sub(others as u64);
        log::warn!(
            "{fit} of at most {connections} connections fit into the limit of {current} open \
             files; raise it (ulimit -n), or lower --max-connections"
        );
    }
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
fn workers(arguments: &Arguments, cores: &[Core]) -> io::Result<Option<Workers>> {
    let usable = core_affinity::get_core_ids().unwrap_or_default();
    let used: Vec<usize> = cores.iter().filter_map(|core| core.cpu).collect();
    let is_free = |cpu: &usize| !used.is_empty() && !used.contains(cpu);
    let free: Vec<usize> = usable.into_iter().map(|core| core.id).filter(is_free).collect();
    let cpus = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let left = cpus.saturating_sub(cores.len()).max(1);
    let count = NonZeroUsize::new(arguments.workers.unwrap_or(left));
    count.map(|count| Workers::start_with(count, &free, JOBS_MAX, lower_priority)).transpose()
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

/// Prints the start line, on a thread of its own because standard output may be full.
fn announce(server: &Server) -> io::Result<()> {
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
    let line =
        format!("pinloop listening on http://{addr} with {threads} thread{plural} {place}\n");
    let print = move || write_stdout(line.as_bytes());
    thread::Builder::new().name("pinloop-stdout".into()).spawn(print).map(drop)
}

/// Writes to standard output. Ignores a failure, because a closed pipe must not end the server.
fn write_stdout(text: &[u8]) {
    let _ = io::stdout().write_all(text);
}
