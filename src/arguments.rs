//! The command line: each option with its help, and where its value goes. Each has an
//! environment variable too, `PINLOOP_` and its name: what the command line says comes
//! first, then the environment, then [`Config::default`].
//!
//! Options stand in one table, from which they are read and the help is written, and
//! `lexopt` knows what an argument is. clap, which does it all, takes 310 KB of the binary
//! more: over half of what is left beside the standard library and libc.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser};
use pinloop::app::DEFAULT_ROUNDS;
use pinloop::{Config, LogFormat, Metrics, Rate, WhenFull};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// To serve.
    Serve(Box<Arguments>),
    /// To print this, and to end: the help, or the version.
    Show(String),
}

/// What there is to know in order to serve.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    /// The server's, without its access log.
    pub(crate) config: Config,
    /// Rounds of the work function for each `GET /data`.
    pub(crate) work: u32,
    /// Threads for `GET /data?offload`.
    pub(crate) workers: Option<usize>,
    /// The file of the access log; `-` is the standard output.
    pub(crate) access_log: Option<PathBuf>,
    /// How its lines look.
    pub(crate) access_log_format: LogFormat,
    /// Requests that each client may make.
    pub(crate) rate_limit: Option<Rate>,
    /// How many of them at once.
    pub(crate) rate_limit_burst: Option<NonZeroU32>,
    /// Requests that all clients together may make.
    pub(crate) rate_limit_total: Option<Rate>,
    /// How many of them at once.
    pub(crate) rate_limit_total_burst: Option<NonZeroU32>,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            config: Config::default(),
            work: DEFAULT_ROUNDS,
            workers: None,
            access_log: None,
            access_log_format: LogFormat::Json,
            rate_limit: None,
            rate_limit_burst: None,
            rate_limit_total: None,
            rate_limit_total_burst: None,
        }
    }
}

/// Reads a command line, which begins after the program's name, and the environment. An
/// error is a sentence that says what was given and what is allowed.
pub(crate) fn read(
    line: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, String> {
    let mut arguments = Arguments::default();
    let mut given = Vec::new();
    let mut parser = Parser::from_args(line);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let option = match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Show(help(environment))),
            Arg::Short('V') | Arg::Long("version") => {
                return Ok(Command::Show(format!("pinloop {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Arg::Long(name) => find(name)?,
            other => return Err(other.unexpected().to_string()),
        };
        if given.contains(&option.name) {
            return Err(format!("{option} can be given once, and was given again"));
        }
        given.push(option.name);
        let value = option.value_in(&mut parser)?;
        (option.set)(&mut arguments, &value).map_err(|wrong| {
            format!("invalid value '{}' for {option}: {wrong}", value.display())
        })?;
    }
    for option in OPTIONS.iter().filter(|option| !given.contains(&option.name)) {
        let variable = option.variable();
        let Some(value) = environment(&variable) else { continue };
        (option.set)(&mut arguments, &value).map_err(|wrong| {
            format!("invalid value '{}' in {variable}, for {option}: {wrong}", value.display())
        })?;
    }
    check(&arguments)?;
    Ok(Command::Serve(Box::new(arguments)))
}

fn find(name: &str) -> Result<&'static Opt, String> {
    if let Some(option) = OPTIONS.iter().find(|option| option.name == name) {
        return Ok(option);
    }
    let likeness = |option: &&Opt| strsim::jaro(option.name, name);
    let nearest = OPTIONS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    Err(match nearest.filter(|option| likeness(option) > 0.7) {
        Some(option) => format!("there is no option '--{name}'; a similar one is {option}"),
        None => format!("there is no option '--{name}'"),
    })
}

/// What no option can tell by itself.
fn check(arguments: &Arguments) -> Result<(), String> {
    let needs = |burst: &str, limit: &str| {
        Err(format!("--{burst} <N> is nothing without --{limit} <RATE>, which was not given"))
    };
    if arguments.rate_limit_burst.is_some() && arguments.rate_limit.is_none() {
        return needs("rate-limit-burst", "rate-limit");
    }
    if arguments.rate_limit_total_burst.is_some() && arguments.rate_limit_total.is_none() {
        return needs("rate-limit-total-burst", "rate-limit-total");
    }
    Ok(())
}

fn help(environment: impl Fn(&str) -> Option<OsString>) -> String {
    let mut text = String::from(HEAD);
    let defaults = Arguments::default();
    for option in &OPTIONS {
        let _ = writeln!(text, "      {option}");
        for line in option.help.lines() {
            let _ = writeln!(text, "          {line}");
        }
        let variable = option.variable();
        let value = environment(&variable).unwrap_or_default();
        let _ = write!(text, "          [env: {variable}={}]", value.display());
        if let Some(default) = option.default {
            let _ = write!(text, " [default: {}]", default(&defaults));
        }
        text.push_str("\n\n");
    }
    text + TAIL
}

const HEAD: &str = "\
A small HTTP/1.1 server: one pinned thread, one event loop and one SO_REUSEPORT
listener per core.

Serves GET / and /echo, POST /echo (the content back) and GET /data (the result
of some CPU-bound work).

Usage: pinloop [OPTIONS]

Options:
";

const TAIL: &str = "  -h, --help
          Print help

  -V, --version
          Print version

SIGTERM or SIGINT: stops accepting, answers what has arrived, exits with 0.
SIGHUP: opens the access log anew.
Exit status: 0 stopped, 1 the address can't be listened on, 2 a wrong option.
Logs go to stderr; RUST_LOG=debug says more.

Examples:
  pinloop --threads 1                      one thread, as small as it gets
  pinloop --addr 127.0.0.1:0 --cores 0,2-3 a free port, pinned to three CPUs
  wrk -t1 -c64 -d5s --latency http://127.0.0.1:8080/data
";

/// One option.
struct Opt {
    /// Without its dashes.
    name: &'static str,
    /// What stands for its value in the help; empty for a flag, which has none on the
    /// command line, and `true` or `false` in the environment.
    value: &'static str,
    help: &'static str,
    /// The default as it would be given, where that is one value.
    default: Option<fn(&Arguments) -> String>,
    /// Puts a value where it belongs, or says what is wrong with it.
    set: fn(&mut Arguments, &OsStr) -> Result<(), String>,
}

impl Opt {
    fn variable(&self) -> String {
        format!("PINLOOP_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// The value that follows the option, behind a `=` or as the next argument. That may
    /// be a negative number or a lone `-`, and is no other option.
    fn value_in(&self, parser: &mut Parser) -> Result<OsString, String> {
        if self.value.is_empty() {
            return Ok("true".into());
        }
        if let Some(value) = parser.optional_value() {
            return Ok(value);
        }
        let is_value = |value: &OsString| match value.as_encoded_bytes() {
            [b'-', next, ..] => next.is_ascii_digit() || *next == b'.',
            _ => true,
        };
        let value = parser.value().ok().filter(is_value);
        value.ok_or_else(|| format!("a value is required for {self}, and none was given"))
    }
}

impl Display for Opt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            "" => write!(f, "--{}", self.name),
            value => write!(f, "--{} <{value}>", self.name),
        }
    }
}

static OPTIONS: [Opt; 23] = [
    Opt {
        name: "addr",
        value: "IP:PORT",
        help: "Where to listen; port 0 picks a free one",
        default: Some(|to| to.config.addr.to_string()),
        set: |to, value| {
            to.config.addr = parse(value, "an IP address and a port, as in 127.0.0.1:8080")?;
            Ok(())
        },
    },
    Opt {
        name: "threads",
        value: "N",
        help: "Threads [default: one per CPU that the process may use]",
        default: None,
        set: |to, value| {
            to.config.threads = Some(parse::<NonZeroUsize>(value, POSITIVE)?);
            Ok(())
        },
    },
    Opt {
        name: "cores",
        value: "LIST",
        help: "CPUs to pin the threads to, e.g. 0,2-3 [default: the first that the process may use]",
        default: None,
        set: |to, value| {
            to.config.cores = Some(cores(text(value)?)?);
            Ok(())
        },
    },
    Opt {
        name: "no-pin",
        value: "",
        help: "Leave the threads to the scheduler",
        default: None,
        set: |to, value| {
            to.config.pin = !flag(value)?;
            Ok(())
        },
    },
    Opt {
        name: "work",
        value: "ROUNDS",
        help: "Rounds of the work function for each GET /data; 100 take some 8 microseconds",
        default: Some(|to| to.work.to_string()),
        set: |to, value| {
            to.work = parse(value, "a whole number up to 4294967295")?;
            Ok(())
        },
    },
    Opt {
        name: "workers",
        value: "N",
        help: "Threads for GET /data?offload; 0 for none [default: one per CPU that the event
loops leave free, at least 1]",
        default: None,
        set: |to, value| {
            to.workers = Some(parse(value, WHOLE)?);
            Ok(())
        },
    },
    Opt {
        name: "access-log",
        value: "FILE|-",
        help: "Write a line for each request to this file, or to the standard output for -; SIGHUP
opens it anew",
        default: None,
        set: |to, value| {
            if value.is_empty() {
                return Err("allowed is a file's name, or - for the standard output".into());
            }
            to.access_log = Some(value.into());
            Ok(())
        },
    },
    Opt {
        name: "access-log-format",
        value: "json|combined",
        help: "How the lines of the access log look: a JSON object each, or the combined log
format of Apache and nginx",
        default: Some(|to| match to.access_log_format {
            LogFormat::Json => "json".into(),
            LogFormat::Combined => "combined".into(),
        }),
        set: |to, value| {
            to.access_log_format = match text(value)? {
                "json" => LogFormat::Json,
                "combined" => LogFormat::Combined,
                _ => return Err("allowed are json and combined".into()),
            };
            Ok(())
        },
    },
    Opt {
        name: "metrics",
        value: "",
        help: "Count what happens, for GET /metrics",
        default: None,
        set: |to, value| {
            to.config.metrics = flag(value)?.then(Metrics::default);
            Ok(())
        },
    },
    Opt {
        name: "rate-limit",
        value: "RATE",
        help: "Requests that each client address may make, e.g. 100/s or 6000/m; more are 429.
An IPv6 client is its /64",
        default: None,
        set: |to, value| {
            to.rate_limit = Some(text(value)?.parse()?);
            Ok(())
        },
    },
    Opt {
        name: "rate-limit-burst",
        value: "N",
        help: "Requests that each client may make at once after a pause [default: what the rate
allows in 20 ms, at least 20]",
        default: None,
        set: |to, value| {
            to.rate_limit_burst = Some(parse(value, POSITIVE)?);
            Ok(())
        },
    },
    Opt {
        name: "rate-limit-total",
        value: "RATE",
        help: "Requests that all clients together may make; more are 429",
        default: None,
        set: |to, value| {
            to.rate_limit_total = Some(text(value)?.parse()?);
            Ok(())
        },
    },
    Opt {
        name: "rate-limit-total-burst",
        value: "N",
        help: "Requests that all clients together may make at once after a pause [default: as
for each client]",
        default: None,
        set: |to, value| {
            to.rate_limit_total_burst = Some(parse(value, POSITIVE)?);
            Ok(())
        },
    },
    Opt {
        name: "max-head-bytes",
        value: "BYTES",
        help: "Bytes of a request's head; more is 431, or 414 for the target",
        default: Some(|to| to.config.limits.head_bytes_max.to_string()),
        set: |to, value| {
            to.config.limits.head_bytes_max = parse(value, WHOLE)?;
            Ok(())
        },
    },
    Opt {
        name: "max-headers",
        value: "N",
        help: "Fields of a request's head; more is 431",
        default: Some(|to| to.config.limits.fields_max.to_string()),
        set: |to, value| {
            to.config.limits.fields_max = parse(value, WHOLE)?;
            Ok(())
        },
    },
    Opt {
        name: "max-body-bytes",
        value: "BYTES",
        help: "Bytes of collected content; more is 413. POST /echo streams, and has no limit",
        default: Some(|to| to.config.limits.content_bytes_max.to_string()),
        set: |to, value| {
            to.config.limits.content_bytes_max = parse(value, WHOLE)?;
            Ok(())
        },
    },
    Opt {
        name: "max-connections",
        value: "N",
        help: "Connections open at a time",
        default: Some(|to| to.config.connections_max.to_string()),
        set: |to, value| {
            to.config.connections_max = parse(value, WHOLE)?;
            Ok(())
        },
    },
    Opt {
        name: "when-full",
        value: "shed|wait",
        help: "What becomes of more connections: answered with 503 and closed, or left in the
listener's queue until there is room",
        default: Some(|to| match to.config.when_full {
            WhenFull::Shed => "shed".into(),
            WhenFull::Wait => "wait".into(),
        }),
        set: |to, value| {
            to.config.when_full = match text(value)? {
                "shed" => WhenFull::Shed,
                "wait" => WhenFull::Wait,
                _ => return Err("allowed are shed and wait".into()),
            };
            Ok(())
        },
    },
    Opt {
        name: "head-timeout",
        value: "SECONDS",
        help: "From a head's first byte, or the connection's beginning, to its end",
        default: Some(|to| to.config.timeouts.head.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.head = seconds(text(value)?)?;
            Ok(())
        },
    },
    Opt {
        name: "body-timeout",
        value: "SECONDS",
        help: "For every 4 KiB of a request's content",
        default: Some(|to| to.config.timeouts.content.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.content = seconds(text(value)?)?;
            Ok(())
        },
    },
    Opt {
        name: "idle-timeout",
        value: "SECONDS",
        help: "Between an answer and the next request",
        default: Some(|to| to.config.timeouts.idle.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.idle = seconds(text(value)?)?;
            Ok(())
        },
    },
    Opt {
        name: "write-timeout",
        value: "SECONDS",
        help: "For every 4 KiB of an answer",
        default: Some(|to| to.config.timeouts.write.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.write = seconds(text(value)?)?;
            Ok(())
        },
    },
    Opt {
        name: "drain-timeout",
        value: "SECONDS",
        help: "For unfinished requests after SIGTERM or SIGINT",
        default: Some(|to| to.config.timeouts.drain.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.drain = seconds(text(value)?)?;
            Ok(())
        },
    },
];

const WHOLE: &str = "a whole number";
const POSITIVE: &str = "a whole number from 1 on";

/// A value that the standard library can read, and says what is wrong with.
fn parse<T: FromStr<Err: Display>>(value: &OsStr, allowed: &str) -> Result<T, String> {
    text(value)?.parse().map_err(|wrong| format!("{wrong}; allowed is {allowed}"))
}

/// The value of a flag, which only the environment can say.
fn flag(value: &OsStr) -> Result<bool, String> {
    match text(value)? {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("allowed are true and false".into()),
    }
}

fn text(value: &OsStr) -> Result<&str, String> {
    value.to_str().ok_or_else(|| "it is not UTF-8, and has to be".into())
}

/// CPU numbers, in the order in which they were given.
fn cores(list: &str) -> Result<Vec<usize>, String> {
    let wrong = || "that is no list of CPUs such as 0,2-3".to_string();
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
    Ok(cores)
}

/// Without floating point, which takes 28 KB of the binary, and would for this alone.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong =
        || "that is no number of seconds such as 10 or 0.5; 0.1 to 86400 are allowed".to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || fraction.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(wrong());
    }
    let seconds = format!("0{whole}").parse().map_err(|_| wrong())?;
    let nanoseconds = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    Ok(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_a_space_or_an_equals_sign() {
        assert_eq!(serve("--work 7 --cores=1,0 --no-pin --head-timeout 0.5").work, 7);
        let config = serve("--work=7 --cores 1,0 --no-pin --head-timeout=0.5").config;
        assert_eq!((config.cores, config.pin), (Some(vec![1, 0]), false));
        assert_eq!(config.timeouts.head, Duration::from_millis(500));
        assert_eq!(serve("--access-log -").access_log, Some("-".into()));
    }

    #[test]
    fn the_command_line_comes_before_the_environment() {
        let environment = |name: &str| (name == "PINLOOP_WORK").then(|| "5".into());
        let work = |line: &[&str]| match read(line.iter().map(OsString::from), environment) {
            Ok(Command::Serve(arguments)) => arguments.work,
            other => panic!("{other:?}"),
        };
        assert_eq!((work(&[]), work(&["--work", "6"])), (5, 6));
    }

    #[test]
    fn each_variable_of_the_environment_is_read() {
        for option in &OPTIONS {
            let environment = |name: &str| (name == option.variable()).then(OsString::new);
            let wrong = read([], environment).unwrap_err();
            assert!(wrong.contains(&option.variable()), "{option}: {wrong}");
        }
    }

    #[test]
    fn the_defaults_shown_are_the_defaults() {
        let mut arguments = Arguments::default();
        let expected = format!("{arguments:?}");
        for option in &OPTIONS {
            let Some(default) = option.default else { continue };
            let shown = default(&arguments);
            assert_eq!((option.set)(&mut arguments, shown.as_ref()), Ok(()), "{option}");
        }
        assert_eq!(format!("{arguments:?}"), expected);
    }

    #[test]
    fn the_help_names_each_option_with_its_variable_and_fits_in_100_columns() {
        let Ok(Command::Show(help)) = read(["--help".into()], |_| None) else { panic!("no help") };
        for option in &OPTIONS {
            assert!(help.contains(&format!("\n      {option}\n")), "{option}");
            assert!(help.contains(&format!("[env: {}=]", option.variable())), "{option}");
        }
        assert!(help.contains("[default: 127.0.0.1:8080]"), "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        for (line, sentence) in [
            ("--wrok 5", "there is no option '--wrok'; a similar one is --work <ROUNDS>"),
            ("--zzz", "there is no option '--zzz'"),
            ("-x", "invalid option '-x'"),
            ("extra", "unexpected argument \"extra\""),
            ("--no-pin=yes", "unexpected argument for option '--no-pin': \"yes\""),
            ("--work 1 --work 2", "--work <ROUNDS> can be given once, and was given again"),
            ("--work", "a value is required for --work <ROUNDS>, and none was given"),
            (
                "--access-log --metrics",
                "a value is required for --access-log <FILE|->, and none was given",
            ),
            (
                "--work -5",
                "invalid value '-5' for --work <ROUNDS>: invalid digit found in string; \
                 allowed is a whole number up to 4294967295",
            ),
            (
                "--when-full x",
                "invalid value 'x' for --when-full <shed|wait>: allowed are shed and wait",
            ),
            (
                "--rate-limit-total-burst 1",
                "--rate-limit-total-burst <N> is nothing without --rate-limit-total <RATE>, \
                 which was not given",
            ),
        ] {
            let line = line.split(' ').map(OsString::from);
            assert_eq!(read(line, |_| None).unwrap_err(), sentence);
        }
    }

    #[test]
    fn reads_lists_of_cores() {
        assert_eq!(cores("0,2-4"), Ok(vec![0, 2, 3, 4]));
        for wrong in ["", "a", "3-1", "0,", "-1", "0-999999"] {
            assert!(cores(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reads_seconds_and_fractions_of_them() {
        for (text, milliseconds) in [("10", 10_000), ("0.5", 500), (".25", 250), ("2.", 2_000)] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(seconds("0.000000001"), Ok(Duration::from_nanos(1)));
        for wrong in ["", ".", "-1", "+1", "1e3", "1.-5", "0.0000000001", "99999999999999999999"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    fn serve(line: &str) -> Arguments {
        match read(line.split(' ').map(OsString::from), |_| None) {
            Ok(Command::Serve(arguments)) => *arguments,
            other => panic!("{other:?}"),
        }
    }
}
