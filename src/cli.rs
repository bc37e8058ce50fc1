//! The command line of the `pinloop` binary.
//!
//! Each option is one field of [`Arguments`]. Its environment variable derives from its
//! name: `PINLOOP_MAX_HEADERS` stands for `--max-headers`. The command line comes before the
//! environment, and the environment before the default.
//!
//! To add an option, add a field here and use it in [`Arguments::config`] or in `main.rs`.
//! A timeout needs no change here, because [`TimeoutArgs`] reads the server's table.

mod values;

use std::ffi::OsString;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser};
use clap_complete::Shell;
use pinloop::app::DEFAULT_ROUNDS;
use pinloop::http::Limits;
use pinloop::{Config, LogFormat, Metrics, Rate, Timeouts, WhenFull};
use values::{CpuList, address, number, seconds};

/// Options that change only another option, which must be given too. Both by field name.
const NEEDS: [(&str, &str); 3] = [
    ("access_log_format", "access_log"),
    ("rate_limit_burst", "rate_limit"),
    ("rate_limit_total_burst", "rate_limit_total"),
];

const DOCUMENTS: &str = "Completions and manual";

/// A small HTTP/1.1 server: one pinned thread, event loop and listener for each CPU
///
/// Serves GET / and /echo, POST /echo (returns the body) and GET /data (returns the result
/// of CPU-bound work).
#[derive(Debug, Parser)]
#[command(name = "pinloop", version, after_long_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Address to listen on; port 0 picks a free port
    #[arg(long, value_name = "IP:PORT", help_heading = "Address and threads")]
    #[arg(default_value_t = Config::default().addr, value_parser = address)]
    addr: SocketAddr,
    /// Number of threads [default: one for each available CPU, within the CPU quota of the
    /// cgroup]
    #[arg(long, value_name = "N", help_heading = "Address and threads")]
    #[arg(value_parser = number(Config::THREADS))]
    threads: Option<usize>,
    /// Accept a connection once its first bytes have arrived, and read at once: cheaper where a
    /// connection has one request. Until then the kernel keeps the connection, for about the
    /// head timeout; it counts for no limit, and is lost when the server stops
    #[arg(long, help_heading = "Address and threads")]
    defer_accept: bool,
    /// CPUs to pin the threads to, such as 0,2-3 [default: the available CPUs]
    #[arg(long, value_name = "LIST", help_heading = "Address and threads")]
    cores: Option<CpuList>,
    /// Pin each thread to a CPU. Without this option and --no-pin, threads are pinned if
    /// --cores is given or there is one for each available CPU
    #[arg(long, help_heading = "Address and threads")]
    pin: bool,
    /// Leave the placement of the threads to the scheduler
    #[arg(long, help_heading = "Address and threads")]
    no_pin: bool,
    /// Rounds of the work function for each GET /data; 100 rounds take some 8 microseconds
    #[arg(long, value_name = "ROUNDS", help_heading = "Work of GET /data")]
    #[arg(default_value_t = DEFAULT_ROUNDS, value_parser = number(0..=u32::MAX))]
    pub(crate) work: u32,
    /// Number of threads for GET /data?offload; 0 disables them [default: one for each CPU
    /// that the event loops leave free, at least 1]
    #[arg(long, value_name = "N", help_heading = "Work of GET /data")]
    #[arg(value_parser = number(0..=*Config::THREADS.end()))]
    pub(crate) workers: Option<usize>,
    /// File that gets a line for each request; - is standard output. SIGHUP reopens it
    #[arg(long, value_name = "FILE|-", help_heading = "Logs and metrics")]
    pub(crate) access_log: Option<PathBuf>,
    /// Format of the access log
    #[arg(long, value_name = "FORMAT", help_heading = "Logs and metrics", default_value = "json")]
    pub(crate) access_log_format: LogFormat,
    /// Count events and serve the counters at GET /metrics
    #[arg(long, help_heading = "Logs and metrics")]
    metrics: bool,
    /// Rate of requests for each client address, such as 100/s or 6000/m; requests beyond it
    /// get 429. An IPv6 client is its /64 network
    #[arg(long, value_name = "RATE", help_heading = "Rate limits")]
    pub(crate) rate_limit: Option<Rate>,
    /// Requests that each client may send at once after a pause [default: the rate's
    /// requests of 20 ms, at least 20]
    #[arg(long, value_name = "N", help_heading = "Rate limits")]
    #[arg(value_parser = number(NonZeroU32::MIN..=NonZeroU32::MAX))]
    pub(crate) rate_limit_burst: Option<NonZeroU32>,
    /// Rate of requests for all clients together; requests beyond it get 429
    #[arg(long, value_name = "RATE", help_heading = "Rate limits")]
    pub(crate) rate_limit_total: Option<Rate>,
    /// Requests that all clients together may send at once after a pause [default: the
    /// rate's requests of 20 ms, at least 20]
    #[arg(long, value_name = "N", help_heading = "Rate limits")]
    #[arg(value_parser = number(NonZeroU32::MIN..=NonZeroU32::MAX))]
    pub(crate) rate_limit_total_burst: Option<NonZeroU32>,
    /// Maximum bytes of a request's head; a longer head gets 431, a longer target 414
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    #[arg(default_value_t = Limits::default().head_bytes_max, value_parser = number(Config::HEAD_BYTES))]
    max_head_bytes: usize,
    /// Maximum number of headers of a request; more get 431
    #[arg(long, value_name = "N", help_heading = "Limits")]
    #[arg(default_value_t = Limits::default().headers_max, value_parser = number(Config::HEADERS))]
    max_headers: usize,
    /// Maximum bytes of a body that is collected in memory; a longer body gets 413. POST
    /// /echo streams its body without a limit
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    #[arg(default_value_t = Limits::default().body_bytes_max, value_parser = number(0..=u64::MAX))]
    max_body_bytes: u64,
    /// Maximum bytes of unfinished requests and unsent responses, over all connections; a
    /// request that exceeds it gets 503. If it is given, half of it may hold responses of clients
    /// that send a whole body before they read [default: a quarter of the memory of the cgroup or the
    /// machine, 16 MiB to 1 GiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    #[arg(value_parser = number(Config::HEAD_BYTES.start().to_owned()..=usize::MAX))]
    max_buffered_bytes: Option<usize>,
    /// Maximum number of open connections
    #[arg(long, value_name = "N", help_heading = "Limits")]
    #[arg(default_value_t = Config::default().connections_max, value_parser = number(Config::CONNECTIONS))]
    max_connections: usize,
    /// Maximum number of open connections of each client address; more get 503. An IPv6 client
    /// is its /64 network [default: no limit]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    #[arg(value_parser = number(NonZeroUsize::MIN..=NonZeroUsize::MAX))]
    max_connections_per_client: Option<NonZeroUsize>,
    /// Treatment of more connections
    #[arg(long, value_name = "POLICY", help_heading = "Limits", default_value = "shed")]
    when_full: WhenFull,
    #[command(flatten)]
    timeouts: TimeoutArgs,
    /// Print a completion script for this shell and exit
    #[arg(long, value_name = "SHELL", help_heading = DOCUMENTS)]
    completions: Option<Shell>,
    /// Print the manual page in roff format and exit
    #[arg(long, help_heading = DOCUMENTS)]
    man: bool,
}

const AFTER_HELP: &str = "\
Signals:
  SIGTERM, SIGINT  stop accepting, answer the requests that have arrived, exit with 0;
                   a second one cuts off unfinished requests, exit with 1
  SIGHUP           reopen the access log, if there is one

Exit status:
  0  stopped by a signal, and all requests that had arrived were answered
  1  the server could not start or failed, for example because the address is in use; or
     a second signal or the drain timeout cut off requests
  2  an option or environment variable is wrong

Environment:
  PINLOOP_MAX_HEADERS stands for --max-headers, and so on for each option.
  PINLOOP_PIN, PINLOOP_NO_PIN, PINLOOP_DEFER_ACCEPT and PINLOOP_METRICS are true or false.
  RUST_LOG=debug logs more to standard error.

Examples:
  pinloop --threads 1                       one thread
  pinloop --addr 127.0.0.1:0 --cores 0,2-3  a free port, three threads pinned to three CPUs
  wrk -t1 -c64 -d5s --latency http://127.0.0.1:8080/data";

/// Parses the arguments, which begin with the program's name, and the environment.
///
/// The error is an error message, or the help or version text; its `exit` prints it.
pub(crate) fn parse(line: &[OsString]) -> Result<Arguments, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(line).map_err(|error| {
        // If the line is right without the environment, the error is in the environment.
        let is_line_wrong = command_without_environment().try_get_matches_from(line).is_err();
        if is_line_wrong { error } else { name_variable(error, &command) }
    })?;
    check_needs(&mut command, &matches)?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    if arguments.pin && arguments.no_pin {
        return Err(refuse("'--pin' and '--no-pin' exclude each other"));
    }
    Ok(arguments)
}

/// Makes an error that is printed like the parser's own errors.
pub(crate) fn refuse(sentence: impl Display) -> clap::Error {
    command().error(ErrorKind::ValueValidation, sentence)
}

/// Returns the command with an environment variable for each option.
fn command() -> Command {
    command_without_environment().mut_args(|arg| match arg.get_long().map(variable) {
        Some(name) if arg.get_help_heading() != Some(DOCUMENTS) => arg.env(name),
        _ => arg,
    })
}

/// Returns the command, which reads `-5` as a wrong value and not as an unknown option.
fn command_without_environment() -> Command {
    Arguments::command().mut_args(|arg| {
        let takes_value = arg.get_action().takes_values();
        arg.allow_negative_numbers(takes_value)
    })
}

fn variable(option: &str) -> String {
    format!("PINLOOP_{}", option.to_ascii_uppercase().replace('-', "_"))
}

/// Adds the name of the environment variable to an error about its value.
fn name_variable(mut error: clap::Error, command: &Command) -> clap::Error {
    let named = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let is_wrong = |arg: &&Arg| match &named {
        Some(named) => arg.to_string() == *named,
        // clap names no option if the value is not UTF-8.
        None => arg.get_env().and_then(std::env::var_os).is_some_and(|v| v.to_str().is_none()),
    };
    match command.get_arguments().find(is_wrong).map(with_variable) {
        Some(arg) if named.is_none() => refuse(format_args!("the value of '{arg}' is not UTF-8")),
        Some(arg) => {
            error.insert(ContextKind::InvalidArg, ContextValue::String(arg));
            error
        }
        None => error,
    }
}

fn with_variable(arg: &Arg) -> String {
    let variable = arg.get_env().unwrap_or_default();
    format!("{arg} (from {})", variable.display())
}

/// Refuses an option that has no effect without another one.
fn check_needs(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    for (option, needed) in NEEDS {
        let arg = |id: &str| command.get_arguments().find(|arg| arg.get_id() == id);
        let given = match matches.value_source(option) {
            Some(ValueSource::CommandLine) => arg(option).map(Arg::to_string),
            Some(ValueSource::EnvVariable) => arg(option).map(with_variable),
            _ => None,
        };
        if let (Some(given), Some(needed), false) =
            (given, arg(needed), matches.contains_id(needed))
        {
            let sentence = format!("'{given}' needs '{needed}', which was not given");
            return Err(command.error(ErrorKind::MissingRequiredArgument, sentence));
        }
    }
    Ok(())
}

impl Arguments {
    /// Returns the completion script or the manual page, if one was asked for.
    pub(crate) fn document(&self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        if let Some(shell) = self.completions {
            clap_complete::generate(shell, &mut command(), "pinloop", &mut text);
        } else if self.man {
            clap_mangen::Man::new(command()).render(&mut text).expect("a Vec takes every write");
        }
        (!text.is_empty()).then_some(text)
    }

    /// Returns the server's settings, without the access log.
    pub(crate) fn config(&self) -> Config {
        let default = Config::default();
        Config {
            addr: self.addr,
            threads: self.threads.and_then(NonZeroUsize::new),
            cores: self.cores.clone().map(|list| list.0),
            pin: (self.pin || self.no_pin).then_some(self.pin),
            defer_accept: self.defer_accept,
            connections_max: self.max_connections,
            connections_per_client_max: self.max_connections_per_client,
            buffered_bytes_max: self.max_buffered_bytes.unwrap_or(default.buffered_bytes_max),
            // Who gives the server memory for this has it used.
            unread_bytes_max: self.max_buffered_bytes.unwrap_or(default.unread_bytes_max),
            when_full: self.when_full,
            limits: Limits {
                head_bytes_max: self.max_head_bytes,
                headers_max: self.max_headers,
                body_bytes_max: self.max_body_bytes,
                ..Limits::default()
            },
            timeouts: self.timeouts.0.clone(),
            metrics: self.metrics.then(Metrics::default),
            ..default
        }
    }
}

/// The timeouts: one option for each entry of [`Timeouts::OPTIONS`].
#[derive(Debug)]
struct TimeoutArgs(Timeouts);

impl Args for TimeoutArgs {
    fn augment_args(command: Command) -> Command {
        let defaults = Timeouts::default();
        command.args(Timeouts::OPTIONS.iter().map(|option| {
            Arg::new(option.name)
                .long(option.name)
                .value_name("SECONDS")
                .help(option.help)
                .help_heading("Timeouts in seconds, such as 10 or 0.5")
                .default_value((option.get)(&defaults).as_secs_f64().to_string())
                .value_parser(seconds(option.least))
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        TimeoutArgs::augment_args(command)
    }
}

impl FromArgMatches for TimeoutArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<TimeoutArgs, clap::Error> {
        let mut timeouts = TimeoutArgs(Timeouts::default());
        timeouts.update_from_arg_matches(matches).map(|()| timeouts)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for option in Timeouts::OPTIONS {
            if let Some(&time) = matches.get_one(option.name) {
                (option.set)(&mut self.0, time);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        let line: Vec<OsString> =
            ["pinloop"].into_iter().chain(line.split_whitespace()).map(OsString::from).collect();
        parse(&line).map_err(|error| error.to_string())
    }

    #[test]
    fn options_reach_the_settings() {
        for line in [
            "--cores=1,0 --no-pin --head-timeout=0.5 --when-full=wait",
            "--cores 1,0 --no-pin --head-timeout 0.5 --when-full wait",
        ] {
            let config = read(line).unwrap().config();
            assert_eq!((config.cores, config.pin), (Some(vec![1, 0]), Some(false)));
            assert_eq!(config.timeouts.head, Duration::from_millis(500));
            assert_eq!(config.when_full, WhenFull::Wait);
        }
        assert_eq!(read("--access-log -").unwrap().access_log, Some("-".into()));
        let line =
            "--pin --defer-accept --max-connections-per-client 7 --max-buffered-bytes 1048576";
        let config = read(line).unwrap().config();
        assert!(config.defer_accept);
        assert_eq!((config.pin, config.buffered_bytes_max), (Some(true), 1 << 20));
        assert_eq!(config.unread_bytes_max, 1 << 20);
        assert_eq!(config.connections_per_client_max, NonZeroUsize::new(7));
    }

    #[test]
    fn without_options_the_settings_are_the_defaults() {
        let config = format!("{:?}", read("").unwrap().config());
        assert_eq!(config, format!("{:?}", Config::default()));
    }

    #[test]
    fn the_help_shows_each_option_with_its_variable_and_fits_in_100_columns() {
        let help = read("--help").unwrap_err();
        let mut command = command();
        command.build();
        let options = command.get_arguments().filter(|arg| arg.get_env().is_some());
        for arg in options {
            let name = variable(arg.get_long().expect("a long name"));
            assert!(help.contains(&format!("\n      {arg}\n")), "{arg}");
            assert!(help.contains(&format!("[env: {name}=")), "{arg}");
        }
        assert!(help.contains("[default: 127.0.0.1:8080]"), "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }

    #[test]
    fn errors_say_what_is_allowed() {
        for (line, sentence) in [
            ("--wrok 5", "similar argument exists: '--work'"),
            ("-x", "unexpected argument '-x'"),
            ("extra", "unexpected argument 'extra'"),
            ("--no-pin=yes", "unexpected value 'yes' for '--no-pin'"),
            ("--pin --no-pin", "'--pin' and '--no-pin' exclude each other"),
            ("--max-connections-per-client 0", "allowed is 1 to"),
            ("--work 1 --work 2", "'--work <ROUNDS>' cannot be used multiple times"),
            ("--work", "a value is required for '--work <ROUNDS>'"),
            ("--access-log --metrics", "a value is required for '--access-log <FILE|->'"),
            ("--work -5", "'-5' for '--work <ROUNDS>': allowed is 0 to 4294967295"),
            ("--threads 0", "'0' for '--threads <N>': allowed is 1 to 1024"),
            ("--addr nowhere", "allowed is an IP address and a port"),
            (
                "--head-timeout -1",
                "'-1' for '--head-timeout <SECONDS>': allowed is 0.1 to 86400 seconds",
            ),
            ("--when-full x", "[possible values: shed, wait]"),
            (
                "--access-log-format json",
                "'--access-log-format <FORMAT>' needs '--access-log <FILE|->'",
            ),
            ("--rate-limit-burst 1", "'--rate-limit-burst <N>' needs '--rate-limit <RATE>'"),
            (
                "--rate-limit 1/s --rate-limit-total-burst 1",
                "'--rate-limit-total-burst <N>' needs '--rate-limit-total <RATE>'",
            ),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(sentence), "{line}: {error}");
        }
    }

    #[test]
    fn the_documents_name_each_option() {
        for line in ["--man", "--completions bash", "--completions zsh"] {
            let text = String::from_utf8(read(line).unwrap().document().unwrap()).unwrap();
            let text = text.replace('\\', "");
            for arg in command().get_arguments() {
                let name = arg.get_long().expect("a long name");
                assert!(text.contains(&format!("--{name}")), "{line} lacks {name}");
                let variable = arg.get_env().unwrap_or_default().to_string_lossy();
                assert!(line != "--man" || text.contains(&*variable), "{line} lacks {variable}");
            }
        }
    }
}
