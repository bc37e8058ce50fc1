//! The `pinloop` binary: arguments -> `Config` -> serve; signals.
#![forbid(unsafe_code)]

use std::io::Write;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use pinloop::app::{App, DEFAULT_ROUNDS, Limit};
use pinloop::{
    AccessLog, Background, Config, LogFormat, Metrics, Rate, RateLimiter, StartError, WhenFull,
    Workers,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a wrong argument, and a setting that can't be honoured, exit with.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Start(StartError::Config(error))) => {
            eprintln!("pinloop: {error}\nTry 'pinloop --help'.");
            ExitCode::from(EXIT_USAGE)
        }
        Err(Failure::AccessLog(path, error)) => {
            let path = path.display();
            eprintln!(
                "pinloop: cannot write an access log to {path}: {error}\nTry 'pinloop --help'."
            );
            ExitCode::from(EXIT_USAGE)
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

fn serve(arguments: &Arguments) -> Result<(), Failure> {
    // Before the line that says so: whoever reads it may send a signal at once.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut config = arguments.config();
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
    let server = pinloop::start(&config, move |_core| app.clone()).map_err(Failure::Start)?;
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
    Ok(ended?)
}

/// The access log, if there is to be one.
fn access_log(arguments: &Arguments) -> Result<Option<AccessLog>, Failure> {
    let format = match arguments.access_log_format {
        Format::Json => LogFormat::Json,
        Format::Combined => LogFormat::Combined,
    };
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

/// A small HTTP/1.1 server: one pinned thread, one event loop and one
/// SO_REUSEPORT listener per core.
///
/// Serves GET / and /echo, POST /echo (the content back) and GET /data (the
/// result of some CPU-bound work).
#[derive(Parser, Debug)]
#[command(
    version,
    max_term_width = 100,
    allow_negative_numbers = true,
    after_help = "SIGTERM or SIGINT: stops accepting, answers what has arrived, exits with 0.
SIGHUP: opens the access log anew.
Exit status: 0 stopped, 1 the address can't be listened on, 2 a wrong option.
Logs go to stderr; RUST_LOG=debug says more.

Examples:
  pinloop --threads 1                      one thread, as small as it gets
  pinloop --addr 127.0.0.1:0 --cores 0,2-3 a free port, pinned to three CPUs
  wrk -t1 -c64 -d5s --latency http://127.0.0.1:8080/data"
)]
struct Arguments {
    /// Where to listen; port 0 picks a free one
    #[arg(long, env = "PINLOOP_ADDR", value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    addr: SocketAddr,

    /// Threads [default: one per CPU that the process may use]
    #[arg(long, env = "PINLOOP_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// CPUs to pin the threads to, e.g. 0,2-3 [default: the first that the process may use]
    #[arg(long, env = "PINLOOP_CORES", value_name = "LIST", value_parser = parse_cores)]
    cores: Option<Cores>,

    /// Leave the threads to the scheduler
    #[arg(long, env = "PINLOOP_NO_PIN")]
    no_pin: bool,

    /// Rounds of the work function for each GET /data; 100 take some 8 microseconds
    #[arg(long, env = "PINLOOP_WORK", value_name = "ROUNDS", default_value_t = DEFAULT_ROUNDS)]
    work: u32,

    /// Threads for GET /data?offload; 0 for none [default: one per CPU that the event
    /// loops leave free, at least 1]
    #[arg(long, env = "PINLOOP_WORKERS", value_name = "N")]
    workers: Option<usize>,

    /// Write a line for each request to this file, or to the standard output for -; SIGHUP
    /// opens it anew
    #[arg(long, env = "PINLOOP_ACCESS_LOG", value_name = "FILE|-")]
    access_log: Option<PathBuf>,

    /// How the lines of the access log look
    #[arg(long, env = "PINLOOP_ACCESS_LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    access_log_format: Format,

    /// Count what happens, for GET /metrics
    #[arg(long, env = "PINLOOP_METRICS")]
    metrics: bool,

    /// Requests that each client address may make, e.g. 100/s or 6000/m; more are 429.
    /// An IPv6 client is its /64
    #[arg(long, env = "PINLOOP_RATE_LIMIT", value_name = "RATE")]
    rate_limit: Option<Rate>,

    /// Requests that each client may make at once after a pause [default: what the rate
    /// allows in 20 ms, at least 20]
    #[arg(long, env = "PINLOOP_RATE_LIMIT_BURST", value_name = "N", requires = "rate_limit")]
    rate_limit_burst: Option<NonZeroU32>,

    /// Requests that all clients together may make; more are 429
    #[arg(long, env = "PINLOOP_RATE_LIMIT_TOTAL", value_name = "RATE")]
    rate_limit_total: Option<Rate>,

    /// Requests that all clients together may make at once after a pause [default: as
    /// for each client]
    #[arg(
        long,
        env = "PINLOOP_RATE_LIMIT_TOTAL_BURST",
        value_name = "N",
        requires = "rate_limit_total"
    )]
    rate_limit_total_burst: Option<NonZeroU32>,

    /// Bytes of a request's head; more is 431, or 414 for the target
    #[arg(long, env = "PINLOOP_MAX_HEAD_BYTES", value_name = "BYTES", default_value_t = Config::default().limits.head_bytes_max)]
    max_head_bytes: usize,

    /// Fields of a request's head; more is 431
    #[arg(long, env = "PINLOOP_MAX_HEADERS", value_name = "N", default_value_t = Config::default().limits.fields_max)]
    max_headers: usize,

    /// Bytes of collected content; more is 413. POST /echo streams, and has no limit
    #[arg(long, env = "PINLOOP_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = Config::default().limits.content_bytes_max)]
    max_body_bytes: u64,

    /// Connections open at a time
    #[arg(long, env = "PINLOOP_MAX_CONNECTIONS", value_name = "N", default_value_t = Config::default().connections_max)]
    max_connections: usize,

    /// What becomes of more connections: answered with 503 and closed, or left in the
    /// listener's queue until there is room
    #[arg(long, env = "PINLOOP_WHEN_FULL", value_name = "shed|wait", value_parser = parse_when_full, default_value = "shed")]
    when_full: WhenFull,

    /// From a head's first byte, or the connection's beginning, to its end
    #[arg(long, env = "PINLOOP_HEAD_TIMEOUT", value_name = "SECONDS", value_parser = parse_seconds, default_value = "10")]
    head_timeout: Duration,

    /// For every 4 KiB of a request's content
    #[arg(long, env = "PINLOOP_BODY_TIMEOUT", value_name = "SECONDS", value_parser = parse_seconds, default_value = "30")]
    body_timeout: Duration,

    /// Between an answer and the next request
    #[arg(long, env = "PINLOOP_IDLE_TIMEOUT", value_name = "SECONDS", value_parser = parse_seconds, default_value = "75")]
    idle_timeout: Duration,

    /// For every 4 KiB of an answer
    #[arg(long, env = "PINLOOP_WRITE_TIMEOUT", value_name = "SECONDS", value_parser = parse_seconds, default_value = "30")]
    write_timeout: Duration,

    /// For unfinished requests after SIGTERM or SIGINT
    #[arg(long, env = "PINLOOP_DRAIN_TIMEOUT", value_name = "SECONDS", value_parser = parse_seconds, default_value = "10")]
    drain_timeout: Duration,
}

impl Arguments {
    fn config(&self) -> Config {
        let mut config = Config {
            addr: self.addr,
            threads: self.threads,
            cores: self.cores.clone().map(|cores| cores.0),
            pin: !self.no_pin,
            connections_max: self.max_connections,
            when_full: self.when_full,
            metrics: self.metrics.then(Metrics::default),
            ..Config::default()
        };
        config.limits.head_bytes_max = self.max_head_bytes;
        config.limits.fields_max = self.max_headers;
        config.limits.content_bytes_max = self.max_body_bytes;
        config.timeouts.head = self.head_timeout;
        config.timeouts.content = self.body_timeout;
        config.timeouts.idle = self.idle_timeout;
        config.timeouts.write = self.write_timeout;
        config.timeouts.drain = self.drain_timeout;
        config
    }
}

/// The formats of [`LogFormat`].
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Format {
    /// A JSON object a line
    Json,
    /// The combined log format of Apache and nginx
    Combined,
}

/// CPU numbers, in the order in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cores(Vec<usize>);

fn parse_cores(list: &str) -> Result<Cores, String> {
    let wrong = || format!("'{list}' is no list of CPUs such as 0,2-3");
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        // More than any machine has; 0-99999999999 is a slip.
        if first > last || last >= 4096 {
            return Err(wrong());
        }
        cores.extend(first..=last);
    }
    Ok(Cores(cores))
}

fn parse_when_full(text: &str) -> Result<WhenFull, String> {
    match text {
        "shed" => Ok(WhenFull::Shed),
        "wait" => Ok(WhenFull::Wait),
        _ => Err(format!("'{text}' is neither shed nor wait")),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.parse().map_err(|_| format!("'{text}' is no number of seconds such as 10 or 0.5"))?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("'{text}' seconds can't be; 0.1 to 86400 are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn reads_lists_of_cores() {
        assert_eq!(parse_cores("0,2-4"), Ok(Cores(vec![0, 2, 3, 4])));
        for wrong in ["", "a", "3-1", "0,", "-1", "0-999999"] {
            assert!(parse_cores(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_timeouts_shown_are_the_defaults() {
        let shown = Arguments::parse_from(["pinloop"]).config();
        assert_eq!(format!("{:?}", shown.timeouts), format!("{:?}", Config::default().timeouts));
        assert_eq!(shown.limits, Config::default().limits);
        assert_eq!(shown.when_full, Config::default().when_full);
    }
}
