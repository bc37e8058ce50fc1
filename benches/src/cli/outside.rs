//! Servers from outside: `--with NAME=COMMAND`.

use std::collections::BTreeMap;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use super::servers::AGAIN;
use crate::results::{Contender, Settings};
use crate::rig::fleet::Entrant;
use crate::rig::process::{PARENT, PORT, Readiness, end_with_parent};
use crate::variants::{self, REFERENCE};

#[derive(Args, Clone, Default)]
pub(crate) struct Outside {
    /// Measure a server of your own too: 'NAME=COMMAND', with {port} in place of its port. Can be
    /// given several times; see --help for the rules
    ///
    /// Routes: it must answer every request that is measured with a status of 2xx. Its answer to a
    /// request must always have the same bytes, apart from the date, and it must keep connections
    /// open as the other servers do.
    ///
    /// Address: it must listen on 127.0.0.1 at the port that it is told in place of {port}, and
    /// nowhere else. With --server-on it runs on that machine, and must listen on the address that
    /// it is told in place of {listen}.
    ///
    /// Readiness: it is ready when that port accepts a connection, which must happen within
    /// --ready-within. Nothing is measured if it does not start.
    ///
    /// Processes: the shell runs COMMAND with exec. All processes that it starts must stay its
    /// descendants, run on the CPUs that they inherit, and end with SIGKILL to its process group.
    ///
    /// Work: it takes part in requests for /data only with --does-the-work.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = own)]
    pub(crate) with: Vec<Own>,
    /// The servers of --with do the work of GET /data: without this they do not take part in it,
    /// because a server that does less would win. Status and body must be those of the others
    #[arg(long, requires = "with")]
    pub(crate) does_the_work: bool,
}

/// A server from outside, as on the command line.
#[derive(Clone)]
pub(crate) struct Own {
    name: String,
    command: String,
}

#[derive(Args)]
pub(crate) struct Become {
    /// Process that this one is to end with
    #[arg(long)]
    parent: u32,
    /// Command for the shell
    command: String,
}

/// Replaces this process by the shell, and the shell by the server, so that the server is the
/// process that is measured.
pub(crate) fn become_server(arguments: &Become) -> anyhow::Result<ExitCode> {
    end_with_parent(arguments.parent)?;
    let command = format!("exec {}", arguments.command);
    let error = Command::new("sh").args(["-c", &command]).exec();
    Err(error).context("cannot run sh")
}

impl Outside {
    /// Returns these servers as entrants.
    pub(crate) fn entrants(&self, settings: &Settings) -> anyhow::Result<Vec<Entrant>> {
        let program = env::current_exe().context("cannot find this program")?;
        for (at, own) in self.with.iter().enumerate() {
            let taken = self.with[..at].iter().any(|other| other.name == own.name)
                || own.name == format!("{REFERENCE}{AGAIN}")
                || variants::find(&own.name).is_some();
            ensure!(!taken, "--with: the name {:?} is taken; choose another one", own.name);
        }
        let entrant = |own: &Own| {
            let mut command = Command::new(&program);
            command.args(["become", "--parent", PARENT, &own.command]);
            Entrant {
                contender: Contender {
                    key: own.name.clone(),
                    variant: own.name.clone(),
                    about: format!("from outside: {}", own.command),
                    base: None,
                    adds: "a server from outside".to_string(),
                    command: Some(own.command.clone()),
                },
                answers: true,
                works: self.does_the_work,
                command,
                readiness: Readiness::Accepting,
                patience: Duration::from_millis(settings.ready_within_ms),
                expected: BTreeMap::new(),
            }
        };
        Ok(self.with.iter().map(entrant).collect())
    }

    /// Fails if a server from outside would be asked for work that it may not do.
    pub(crate) fn check_path(&self, path: &str) -> anyhow::Result<()> {
        let is_work = path.split('?').next() == Some("/data");
        let allowed = self.with.is_empty() || self.does_the_work || !is_work;
        ensure!(
            allowed,
            "--with: add --does-the-work if the server does the work of GET {path}, or choose \
             another --path"
        );
        Ok(())
    }
}

fn own(text: &str) -> Result<Own, String> {
    let (name, command) = text.split_once('=').ok_or("expected NAME=COMMAND")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(format!("the name {name:?} is not of letters, digits, '_' and '-' only"));
    }
    if !command.contains(PORT) {
        return Err(format!("the command does not say where the port goes: put {PORT} there"));
    }
    Ok(Own { name: name.to_string(), command: command.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(names: &[&str], does_the_work: bool) -> Outside {
        let with = names.iter().map(|name| own(&format!("{name}=./server {{port}}")).unwrap());
        Outside { with: with.collect(), does_the_work }
    }

    #[test]
    fn a_server_from_outside_is_asked_for_work_only_if_it_does_it() {
        for (names, does_the_work, path, allowed) in [
            (vec!["mine"], false, "/", true),
            (vec!["mine"], false, "/data", false),
            (vec!["mine"], false, "/data?offload", false),
            (vec!["mine"], true, "/data", true),
            (vec![], false, "/data", true),
        ] {
            let checked = outside(&names, does_the_work).check_path(path);
            assert_eq!(checked.is_ok(), allowed, "{names:?} {does_the_work} {path}");
        }
        assert!(!outside(&["mine"], false).entrants(&Settings::default()).unwrap()[0].works);
        assert!(outside(&["mine"], true).entrants(&Settings::default()).unwrap()[0].works);
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        for names in [vec!["mine", "mine"], vec!["pinloop_offload"], vec!["pinloop_again"]] {
            let error = outside(&names, false).entrants(&Settings::default()).unwrap_err();
            assert!(error.to_string().contains("is taken"), "{names:?}: {error}");
        }
    }
}
