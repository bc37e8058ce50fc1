//! The command line of the `pinloop` binary.
//!
//! Each option is one field of [`Arguments`], in `arguments.rs`. Its environment variable derives from its
//! name: `PINLOOP_MAX_HEADERS` stands for `--max-headers`. The command line comes before the
//! environment, the environment before the configuration file, and the file before the default.
//!
//! To add an option, add a field there and use it in [`Arguments::config`] or in `main.rs`.
//! A timeout needs no change, because the server's table is read.

mod arguments;
mod file;
mod help;
mod timeouts;
mod values;

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;

pub(crate) use arguments::Arguments;
use arguments::DOCUMENTS;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use file::Entry;
use pinloop::Address;

/// Options that change only another option, which must be given too. Both by field name.
const NEEDS: [(&str, &str); 5] = [
    ("client_header", "trust"),
    ("proxy_protocol", "trust"),
    ("access_log_format", "access_log"),
    ("rate_limit_burst", "rate_limit"),
    ("rate_limit_total_burst", "rate_limit_total"),
];

/// Parses the arguments, which begin with the program's name, the environment, and the
/// configuration file that they name.
///
/// The error is an error message, or the help or version text; its `exit` prints it.
pub(crate) fn parse(line: &[OsString]) -> Result<Arguments, clap::Error> {
    let mut command = command();
    let mut matches = command.try_get_matches_from_mut(line).map_err(|error| {
        // If the line is right without the environment, the error is in the environment.
        let is_line_wrong = command_without_environment().try_get_matches_from(line).is_err();
        if is_line_wrong { error } else { name_variable(error, &command) }
    })?;
    let mut in_file = Vec::new();
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        in_file = file::read(path, &command_without_environment()).map_err(refuse)?;
        // A new one, because a command that has parsed a line takes no new defaults.
        command = file::with_defaults(self::command(), &in_file);
        matches = command.try_get_matches_from_mut(line)?;
    }
    check_needs(&mut command, &matches, &in_file)?;
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    arguments.values = values_of(&command, &matches);
    decide_pin(&mut arguments, &matches)?;
    check_unix(&arguments, &matches)?;
    check_takeover(&arguments)?;
    Ok(arguments)
}

/// Refuses both `--pin` and `--no-pin`, unless one of them is in the configuration file, which
/// the other one replaces.
fn decide_pin(arguments: &mut Arguments, matches: &ArgMatches) -> Result<(), clap::Error> {
    let is_in_file = |id| matches.value_source(id) == Some(ValueSource::DefaultValue);
    if arguments.pin && arguments.no_pin {
        match (is_in_file("pin"), is_in_file("no_pin")) {
            (true, false) => arguments.pin = false,
            (false, true) => arguments.no_pin = false,
            _ => return Err(refuse("'--pin' and '--no-pin' exclude each other")),
        }
    }
    Ok(())
}

/// Refuses options that have no effect with the given addresses.
fn check_unix(arguments: &Arguments, matches: &ArgMatches) -> Result<(), clap::Error> {
    let is_given = |id: &&str| matches.value_source(id) != Some(ValueSource::DefaultValue);
    let mut owned = ["unix_mode", "unix_user", "unix_group"].into_iter();
    let given = owned.find(|id| matches.contains_id(id) && is_given(id));
    match given {
        Some(id) if !arguments.has_unix() => Err(refuse(format_args!(
            "'--{}' needs a Unix socket at '--addr' or '--admin-addr', such as \
             unix:/run/pinloop.sock",
            id.replace('_', "-")
        ))),
        _ => Ok(()),
    }
}

/// Refuses an offer at the file of a Unix socket for clients or operators, which it would replace.
fn check_takeover(arguments: &Arguments) -> Result<(), clap::Error> {
    let Some(path) = &arguments.takeover else { return Ok(()) };
    let addresses = [Some(&arguments.addr), arguments.admin_addr.as_ref()];
    let is_same = |address: &Address| matches!(address, Address::Unix(file) if file == path);
    match addresses.into_iter().flatten().find(|address| is_same(address)) {
        Some(address) => Err(refuse(format_args!(
            "'--takeover' needs a path of its own, but {address} is another address of this server"
        ))),
        None => Ok(()),
    }
}

/// Returns the name of each option with its value as text.
fn values_of(command: &Command, matches: &ArgMatches) -> Vec<(String, String)> {
    let value = |arg: &Arg| {
        let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",")
    };
    let named = command.get_arguments().filter(|arg| arg.get_long().is_some());
    named.map(|arg| (arg.get_long().unwrap_or_default().to_string(), value(arg))).collect()
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
fn check_needs(
    command: &mut Command,
    matches: &ArgMatches,
    in_file: &[Entry],
) -> Result<(), clap::Error> {
    for (option, needed) in NEEDS {
        let arg = |id: &str| command.get_arguments().find(|arg| arg.get_id() == id);
        let in_file = |arg: &Arg| {
            let is_meant = |each: &&Entry| arg.get_long() == Some(&each.name);
            let entry = in_file.iter().find(is_meant).filter(|entry| entry.value != "false")?;
            Some(format!("{arg} (from {})", entry.place))
        };
        let given = match matches.value_source(option) {
            Some(ValueSource::CommandLine) => arg(option).map(Arg::to_string),
            Some(ValueSource::EnvVariable) => arg(option).map(with_variable),
            _ => arg(option).and_then(in_file),
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
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use pinloop::{Config, WhenFull};

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
