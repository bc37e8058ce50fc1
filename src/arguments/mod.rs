//! The command line: each option with its help, and where its value goes. Each has an
//! environment variable too, `PINLOOP_` and its name: what the command line says comes
//! first, then the environment, then [`Config::default`].
//!
//! Options stand in one table ([`options`]), from which they are read and the help is
//! written, and `lexopt` knows what an argument is. clap, which does it all, takes 310 KB of the binary
//! more: over half of what is left beside the standard library and libc.

mod options;
mod values;

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;

use lexopt::{Arg, Parser};
use pinloop::app::DEFAULT_ROUNDS;
use pinloop::{Config, LogFormat, Rate};

use options::OPTIONS;

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    fn serve(line: &str) -> Arguments {
        match read(line.split(' ').map(OsString::from), |_| None) {
            Ok(Command::Serve(arguments)) => *arguments,
            other => panic!("{other:?}"),
        }
    }
}
