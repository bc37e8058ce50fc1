//! All servers of a study, up at once.

use std::process::Command;
use std::time::Duration;

use crate::results::{Contender, Failure, Life};
use crate::rig::gate::Server;
use crate::rig::meter::Account;
use crate::rig::process::{Process, Readiness};

/// A server starts in milliseconds; a machine that is busy with a build may
/// take seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that is to take part.
#[derive(Debug)]
pub struct Entrant {
    /// Its key, variant and description.
    pub contender: Contender,
    /// Whether the gate holds its answers against the others'.
    pub answers: bool,
    /// Whether it does the work of `GET /data`.
    pub does_the_work: bool,
    /// Starts it.
    pub command: Command,
    /// How it is known to be ready.
    pub readiness: Readiness,
}

/// The servers that are up.
#[derive(Debug, Default)]
pub struct Fleet {
    /// In the order of the entrants.
    pub members: Vec<Member>,
    /// Those that did not get ready.
    pub failures: Vec<Failure>,
}

/// A server that is up.
#[derive(Debug)]
pub struct Member {
    /// Its contender's key.
    pub key: String,
    /// Whether the gate holds its answers against the others'.
    pub answers: bool,
    /// Whether it is none of the variants.
    pub outside: bool,
    /// Ends with this value.
    pub process: Process,
    /// All CPU time that it uses.
    pub account: Account,
}

impl Fleet {
    /// Starts `entrants` on `cores`, each to the end of its patience, as long as it
    /// `goes_on`.
    pub fn start(entrants: &mut [Entrant], cores: &[usize], goes_on: &dyn Fn() -> bool) -> Self {
        let mut fleet = Self::default();
        for Entrant { contender, answers, command, readiness, .. } in entrants {
            if !goes_on() {
                break;
            }
            let key = contender.key.clone();
            let started = Process::start(command, cores, *readiness, PATIENCE);
            let opened = started.and_then(|mut process| {
                let account = Account::open(&mut process)?;
                Ok((process, account))
            });
            match opened {
                Ok((process, account)) => {
                    let (answers, outside) = (*answers, contender.command.is_some());
                    fleet.members.push(Member { key, answers, outside, process, account });
                }
                Err(error) => {
                    fleet.failures.push(Failure { contender: key, reason: error.to_string() });
                }
            }
        }
        fleet
    }

    /// Ends all servers, and returns the account of each.
    pub fn end(mut self, cores: &[usize]) -> Vec<Life> {
        let end =
            |Member { key, mut process, account, .. }| account.close(&key, &mut process, cores);
        self.members.drain(..).map(end).collect()
    }

    /// Takes out those that have ended by themselves.
    pub fn check(&mut self) {
        let failures = &mut self.failures;
        self.members.retain_mut(|member| match member.process.check() {
            Ok(()) => true,
            Err(ended) => {
                let contender = member.key.clone();
                failures.push(Failure { contender, reason: ended.to_string() });
                false
            }
        });
    }

    /// The servers whose answers are compared, `reference` first.
    pub fn servers(&self, reference: &str) -> Vec<Server> {
        let mut answering: Vec<&Member> = self.members.iter().filter(|m| m.answers).collect();
        answering.sort_by_key(|member| member.key != reference);
        answering
            .iter()
            .map(|member| Server {
                key: member.key.clone(),
                address: member.process.address(),
                outside: member.outside,
            })
            .collect()
    }
}
