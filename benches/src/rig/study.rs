//! The common part of the studies of one request: servers, the gate, and the file of
//! results.
//!
//! All studies add to one file, so that there is one report of all that was measured.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::load::Target;
use crate::results::{
    self, Contender, Failure, Gate, Machines, Occasion, ReadError, Results, Settings,
};
use crate::rig::fleet::{Entrant, Fleet};
use crate::rig::host::Host;
use crate::rig::load_hosts::LoadHosts;
use crate::rig::regimes;
use crate::rig::regimes::Regime;
use crate::rig::{gate, machine};

/// The key of the request that is studied, for the gate.
const STUDIED: &str = "studied";

/// Request of a study, and the servers that it compares.
#[derive(Clone, Debug)]
pub struct Common {
    /// Settings as recorded.
    pub settings: Settings,
    /// Machine of the servers.
    pub host: Arc<Host>,
    /// Machines that load the servers; none if this process does.
    pub load_hosts: LoadHosts,
    /// Path that is requested with GET.
    pub path: String,
    /// Key of the contender that the others are held against.
    pub reference: String,
    /// Servers that were asked for and that their machine cannot run.
    pub left_out: Vec<Failure>,
}

/// The servers of a study, up and looked at.
#[derive(Debug)]
pub struct Field {
    /// Servers that take part.
    pub fleet: Fleet,
    /// Findings of the gate.
    pub gate: Gate,
    /// Other machines, with their round trips to a server.
    pub machines: Machines,
}

impl Common {
    /// When it begins, and with what.
    pub fn occasion(&self) -> io::Result<Occasion> {
        Ok(Occasion {
            started_unix_s: now_unix_s(),
            complete: false,
            server_cores: self.settings.server_cores.clone(),
            generator_cores: self.settings.generator_cores.clone(),
            machines_differ: self.settings.machines_differ,
            machines: self.host.machines(&self.load_hosts, None)?,
            work_rounds: self.settings.work_rounds,
            path: self.path.clone(),
            seed: self.settings.seed,
        })
    }

    /// The file at `path` as far as it was measured here, or a new one.
    pub fn open(&self, path: &Path, contenders: Vec<Contender>) -> io::Result<Results> {
        let machines = self.host.machines(&self.load_hosts, None)?;
        self.open_beside(Some(&machines), path, contenders)
    }

    /// The file at `path`, or a new one, for figures that do not depend on where other studies had
    /// their servers.
    pub fn open_anyway(&self, path: &Path, contenders: Vec<Contender>) -> io::Result<Results> {
        self.open_beside(None, path, contenders)
    }

    fn open_beside(
        &self,
        machines: Option<&Machines>,
        path: &Path,
        contenders: Vec<Contender>,
    ) -> io::Result<Results> {
        let mut results = open(path, machines)?;
        if results.reference.is_empty() {
            results.settings = self.settings.clone();
            results.reference.clone_from(&self.reference);
        }
        add(&mut results.contenders, contenders);
        Ok(results)
    }

    /// The request, to one of the servers.
    pub fn target(&self, addr: std::net::SocketAddr) -> Target {
        Target { addr, request: regimes::get(&self.path), method_is_head: false }
    }

    /// Starts the servers and compares their answers. A server that does not start, hangs or
    /// gives another answer becomes a failure and is not a member any more.
    pub fn gather(
        &self,
        mut entrants: Vec<Entrant>,
        goes_on: &dyn Fn() -> bool,
    ) -> io::Result<Field> {
        let mut fleet =
            Fleet::start(&self.host, &mut entrants, &self.settings.server_cores, goes_on);
        fleet.check_outside(&entrants)?;
        fleet.check_any()?;
        let machines = self.host.machines(&self.load_hosts, fleet.reached())?;
        let studied = Regime {
            work: self.path.split('?').next() == Some("/data"),
            // Its constant answer is that to this request.
            floor: self.path == "/",
            ..Regime::closed(
                STUDIED,
                "the request of this study",
                "for the request of this study",
                regimes::get(&self.path),
            )
        };
        let verdict = gate::run(&fleet.servers(&self.reference), &[studied], goes_on);
        fleet.failures.extend(verdict.failures_in(STUDIED));
        fleet.check();
        let Fleet { members, failures } = &mut fleet;
        members.retain(|member| failures.iter().all(|failure| failure.contender != member.key));
        Ok(Field { fleet, gate: verdict.gate, machines })
    }
}

/// Reads the file at `path` to add to it. A file of another machine, build or version is
/// set aside, so that nothing that was measured is lost. So is a file whose records had other
/// machines than `machines` beside this one; without them all will do.
pub(crate) fn open(path: &Path, machines: Option<&Machines>) -> io::Result<Results> {
    let fresh = Results {
        schema: results::SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_string(),
        started_unix_s: now_unix_s(),
        complete: true,
        optimized: !cfg!(debug_assertions),
        machine: machine::describe()?,
        ..Results::default()
    };
    let reason = match Results::read(path) {
        Ok(mut there) => match difference(&there, &fresh, machines) {
            None => {
                there.machine.counters = fresh.machine.counters;
                return Ok(there);
            }
            Some(reason) => reason.to_string(),
        },
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(fresh),
        Err(error) => error.to_string(),
    };
    let aside = path.with_extension(format!("{}.json", now_unix_s()));
    fs::rename(path, &aside)?;
    eprintln!("{} is now {}: {reason}", path.display(), aside.display());
    Ok(fresh)
}

/// Returns why figures of both may not stand on one page; none if they may.
fn difference(
    there: &Results,
    fresh: &Results,
    machines: Option<&Machines>,
) -> Option<&'static str> {
    let is_of_here = there.machine.is_same(&fresh.machine)
        && there.optimized == fresh.optimized
        && there.version == fresh.version;
    if !is_of_here {
        return Some("it is of another machine, build or version");
    }
    let machines = machines?;
    there.all_machines().into_iter().find_map(|of| of.difference(machines))
}

/// Adds the contenders that are not there yet, each behind the one it follows.
pub(crate) fn add(contenders: &mut Vec<Contender>, added: Vec<Contender>) {
    let mut behind = None;
    for contender in added {
        let there = contenders.iter().position(|other| other.key == contender.key);
        behind = there.or_else(|| {
            let place = behind.map_or(contenders.len(), |place| place + 1);
            contenders.insert(place, contender);
            Some(place)
        });
    }
}

pub(crate) fn now_unix_s() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Interface, LoadHost, Remote, Side};

    fn contenders(keys: &[&str]) -> Vec<Contender> {
        let contender = |key: &&str| Contender {
            key: key.to_string(),
            variant: key.to_string(),
            about: String::new(),
            base: None,
            adds: String::new(),
            command: None,
        };
        keys.iter().map(contender).collect()
    }

    #[test]
    fn contenders_keep_the_order_of_the_ladder() {
        for (there, added, all) in [
            (vec![], vec!["a", "b"], vec!["a", "b"]),
            (vec!["a", "a_again", "c"], vec!["a", "c"], vec!["a", "a_again", "c"]),
            (vec!["a", "d"], vec!["a", "b", "c", "d", "e"], vec!["a", "b", "c", "d", "e"]),
            (vec!["a"], vec!["b"], vec!["a", "b"]),
        ] {
            let mut found = contenders(&there);
            add(&mut found, contenders(&added));
            let found: Vec<_> = found.iter().map(|contender| contender.key.as_str()).collect();
            assert_eq!(found, all);
        }
    }

    #[test]
    fn a_file_of_another_machine_is_set_aside_and_one_of_this_is_added_to() {
        let directory = std::env::temp_dir().join(format!("pinloop-study-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("results.json");
        let fresh = open(&path, None).unwrap();
        let mut here = Results { reference: "kept".to_string(), ..fresh.clone() };
        here.write(&path).unwrap();
        assert_eq!(open(&path, None).unwrap().reference, "kept");

        here.machine.kernel = "Linux 2.6".to_string();
        here.write(&path).unwrap();
        assert_eq!(open(&path, None).unwrap().reference, "");
        assert!(!path.exists());
        let aside: Vec<_> = fs::read_dir(&directory).unwrap().collect();
        assert_eq!(aside.len(), 1);
        assert_eq!(Results::read(&aside[0].as_ref().unwrap().path()).unwrap().reference, "kept");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn figures_of_another_machine_or_build_are_not_added_to() {
        let fresh = Results::default();
        let mut there = Results::default();
        // Which does not make it another machine.
        there.machine.load_average = 3.0;
        let of_here = |there: &Results| difference(there, &fresh, None).is_none();
        assert!(of_here(&there));
        there.machine.kernel = "Linux 2.6".to_string();
        assert!(!of_here(&there));
        assert!(!of_here(&Results { optimized: true, ..Results::default() }));
    }

    #[test]
    fn figures_of_other_servers_machines_are_not_added_to() {
        let side = |host: &str| Side { host: host.to_string(), ..Side::default() };
        let on = |host: &str| Machines {
            remote: Some(Remote { server: side(host), ..Remote::default() }),
            ..Machines::default()
        };
        let from = |hosts: &[&str]| Machines {
            load_hosts: hosts
                .iter()
                .map(|host| LoadHost { side: side(host), ..LoadHost::default() })
                .collect(),
            ..on("a")
        };
        let knee = |machines: Machines| {
            let occasion = Occasion { machines, ..Occasion::default() };
            let knee = results::Knee { occasion, ..results::Knee::default() };
            let studies = results::Records { knee: Some(knee), ..results::Records::default() };
            Results { studies, ..Results::default() }
        };
        let fresh = Results::default();
        for (there, now, fits) in [
            (on("a"), on("a"), true),
            (on("a"), on("b"), false),
            (on("a"), Machines::default(), false),
            (Machines::default(), on("a"), false),
            (from(&["b", "c"]), from(&["b", "c"]), true),
            (from(&["b", "c"]), from(&["b"]), false),
            (from(&["b"]), from(&["c"]), false),
            // A study that no other machine can load.
            (from(&["b"]), on("a"), true),
        ] {
            let found = difference(&knee(there.clone()), &fresh, Some(&now));
            assert_eq!(found.is_none(), fits, "{there:?} {now:?}");
        }
        // A new interface is another network, and another boot is the same machine.
        let with = |interface: &str, boot: &str| {
            let mut machines = on("a");
            let server = &mut machines.remote.as_mut().unwrap().server;
            server.interface =
                Some(Interface { name: interface.to_string(), ..Default::default() });
            server.boot = boot.to_string();
            machines
        };
        let there = knee(with("eth0", "1"));
        assert_eq!(difference(&there, &fresh, Some(&with("eth0", "2"))), None);
        assert!(difference(&there, &fresh, Some(&with("eth1", "1"))).is_some());
        // An interface that was not found says nothing.
        assert_eq!(difference(&there, &fresh, Some(&on("a"))), None);
        // Exact counts do not depend on it.
        assert_eq!(difference(&there, &fresh, None), None);
    }
}
