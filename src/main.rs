//! The `pinloop` binary: turns the command line into settings, serves, handles signals.
#![forbid(unsafe_code)]

mod admin;
mod cli;
mod descriptors;
mod diagnostics;
mod figures;
mod health;
mod notify;
mod reload;
mod signals;
mod sockets;
mod takeover;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use cli::Arguments;
use diagnostics::Diagnostics;
use health::HealthUrl;
use pinloop::app::{App, Limit};
use pinloop::{
    AccessLog, Address, Config, Core, RateLimiter, Server, StartError, Stopper, Workers,
};
use reload::Reload;
use signals::{Successor, Watch};
use takeover::{Offer, Place, Sockets};

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
    if let Some(url) = &arguments.check {
        return check(url);
    }
    let diagnostics = match Diagnostics::start() {
        Ok(diagnostics) => diagnostics,
        Err(error) => {
            eprintln!("pinloop: cannot log to standard error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended =
        serve(&line, &arguments, &diagnostics).map_err(|error| error.downcast::<clap::Error>());
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
fn serve(
    line: &[OsString],
    arguments: &Arguments,
    diagnostics: &Diagnostics,
) -> Result<(), Box<dyn Error>> {
    // Before anything else, because without a handler SIGHUP would end the process.
    let signals = signals::catch()?;
    let mut config = arguments.config();
    let cores = pinloop::cores(&config).map_err(cli::refuse)?;
    config.check().map_err(cli::refuse)?;
    config.check_for(&arguments.addr).map_err(cli::refuse)?;
    if arguments.check_config {
        write_stdout(b"the configuration is valid\n");
        return Ok(());
    }
    let mut given = sockets::find(arguments)?;
    let has_admin = arguments.admin_addr.is_some() || given.has_admin();
    if has_admin && config.metrics.is_none() {
        config.metrics = Some(arguments.new_metrics());
    }
    config.access_log = access_log(arguments)?;
    let limiter = limiter(arguments)?;
    let app = app(arguments, &config, &cores, limiter.clone())?;
    // Never dropped, because the drop would finish the queued jobs after the last connection.
    let _workers = ManuallyDrop::new(app.workers.clone());
    descriptors::allow(&mut config, cores.len(), has_admin);
    // Without the log and the metrics, because the metrics keep it for good, and the last owner of
    // the log writes the last lines.
    let limits = Config { access_log: None, metrics: None, ..config.clone() };
    let current = Arc::new(Mutex::new(limits));
    figures::add(&config, &app, &current, limiter.as_ref(), diagnostics);
    describe(&config, &cores);

    // All sockets before the first thread, because a process that fails must not have accepted a
    // connection of the process before it.
    let mut own = Sockets::default();
    own.public.are_activated = given.has_public();
    own.admin.are_activated = given.has_admin();
    let public = given.public(arguments, cores.len())?;
    own.public.fds = public.duplicate()?;
    let for_admin = has_admin.then(|| given.admin(arguments)).transpose()?;
    if let Some(listeners) = &for_admin {
        own.admin.fds = listeners.duplicate()?;
    }
    let place = place(arguments)?;
    let server =
        pinloop::start_on(public, &config, move |_core| app.clone()).map_err(start_error)?;

    let handle = signals.handle();
    let (end, has_ended) = mpsc::channel();
    let reload = Reload {
        line: line.to_vec(),
        arguments: Mutex::new(arguments.clone()),
        current,
        settings: server.settings(),
        threads: cores.len(),
        has_admin,
        limiter,
        log: config.access_log.clone(),
    };
    let begin = || -> Result<_, Box<dyn Error>> {
        let admin = for_admin.map(|listeners| admin::start(listeners, &config)).transpose();
        let admin = admin.map_err(start_error)?;
        let offer = place.map(|place| offer(place, own, &server, admin.as_ref())).transpose()?;
        let watch = Watch {
            stopper: server.stopper(),
            reload,
            offer: offer.clone(),
            successor: Successor::new(line),
            diagnostics: diagnostics.clone(),
            has_ended,
            stops: 0,
        };
        // Before the start line, because its reader may send a signal.
        let watch = watch.start(signals)?;
        // Last, because the process before this one can no longer be asked then.
        publish(offer.as_ref())?;
        Ok((admin, watch))
    };
    let (admin, watch) = match begin() {
        Ok(begun) => begun,
        Err(error) => {
            give_up(server, given.are_inherited());
            return Err(error);
        }
    };
    given.confirm();
    notify::ready();
    notify::watch(server.stopper());
    // Not before the offer can be found, because the reader of the start line may ask for it.
    if let Err(error) = announce(arguments, &server, admin.as_ref(), diagnostics) {
        log::warn!("the start line could not be printed: {error}");
    }
    let ended = server.join();
    drop(end);
    handle.close();
    // Ends the thread's share in the access log, because the last one writes the last lines.
    let is_cut_off = watch.join().is_ok_and(|stops| stops > 1);
    admin::stop(admin);
    match (ended?, is_cut_off) {
        (cut, true) => Err(format!("a second signal has cut off {cut} unfinished requests").into()),
        (0, false) => Ok(()),
        (cut, false) => {
            Err(format!("the drain timeout has cut off {cut} unfinished requests").into())
        }
    }
}

/// Binds the socket for an offer to a successor, if there may be one.
fn place(arguments: &Arguments) -> Result<Option<Place>, clap::Error> {
    let Some(path) = &arguments.takeover else { return Ok(None) };
    Place::bind(path).map(Some).map_err(|error| {
        cli::refuse(format_args!("cannot offer a takeover at {}: {error}", path.display()))
    })
}

/// Offers the sockets to a successor.
fn offer(
    place: Place,
    sockets: Sockets,
    server: &Server,
    admin: Option<&Server>,
) -> io::Result<Offer> {
    let stoppers: Vec<Stopper> =
        [Some(server), admin].into_iter().flatten().map(Server::stopper).collect();
    let kept = stoppers.clone();
    place.offer(
        sockets,
        move || stoppers.iter().for_each(Stopper::hand_over),
        move || kept.iter().for_each(Stopper::keep_file),
    )
}

/// Has a successor find the offer, if there is one.
fn publish(offer: Option<&Offer>) -> io::Result<()> {
    let Some(offer) = offer else { return Ok(()) };
    offer.publish().map_err(|error| {
        offer.withdraw();
        io::Error::new(error.kind(), format!("cannot offer a takeover: {error}"))
    })
}

/// Ends a server after a late failure of the start, once it has answered on the connections that it
/// has accepted. Those in the queues are left to the process before this one, if there is one.
fn give_up(server: Server, are_inherited: bool) {
    match are_inherited {
        true => server.stopper().hand_over(),
        false => server.stop(),
    }
    // The failure of the start is the one to report.
    let _ = server.join();
}

/// Asks for a page, and returns 0 if its status is 2xx.
fn check(url: &HealthUrl) -> ExitCode {
    match health::check(url) {
        Ok(200..300) => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("pinloop: {url} answers {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("pinloop: {url} does not answer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the service.
fn app(
    arguments: &Arguments,
    config: &Config,
    cores: &[Core],
    limiter: Option<Arc<ArcSwap<RateLimiter>>>,
) -> io::Result<App> {
    let mut app = App::new(arguments.work);
    app.workers = workers(arguments, cores)?;
    app.metrics = config.metrics.clone().filter(|_| arguments.has_public_metrics());
    app.readiness = Some(config.readiness.clone());
    app.limit = limiter.map(Limit::following);
    Ok(app)
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

/// Makes the limiter, if a rate was given or can be later, and starts the thread that forgets idle
/// clients.
fn limiter(arguments: &Arguments) -> io::Result<Option<Arc<ArcSwap<RateLimiter>>>> {
    let (per_client, total) = arguments.rates();
    let may_change = arguments.config.is_some();
    if per_client.is_none() && total.is_none() && !may_change {
        return Ok(None);
    }
    let limiter = Arc::new(ArcSwap::from_pointee(RateLimiter::new(per_client, total)));
    if per_client.is_some() || may_change {
        let limiter = limiter.clone();
        thread::Builder::new().name("pinloop-limiter".into()).spawn(move || {
            loop {
                thread::sleep(FORGET_INTERVAL);
                limiter.load().forget();
            }
        })?;
    }
    Ok(Some(limiter))
}

/// Prints the start line: to standard output, on a thread of its own because that may be full,
/// or to standard error if standard output has the access log.
fn announce(
    arguments: &Arguments,
    server: &Server,
    admin: Option<&Server>,
    diagnostics: &Diagnostics,
) -> io::Result<()> {
    let line = start_line(server, admin);
    if arguments.logs_to_stdout() {
        diagnostics.send(line.as_bytes());
        return Ok(());
    }
    let print = move || write_stdout(line.as_bytes());
    thread::Builder::new().name("pinloop-stdout".into()).spawn(print).map(drop)
}

fn start_line(server: &Server, admin: Option<&Server>) -> String {
    let threads = server.cores().len();
    let cpus: Vec<String> =
        server.cores().iter().filter_map(|core| core.cpu).map(|cpu| cpu.to_string()).collect();
    let plural = if threads == 1 { "" } else { "s" };
    let place = match cpus.as_slice() {
        [] => "not pinned".to_string(),
        [cpu] => format!("on core {cpu}"),
        cpus => format!("on cores {}", cpus.join(",")),
    };
    let addr = url(server);
    let admin = admin.map(|admin| format!(", admin pages on {}", url(admin)));
    let admin = admin.unwrap_or_default();
    format!("pinloop listening on {addr} with {threads} thread{plural} {place}{admin}\n")
}

fn url(server: &Server) -> String {
    match server.address() {
        Address::Ip(addr) => format!("http://{addr}"),
        address @ Address::Unix(_) => address.to_string(),
    }
}

/// Says at the level `debug` what the options, the machine and the cgroup have led to.
fn describe(config: &Config, cores: &[Core]) {
    let threads = cores.len();
    log::debug!("chosen: {threads} threads, on {cores:?}");
    let Config { connections_max, connections_per_client_max, when_full, .. } = config;
    log::debug!(
        "chosen: at most {connections_max} connections, {connections_per_client_max:?} of each \
         client, then {when_full:?}; {} bytes of buffers",
        config.buffered_bytes_max
    );
    log::debug!("chosen: {:?}", config.limits);
    log::debug!("chosen: {:?}", config.timeouts);
    match &config.trust {
        None => log::debug!("chosen: no proxy is trusted"),
        Some(trust) => log::debug!(
            "chosen: trusted proxies {trust:?}, PROXY protocol: {}",
            config.proxy_protocol
        ),
    }
}

/// Writes to standard output. Ignores a failure, because a closed pipe must not end the server.
fn write_stdout(text: &[u8]) {
    let _ = io::stdout().write_all(text);
}
