//! The timeouts as options, which derive from the table of the server.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use pinloop::Timeouts;

use super::values::seconds;

/// The timeouts: one option for each entry of [`Timeouts::OPTIONS`].
#[derive(Clone, Debug)]
pub(super) struct TimeoutArgs(pub(super) Timeouts);

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
