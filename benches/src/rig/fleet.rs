//! All servers of a study, up at once.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::load::Expected;
use crate::results::{Contender, Failure, Life};
use crate::rig::gate::{Answers, Server};
use crate::rig::host::{Host, Server as Running};
use crate::rig::meter::{Account, Watched};
use crate::rig::process::Readiness;

/// A server that is to take part.
#[derive(Debug)]
pub struct Entrant {
    /// Its key, variant and description.
    pub contender: Contender,
    /// True if the gate holds its answers against the others'.
    pub answers: bool,
    /// True if it may be asked for the work of `/data`.
    pub works: bool,
    /// Starts it.
    pub command: Command,
    /// Sign that it is ready.
    pub readiness: Readiness,
    /// Time that it may take until it is ready.
    pub patience: Duration,
    /// Answers that it must give, by key of the regime; empty before the gate.
    pub expected: BTreeMap<String, Expected>,
}

/// The servers that are up.
#[derive(Debug, Default)]
pub struct Fleet {
    /// In the order of the entrants.
    pub members: Vec<Member>,
    /// Servers that did not get ready.
    pub failures: Vec<Failure>,
}

/// A server that is up.
#[derive(Debug)]
pub struct Member {
    /// Its contender's key.
    pub key: String,
    /// True if the gate holds its answers against the others'.
    pub answers: bool,
    /// True if it may be asked for the work of `/data`.
    pub works: bool,
    /// True if it is a server from outside.
    pub outside: bool,
    /// Answers that it must give, by key of the regime.
    pub expected: BTreeMap<String, Expected>,
    /// Ends with this value.
    pub process: Running,
    /// All CPU time that it uses.
    pub account: Account,
}

impl Fleet {
    /// Starts `entrants` on these `cores` of `host`, each to the end of its patience, as long as it
    /// `goes_on`.
    pub fn start(
        host: &Arc<Host>,
        entrants: &mut [Entrant],
        cores: &[usize],
        goes_on: &dyn Fn() -> bool,
    ) -> Self {
        let mut fleet = Self::default();
        for entrant in entrants {
            if !goes_on() {
                break;
            }
            let key = entrant.contender.key.clone();
            let Entrant { command, readiness, patience, .. } = entrant;
            let started = host.start(command, cores, *readiness, *patience);
            let opened = started.map_err(io::Error::from).and_then(|mut process| {
                let account = Account::open(&mut process)?;
                Ok((process, account))
            });
            match opened {
                Ok((process, account)) => fleet.members.push(Member {
                    key,
                    answers: entrant.answers,
                    works: entrant.works,
                    outside: entrant.contender.command.is_some(),
                    expected: entrant.expected.clone(),
                    process,
                    account,
                }),
                Err(error) => {
                    fleet.failures.push(Failure { contender: key, reason: error.to_string() });
                }
            }
        }
        fleet
    }

    /// Returns the address of one of the servers; none if none is up.
    pub fn reached(&self) -> Option<SocketAddr> {
        self.members.first().map(|member| member.process.address())
    }

    /// Ends all servers, and returns the account of each.
    pub fn end(mut self, cores: &[usize]) -> Vec<Life> {
        let end =
            |Member { key, mut process, account, .. }| account.close(&key, &mut process, cores);
        self.members.drain(..).map(end).collect()
    }

    /// Fails if a server from outside did not get ready. Its command is wrong then, and the user
    /// learns it before anything is measured.
    pub fn check_outside(&self, entrants: &[Entrant]) -> io::Result<()> {
        let is_outside = |failure: &&Failure| {
            let mut outside = entrants.iter().filter(|e| e.contender.command.is_some());
            outside.any(|entrant| entrant.contender.key == failure.contender)
        };
        match self.failures.iter().find(is_outside) {
            None => Ok(()),
            Some(Failure { contender, reason }) => Err(io::Error::other(format!(
                "nothing was measured, because {contender} is not ready: it {reason}"
            ))),
        }
    }

    /// Fails if no server got ready: whatever is wrong is wrong with all of them.
    pub fn check_any(&self) -> io::Result<()> {
        match (self.members.is_empty(), self.failures.first()) {
            (true, Some(Failure { contender, reason })) => Err(io::Error::other(format!(
                "nothing was measured, because no server is ready; {contender}: {reason}"
            ))),
            _ => Ok(()),
        }
    }

    /// Has every server, now and when it is started again, compared with the answers that it gave
    /// in the gate.
    pub fn expect(&mut self, entrants: &mut [Entrant], answers: &Answers) {
        for ((key, regime), answer) in answers {
            let here = self.members.iter_mut().filter(|m| m.key == *key).map(|m| &mut m.expected);
            let later = entrants.iter_mut().filter(|e| e.contender.key == *key);
            for expected in here.chain(later.map(|entrant| &mut entrant.expected)) {
                expected.insert(regime.clone(), answer.clone());
            }
        }
    }

    /// Takes out those that have ended by themselves.
    pub fn check(&mut self) {
        let failures = &mut self.failures;
        self.members.retain_mut(|member| match member.process.check() {
            Ok(()) => true,
            Err(reason) => {
                let contender = member.key.clone();
                failures.push(Failure { contender, reason });
                false
            }
        });
    }

    /// Returns the servers for the gate, `reference` first.
    pub fn servers(&self, reference: &str) -> Vec<Server> {
        let mut members: Vec<&Member> = self.members.iter().collect();
        members.sort_by_key(|member| member.key != reference);
        members
            .iter()
            .map(|member| Server {
                key: member.key.clone(),
                address: member.process.address(),
                answers: member.answers,
                outside: member.outside,
                works: member.works,
            })
            .collect()
    }
}
