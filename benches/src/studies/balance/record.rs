//! The spread of connections and work over the cores of servers.

use serde::{Deserialize, Serialize};

use crate::results::{EventLoop, Failure, Latency, Machines, Occasion, OnMachines};

/// The study `balance`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Balance {
    /// When, and with what; its path is that of the light requests.
    pub occasion: Occasion,
    /// Key of the server that the others are held against.
    pub reference: String,
    /// Key of the reference's second process, for A/A.
    pub again: String,
    /// Path of the heavy requests, with GET.
    pub heavy_path: String,
    /// Number of requests, in a mixed load, that have one heavy request among them.
    pub heavy_one_in: usize,
    /// CPU time of one round of the work function, in ns.
    pub round_ns: f64,
    /// Length of one slice, in milliseconds.
    pub slice_ms: u64,
    /// In the order in which they are shown.
    pub loads: Vec<BalanceLoad>,
    /// Contenders that got no figure, and why.
    pub failures: Vec<Failure>,
}

impl OnMachines for Balance {
    fn machines(&self) -> Option<&Machines> {
        Some(&self.occasion.machines)
    }
}

/// One number of connections, with one kind of requests.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct BalanceLoad {
    /// Open connections of each server.
    pub connections: usize,
    /// CPU time that a heavy request is meant to take, in ns; none if all requests are light.
    pub heavy_ns: Option<u64>,
    /// Rounds of the work function for a heavy request.
    pub work_rounds: u32,
    /// CPUs of the generators, a thread each.
    pub generator_cores: Vec<usize>,
    /// Requests per second of the slices at a fixed rate, the same for all servers and starts:
    /// half of what the server in the middle answered in the first start. None before that.
    pub rate_per_s: Option<f64>,
    /// Each with a sample of every server that has not failed.
    pub starts: Vec<Vec<BalanceSample>>,
}

/// One start of a server under one load.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct BalanceSample {
    /// Key of the contender.
    pub contender: String,
    /// In a closed loop.
    pub saturated: BalanceSlice,
    /// At a fixed rate.
    pub paced: BalanceSlice,
    /// Latency of all requests at the fixed rate.
    pub latency: Latency,
    /// Latency of the light requests among them; empty if all are light.
    pub light: Latency,
    /// Connections and requests of each event loop that has any; empty if the kernel did not tell.
    pub loops: Vec<EventLoop>,
}

/// A server under load for a moment.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct BalanceSlice {
    /// Answered in this slice, each rightly.
    pub requests: u64,
    /// From the first request to the last answer.
    pub elapsed_ns: u64,
    /// CPU time of all threads of the server.
    pub cpu_ns: u64,
    /// CPU time of the server's busiest thread.
    pub cpu_ns_max: u64,
    /// CPU time of all generators.
    pub generator_cpu_ns: u64,
    /// Requests that were due, and for which no connection was free in time.
    pub unsent: u64,
    /// Time that the hypervisor took from the server's CPUs, sampled by tick.
    pub steal_ticks: u64,
}

impl Balance {
    /// Reports whether a generator had to run on a CPU of the servers.
    pub fn shares_a_core(&self) -> bool {
        let generators = self.loads.iter().flat_map(|load| &load.generator_cores);
        !self.occasion.machines_differ
            && generators.into_iter().any(|core| self.occasion.server_cores.contains(core))
    }
}
