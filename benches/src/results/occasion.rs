//! When a study beside the ladder was made, and with what.

use serde::{Deserialize, Serialize};

use super::{Machines, cores};

/// One study of one request, which may have been made on another day than the
/// rest of its file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Occasion {
    /// Seconds since the Unix epoch at the start.
    pub started_unix_s: u64,
    /// True if all that was planned has been measured.
    pub complete: bool,
    /// CPUs of the servers, one thread each.
    pub server_cores: Vec<usize>,
    /// CPUs of the load generator, one thread each.
    #[serde(alias = "generator_core", deserialize_with = "cores::one_or_more")]
    pub generator_cores: Vec<usize>,
    /// True if servers and generator have CPUs of different machines, whatever their numbers.
    #[serde(default)]
    pub machines_differ: bool,
    /// Other machines of the study.
    #[serde(flatten)]
    pub machines: Machines,
    /// Rounds of the work function for one `GET /data`.
    pub work_rounds: u32,
    /// Path that was requested with GET.
    pub path: String,
    /// Seed of the random order.
    pub seed: u64,
}

impl Occasion {
    /// Returns the number of threads that loaded the servers, on all machines.
    pub fn generator_threads(&self) -> usize {
        let elsewhere: usize = self.machines.load_hosts.iter().map(|host| host.cores.len()).sum();
        if elsewhere == 0 { self.generator_cores.len().max(1) } else { elsewhere }
    }

    /// Reports whether the generator had to run on a CPU of the servers.
    pub fn shares_a_core(&self) -> bool {
        !self.machines_differ
            && self.generator_cores.iter().any(|core| self.server_cores.contains(core))
    }
}
