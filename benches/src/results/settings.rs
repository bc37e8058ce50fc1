//! Settings of a run: what the command line asked for.

use serde::{Deserialize, Serialize};

use super::cores;

/// Settings of a run.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Settings {
    /// The study's name on the command line.
    pub study: String,
    /// CPUs of the servers, one thread each.
    pub server_cores: Vec<usize>,
    /// CPUs of the load generator, one thread each.
    #[serde(alias = "generator_core", deserialize_with = "cores::one_or_more")]
    pub generator_cores: Vec<usize>,
    /// Length of one slice, in milliseconds.
    pub slice_ms: u64,
    /// Rounds of the work function for one `GET /data`.
    pub work_rounds: u32,
    /// Seed of the random order of slices.
    pub seed: u64,
    /// Length of the load before a slice, which is not measured, in milliseconds.
    #[serde(default)]
    pub warm_up_ms: u64,
    /// Number of times that all servers are started. Each start takes a slice of each
    /// server in each regime.
    #[serde(default, alias = "passes")]
    pub starts: u32,
    /// Load generator: this package's, or wrk.
    #[serde(default)]
    pub generator: GeneratorKind,
    /// Time that a server may take until it is ready, in milliseconds.
    #[serde(default)]
    pub ready_within_ms: u64,
    /// Allocator of all variants.
    #[serde(default)]
    pub allocator: Allocator,
    /// True if servers and generator have CPUs of different machines, whatever their numbers.
    #[serde(default)]
    pub machines_differ: bool,
}

impl Settings {
    /// Returns the CPU of the thread that measures: the first of the load generator's.
    pub fn generator_core(&self) -> usize {
        self.generator_cores.first().copied().unwrap_or_default()
    }
}

/// A memory allocator.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Allocator {
    /// The C library's.
    #[default]
    System,
    /// mimalloc.
    Mimalloc,
}

/// A load generator.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum GeneratorKind {
    /// This package's.
    #[default]
    Own,
    /// wrk, a process for each slice.
    Wrk,
}
