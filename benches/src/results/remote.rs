//! The other machines of a run: where the servers ran, and what lies between.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Machine;

impl super::Results {
    /// Reports whether requests came over a network, or from another namespace, and not over
    /// loopback.
    pub fn is_over_a_network(&self) -> bool {
        self.remote.is_some() || !self.load_hosts.is_empty()
    }
}

/// Servers on another machine than the measure.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Remote {
    /// Command that led to the machine, such as `ssh HOST`.
    pub command: String,
    /// Address that the servers were reached at.
    pub address: Option<IpAddr>,
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
    /// Time by which its order came after the common start; 0 if it was in time.
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
