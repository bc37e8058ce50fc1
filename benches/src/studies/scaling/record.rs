//! The same load per core on 1, 2, … cores.

use serde::{Deserialize, Serialize};

use crate::results::{Failure, Machines, Occasion, OnMachines};

/// The study `scaling`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Scaling {
    /// When, and with what; its CPUs are those of the largest point.
    pub occasion: Occasion,
    /// Open connections for each core of a server.
    pub connections_per_core: usize,
    /// Length of one slice, in milliseconds.
    pub slice_ms: u64,
    /// Cores to estimate the rate of, if that was asked for.
    pub plan_cores: Option<usize>,
    /// Every contender on every number of cores.
    pub points: Vec<Point>,
    /// Contenders that got no figure, and why.
    pub failures: Vec<Failure>,
}

impl OnMachines for Scaling {
    fn machines(&self) -> Option<&Machines> {
        Some(&self.occasion.machines)
    }
}

/// One server on a number of cores.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Point {
    /// Key of the contender.
    pub contender: String,
    /// The server's CPUs, one thread each.
    pub server_cores: Vec<usize>,
    /// The generators' CPUs, one thread each.
    pub generator_cores: Vec<usize>,
    /// One for each block, in order; shorter by those that an interrupt or a
    /// failure took.
    pub slices: Vec<Slice>,
    /// How connections and requests were spread over the server's event loops, by
    /// core; empty where the kernel did not tell.
    pub loops: Vec<EventLoop>,
}

/// One server under load for a moment.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Slice {
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
    /// CPU time of the busiest one; 0 in files of older versions.
    #[serde(default)]
    pub generator_busiest_cpu_ns: u64,
    /// Time that the hypervisor took from the server's CPUs, sampled by tick.
    pub steal_ticks: u64,
}

/// One event loop of a server: one instance of epoll.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct EventLoop {
    /// CPU that the thread is pinned to which waits for it; none where there is
    /// no such thread, or more than one CPU.
    pub core: Option<usize>,
    /// Connections that it polls.
    pub connections: usize,
    /// Requests answered on these, in all slices.
    pub requests: u64,
}

impl Point {
    /// Reports whether a generator had to run on a CPU of the server. `occasion` is that of the study.
    pub fn shares_a_core(&self, occasion: &Occasion) -> bool {
        !occasion.machines_differ
            && self.generator_cores.iter().any(|core| self.server_cores.contains(core))
    }
}
