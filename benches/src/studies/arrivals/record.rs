//! Clients that arrive one after another and stay: what was seen of each server,
//! second by second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::results::{Failure, HostShare, Machines, Occasion, OnMachines, busiest_or_only};

/// The study `arrivals`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Arrivals {
    /// When, and with what.
    pub occasion: Occasion,
    /// One followed the other, the same for every server.
    pub phases: Vec<Phase>,
    /// Maximum number of clients.
    pub clients_max: usize,
    /// In the order taken: one server after the other.
    pub tours: Vec<Tour>,
}

impl OnMachines for Arrivals {
    fn machines(&self) -> Option<&Machines> {
        Some(&self.occasion.machines)
    }
}

/// A time in which clients arrived evenly spaced.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Phase {
    /// Clients that arrived per second.
    pub clients_per_s: f64,
    /// For how many seconds.
    pub lasts_s: f64,
}

/// One server under arriving clients.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Tour {
    /// Key of the contender.
    pub contender: String,
    /// Interval by interval, a second each but for the last.
    pub seconds: Vec<Second>,
    /// The part of each machine that loaded the server; empty if the measuring machine did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostShare>,
    /// Reason for a missing measurement, as a sentence.
    pub failure: Option<String>,
}

/// An interval of a tour.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Second {
    /// Its end, in seconds since the first client.
    pub at_s: f64,
    /// Its length in seconds.
    pub lasts_s: f64,
    /// Clients there at its end.
    pub clients: usize,
    /// Answers received in it.
    pub requests: u64,
    /// Median latency of these; 0 without answers.
    pub p50_ns: u64,
    /// 99th percentile of these; 0 without answers.
    pub p99_ns: u64,
    /// Errors by kind, without the kinds that did not occur.
    pub errors: BTreeMap<String, u64>,
    /// CPU time of all threads of the server, as the kernel had booked it; none
    /// where it could not be read.
    pub server_cpu_ns: Option<u64>,
    /// Time that threads of the server could have run and waited for a CPU; none
    /// where it could not be read.
    pub server_wait_ns: Option<u64>,
    /// CPU time of the generator's threads.
    pub generator_cpu_ns: u64,
    /// CPU time of its busiest thread; 0 in files of older versions, which have one thread.
    #[serde(default)]
    pub generator_busiest_cpu_ns: u64,
    /// Time that its threads could have run and waited for a CPU.
    pub generator_wait_ns: u64,
}

impl Second {
    /// Returns the CPU time of the generator's busiest thread.
    pub fn generator_busiest_ns(&self) -> u64 {
        busiest_or_only(self.generator_busiest_cpu_ns, self.generator_cpu_ns)
    }
}

impl Tour {
    /// Returns the tour of a server that failed before it.
    pub fn failed(failure: &Failure) -> Self {
        let Failure { contender, reason } = failure.clone();
        Self { contender, failure: Some(reason), ..Self::default() }
    }
}
