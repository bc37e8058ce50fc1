//! The other machines of a run: where the servers ran, and what lies between.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Machine;

/// The machines of a record beside the one that measured.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Machines {
    /// The servers' machine; none if it is the one that measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// The machines that loaded the servers; empty if the one that measured did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_hosts: Vec<LoadHost>,
}

impl Machines {
    /// Reports whether requests came over a network, or from another namespace, and not over
    /// loopback.
    pub fn is_over_a_network(&self) -> bool {
        self.remote.is_some() || !self.load_hosts.is_empty()
    }

    /// Returns the command that led to the servers' machine; none if it is the one that measured.
    pub fn server_on(&self) -> Option<&str> {
        self.remote.as_ref().map(|remote| remote.command.as_str())
    }

    /// Returns the commands that led to the machines that loaded the servers.
    pub fn load_from(&self) -> Vec<&str> {
        self.load_hosts.iter().map(|host| host.command.as_str()).collect()
    }

    /// Returns why figures of both do not belong on one page, as a clause about either; none if
    /// they do.
    ///
    /// A study that only the measuring machine can load belongs to one that other machines loaded,
    /// because the report names the machines of each.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let is_same = match (&self.remote, &other.remote) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                one.server.is_same(&other.server) && one.client.is_same(&other.client)
            }
            _ => false,
        };
        if !is_same {
            return Some("its servers ran on another machine, or over another network");
        }
        let loaders = |of: &Self| of.load_hosts.clone().into_iter().map(|host| host.side);
        let are_same = loaders(self).len() == loaders(other).len()
            && loaders(self).zip(loaders(other)).all(|(one, other)| one.is_same(&other));
        let both_have = !self.load_hosts.is_empty() && !other.load_hosts.is_empty();
        (both_have && !are_same).then_some("other machines loaded its servers")
    }

    /// Returns each pair of commands that led to threads on the same CPUs of one machine, with its
    /// name and these CPUs.
    pub fn shared_cpus(&self) -> Vec<SharedCpus<'_>> {
        let mut shared = Vec::new();
        for (at, one) in self.load_hosts.iter().enumerate() {
            for other in &self.load_hosts[..at] {
                let is_same = !one.side.boot.is_empty() && one.side.boot == other.side.boot;
                let both = one.cores.iter().filter(|core| other.cores.contains(core));
                let cores: Vec<usize> = both.copied().collect();
                if is_same && !cores.is_empty() {
                    let commands = [other.command.as_str(), one.command.as_str()];
                    shared.push(SharedCpus { host: &one.side.host, commands, cores });
                }
            }
        }
        shared
    }
}

/// CPUs that two load generators share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedCpus<'a> {
    /// Name of their machine.
    pub host: &'a str,
    /// Commands that led to it.
    pub commands: [&'a str; 2],
    /// The CPUs.
    pub cores: Vec<usize>,
}

/// A record of a study that tells its machines.
pub trait OnMachines {
    /// Returns the machines; none if the figures do not depend on them.
    fn machines(&self) -> Option<&Machines>;
}

impl Side {
    /// Reports whether both are the same machine with the same network interface, as far as they
    /// tell. A machine that was started again is the same one.
    pub fn is_same(&self, other: &Self) -> bool {
        let networks = self.interface.as_ref().zip(other.interface.as_ref());
        self.host == other.host
            && self.machine.is_same(&other.machine)
            && networks.is_none_or(|(one, other)| one == other)
    }
}

/// Servers on another machine than the measure.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Remote {
    /// Command that led to the machine, such as `ssh HOST`.
    pub command: String,
    /// Address that the servers were reached at.
    pub address: Option<IpAddr>,
    /// SHA-256 of the agent's executable if it was another one than the measure's, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The servers' side.
    pub server: Side,
    /// The measure's side.
    pub client: Side,
    /// True if both are the same machine, in other namespaces or containers.
    pub is_same_machine: bool,
    /// Times to open a connection to a server, which is one round trip, ascending.
    pub round_trips_ns: Vec<u64>,
}

/// One side of the network.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Side {
    /// Name that the machine gives itself.
    pub host: String,
    /// Number of this boot of the kernel: equal in two containers of one machine.
    pub boot: String,
    /// The machine.
    pub machine: Machine,
    /// Interface that has the address; none if it was not found.
    pub interface: Option<Interface>,
}

/// A network interface.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Interface {
    /// Such as `eth0`.
    pub name: String,
    /// The kernel's driver; none of an interface without a device, or where it is not said.
    pub driver: Option<String>,
    /// Largest packet, in bytes.
    pub mtu: Option<u64>,
    /// In Mbit/s; none where it is not known.
    pub speed_mbit_s: Option<u64>,
    /// Queues for receiving.
    pub receive_queues: usize,
    /// Queues for sending.
    pub send_queues: usize,
    /// Features of the interface that are on, as `ethtool -k` names them; none without ethtool.
    pub offloads: Option<Vec<String>>,
}

/// A machine that loaded the servers.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct LoadHost {
    /// Command that led to the machine, such as `ssh HOST`.
    pub command: String,
    /// The machine.
    pub side: Side,
    /// SHA-256 of the agent's executable if it was another one than the measure's, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// CPUs of its threads.
    pub cores: Vec<usize>,
    /// Largest error of the common start, in ns: half of the round trip that clocks were compared by.
    pub clock_error_ns: u64,
    /// Times to open a connection from there to a server, which is one round trip, ascending.
    #[serde(default)]
    pub round_trips_ns: Vec<u64>,
}

/// One machine's part of the load of a slice.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct HostShare {
    /// Answered requests.
    pub requests: u64,
    /// From the common start to the last answer.
    pub elapsed_ns: u64,
    /// CPU time of all its threads.
    pub cpu_ns: u64,
    /// CPU time of its busiest thread.
    pub busiest_cpu_ns: u64,
    /// Requests that were due, and for which no connection was free in time.
    pub unsent: u64,
    /// Delay of its order beyond the common start; 0 if it was in time.
    #[serde(default)]
    pub late_ns: u64,
}

/// Busy time of all CPUs of a machine, in clock ticks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct MachineTicks {
    /// In processes, interrupts and softirqs.
    pub busy: u64,
    /// The part of it in softirqs.
    pub softirqs: u64,
    /// Time between the two readings by the machine's own clock, in ns; 0 in files of older
    /// versions. It is longer than the slice, by the way of the orders and by the last answers.
    #[serde(default)]
    pub elapsed_ns: u64,
}

/// An observation of a machine without load.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Baseline {
    /// Length of the observation, in ns.
    pub elapsed_ns: u64,
    /// Busy time in it.
    pub ticks: MachineTicks,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Occasion, Results, Run};

    #[test]
    fn generators_share_cpus_if_commands_lead_to_one_machine_and_the_same_cpus() {
        let host = |command: &str, boot: &str, cores: &[usize]| LoadHost {
            command: command.to_string(),
            side: Side { host: "far".to_string(), boot: boot.to_string(), ..Side::default() },
            cores: cores.to_vec(),
            ..LoadHost::default()
        };
        let shared = |one: LoadHost, other: LoadHost| {
            let machines = Machines { load_hosts: vec![one, other], ..Machines::default() };
            machines
                .shared_cpus()
                .first()
                .map(|of| (of.commands.map(String::from), of.cores.clone()))
        };
        let a = || host("ssh a", "1", &[1, 2]);
        let both = ["ssh a", "ssh b"].map(String::from);
        assert_eq!(shared(a(), host("ssh b", "1", &[2, 3])), Some((both, vec![2])));
        assert_eq!(shared(a(), host("ssh b", "1", &[3])), None);
        assert_eq!(shared(a(), host("ssh b", "2", &[1, 2])), None);
        // Not told by a file of before.
        assert_eq!(shared(host("ssh a", "", &[1]), host("ssh b", "", &[1])), None);
    }

    #[test]
    fn the_machines_of_older_files_are_read() {
        // A run of the ladder has had these names from the beginning.
        let mut run = serde_json::to_value(Run::default()).unwrap();
        let far = Remote { command: "ssh far".to_string(), ..Remote::default() };
        let near = LoadHost { command: "ssh near".to_string(), ..LoadHost::default() };
        run["remote"] = serde_json::to_value(&far).unwrap();
        run["load_hosts"] = serde_json::to_value([&near]).unwrap();
        let run: Run = serde_json::from_value(run).unwrap();
        assert_eq!(
            (run.machines.server_on(), run.machines.load_from()),
            (Some("ssh far"), vec!["ssh near"])
        );
        let mut results = Results { machines: run.machines, ..Results::default() };
        assert!(results.all_machines().is_empty());
        results.regimes.push(Default::default());
        assert_eq!(results.all_machines(), [&results.machines]);
        let again = serde_json::from_value::<Results>(serde_json::to_value(&results).unwrap());
        assert_eq!(again.unwrap().machines, results.machines);
        // A file of an older version lacks the field.
        let occasion = serde_json::to_value(Occasion::default()).unwrap();
        assert!(occasion.get("remote").is_none());
        assert_eq!(
            serde_json::from_value::<Occasion>(occasion).unwrap().machines,
            Machines::default()
        );
    }
}
