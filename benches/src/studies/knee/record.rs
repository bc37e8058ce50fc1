//! Rates that each server sustains: probes at constant rates.

use serde::{Deserialize, Serialize};

use crate::results::{Failure, HostShare, Machines, Occasion, OnMachines, busiest_or_only};

/// The study `knee`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Knee {
    /// When, and with what.
    pub occasion: Occasion,
    /// Bounds that a sustained rate meets.
    pub bound: Bound,
    /// Open connections.
    pub connections: usize,
    /// Length of one probe, in milliseconds.
    pub probe_ms: u64,
    /// In the order taken.
    pub probes: Vec<Probe>,
    /// Contenders that got no figure, and why.
    pub failures: Vec<Failure>,
}

impl OnMachines for Knee {
    fn machines(&self) -> Option<&Machines> {
        Some(&self.occasion.machines)
    }
}

/// Bounds that a sustained rate meets.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Bound {
    /// The 99th percentile of latency, from when a request should have been sent,
    /// must not be higher.
    pub p99_ns: u64,
    /// Share of the offered rate that must have been answered.
    pub reached: f64,
}

/// One server under one constant rate for a moment.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Probe {
    /// Key of the contender.
    pub contender: String,
    /// Which search for the knee it belongs to: 0 are the steps up to it, and
    /// each of the others is a bisection of its own.
    pub search: usize,
    /// Requests offered per second, evenly spaced.
    pub rate: f64,
    /// Answered.
    pub requests: u64,
    /// From the first request to the last answer, or to the time to stop if that
    /// was later.
    pub elapsed_ns: u64,
    /// Median latency, from when a request should have been sent.
    pub p50_ns: u64,
    /// 99th percentile, likewise.
    pub p99_ns: u64,
    /// 99.9th percentile, likewise.
    pub p99_9_ns: u64,
    /// Requests that were due, and for which no connection was free until the end. Their latency is
    /// not known: they count with the length of the look in the percentiles. 0 in files of older
    /// versions, which left them out.
    #[serde(default)]
    pub unsent: u64,
    /// Failed connections, and answers with another status than 2xx.
    pub errors: u64,
    /// The first of them, as a clause.
    pub first_error: Option<String>,
    /// CPU time of all threads of the server.
    pub server_cpu_ns: u64,
    /// Time that threads of the server could have run and waited for a CPU.
    pub server_wait_ns: u64,
    /// CPU time of the generator's threads.
    pub generator_cpu_ns: u64,
    /// CPU time of its busiest thread; 0 in files of older versions, which have one thread.
    #[serde(default)]
    pub generator_busiest_cpu_ns: u64,
    /// Time that its threads could have run and waited for a CPU.
    pub generator_wait_ns: u64,
    /// Time that the hypervisor took from the server's CPUs, sampled by tick.
    pub steal_ticks: u64,
    /// The part of each machine that loaded the server; empty if the measuring machine did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostShare>,
}

impl Probe {
    /// Returns the CPU time of the generator's busiest thread.
    pub fn generator_busiest_ns(&self) -> u64 {
        busiest_or_only(self.generator_busiest_cpu_ns, self.generator_cpu_ns)
    }

    /// Answers per second.
    pub fn requests_per_s(&self) -> f64 {
        self.requests as f64 / self.elapsed_ns.max(1) as f64 * 1e9
    }

    /// Reports whether this probe alone speaks for its rate.
    pub fn meets(&self, bound: &Bound) -> bool {
        self.errors == 0
            && self.p99_ns <= bound.p99_ns
            && self.requests_per_s() >= bound.reached * self.rate
    }
}
