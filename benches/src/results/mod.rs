//! results.json: what was measured, as it was measured.
//!
//! Here are the raw counts of every slice and no figure made of them, so that a
//! report can be made again, with better statistics, from the file alone. It is
//! the only thing that [`crate::rig`] hands to [`crate::report`].

mod cores;
mod gate;
mod hardware;
mod latency;
mod occasion;
mod remote;
mod run;
mod settings;

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use crate::studies::Records;
pub use crate::studies::arrivals::record::{Arrivals, Phase, Second, Tour};
pub use crate::studies::balance::record::{Balance, BalanceLoad, BalanceSample, BalanceSlice};
pub use crate::studies::count::record::{Counts, Place, Tally, Twice, Unavailable, Workload};
pub use crate::studies::knee::record::{Bound, Knee, Probe};
pub use crate::studies::memory::record::{Climb, Level, Memory};
pub use crate::studies::offload::record::{LongSlice, Offload, OffloadPoint, OffloadSlice};
pub use crate::studies::scaling::record::{EventLoop, Point, Scaling, Slice};
pub use crate::studies::work::record::{Work, WorkPoint};
pub use gate::{Difference, Gate, OutsideAnswers, Subject};
pub use hardware::{CounterAccess, HardwareCounts, HardwareEvents};
pub use latency::Latency;
pub use occasion::Occasion;
pub use remote::{
    Baseline, HostShare, Interface, LoadHost, MachineTicks, Machines, OnMachines, Remote,
    SharedCpus, Side,
};
pub use run::Run;
pub use settings::{Allocator, GeneratorKind, Settings};

/// Raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 2;

/// One run of a study.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Results {
    /// [`SCHEMA`] at the time.
    pub schema: u32,
    /// Version of this package.
    pub version: String,
    /// Name of the run of the ladder.
    #[serde(default)]
    pub name: String,
    /// Seconds since the Unix epoch at the start.
    pub started_unix_s: u64,
    /// True if all that was planned has been measured.
    pub complete: bool,
    /// True if the servers were built with optimization.
    pub optimized: bool,
    /// Machine of the run.
    pub machine: Machine,
    /// Settings of the run.
    pub settings: Settings,
    /// Servers of the run, from the bottom of the ladder up.
    pub contenders: Vec<Contender>,
    /// Key of the contender that ratios are taken to.
    pub reference: String,
    /// Servers that separate the cost of hyper from the cost of Tokio.
    pub square: Option<Square>,
    /// Findings of the gate; none if the run was interrupted before.
    pub gate: Option<Gate>,
    /// Servers that were asked for and that this machine cannot run, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Failure>,
    /// Other machines of the run of the ladder.
    #[serde(flatten)]
    pub machines: Machines,
    /// In the order measured.
    pub regimes: Vec<Regime>,
    /// In order. Empty in files of older versions.
    #[serde(default)]
    pub starts: Vec<Start>,
    /// Earlier runs of the ladder, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Run>,
    /// Records of the other studies.
    #[serde(flatten)]
    pub studies: Records,
}

/// The machine at the start of the run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Machine {
    /// Model name of the CPU.
    pub cpu: String,
    /// CPUs that this process may use, by number.
    pub cores: Vec<usize>,
    /// Groups of these CPUs that share a physical core; empty without SMT.
    pub smt_siblings: Vec<Vec<usize>>,
    /// Clock of the first CPU in MHz, from the kernel.
    pub cpu_mhz: Option<f64>,
    /// The governor of the first CPU's frequency.
    pub governor: Option<String>,
    /// The hypervisor's vendor, "unknown" if it hides it; none on bare metal.
    pub hypervisor: Option<String>,
    /// Name and release.
    pub kernel: String,
    /// The kernel's mitigations of flaws of this CPU: name and measure, without flaws that
    /// do not affect it.
    pub mitigations: Vec<(String, String)>,
    /// In bytes.
    pub memory_bytes: u64,
    /// Over one minute before the start.
    pub load_average: f64,
    /// Clock ticks a second, the unit of every `_ticks` in this file.
    pub ticks_per_s: u64,
    /// Access to the CPU's own counters; none in files of older versions.
    #[serde(default)]
    pub counters: Option<CounterAccess>,
    /// The kernel's table of tracked connections before the start; none if it has no such table, and
    /// in files of older versions.
    #[serde(default)]
    pub tracked_connections: Option<TrackedConnections>,
}

/// The kernel's table of tracked connections (nf_conntrack).
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct TrackedConnections {
    /// Entries in use. With 0 no rule needs the table, and it stays empty.
    pub count: u64,
    /// Largest number of entries.
    pub max: u64,
}

impl TrackedConnections {
    /// Reports whether connections are tracked.
    pub fn is_in_use(self) -> bool {
        self.count > 0
    }
}

impl Machine {
    /// Reports whether both are the same machine, as far as they tell.
    pub fn is_same(&self, other: &Self) -> bool {
        let identity = |of: &Self| (of.cpu.clone(), of.cores.clone(), of.kernel.clone());
        identity(self) == identity(other) && self.memory_bytes == other.memory_bytes
    }
}

/// A server process that takes part.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Contender {
    /// Unique in this file.
    pub key: String,
    /// The variant that it runs: two contenders with the same one are the A/A
    /// pair.
    pub variant: String,
    /// Description in one line.
    pub about: String,
    /// Variant that this one adds one layer to; none of the lowest, and of those
    /// that are not on the ladder.
    pub base: Option<String>,
    /// Name of that layer, in a few words.
    pub adds: String,
    /// Command of a server from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Four contenders, by key, that differ in two things: the protocol's code and
/// what polls the sockets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Square {
    /// Our core, on mio.
    pub plain: String,
    /// Our core, on Tokio.
    pub tokio: String,
    /// hyper, on mio.
    pub hyper: String,
    /// hyper, on Tokio.
    pub both: String,
}

/// One way to load the servers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Regime {
    /// Unique in this file.
    pub key: String,
    /// For people.
    pub title: String,
    /// The same in a few words, for the middle of a sentence.
    pub brief: String,
    /// Open connections.
    pub connections: usize,
    /// Requests under way on each connection.
    pub pipeline: usize,
    /// After how many answers a connection was closed; none where they stayed open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_connection: Option<u64>,
    /// Requests that were due each second; none in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
    /// Bytes of the response's body, in the regimes that differ in it only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<usize>,
    /// In the order measured; figures are compared within a block only.
    pub blocks: Vec<Block>,
    /// Contenders that got no figure, and why.
    pub failures: Vec<Failure>,
}

/// One start of all servers, with what is known besides the slices.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Start {
    /// Pace of the machine at that time; none if it could not be read.
    pub thermometer: Option<Thermometer>,
    /// CPU time of each server's life.
    pub lives: Vec<Life>,
    /// What the servers' machine did without load, before the slices and after them. Empty if that
    /// is the generator's machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<Baseline>,
}

/// CPU time that a fixed amount of work takes on the servers' CPU.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Thermometer {
    /// CPU time of a loop in user space.
    pub user_ns: u64,
    /// CPU time of a loop of system calls over loopback TCP.
    pub syscall_ns: u64,
    /// Time of the same loop by the clock, without waiting for a CPU.
    pub syscall_elapsed_ns: u64,
}

/// CPU time of one server from its start to its end, with all its descendants.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Life {
    /// Key of the contender.
    pub contender: String,
    /// Until it was ready.
    pub startup_cpu_ns: u64,
    /// While it was loaded: warm-ups, slices, and closing the connections.
    pub loaded_cpu_ns: u64,
    /// While it had nothing to do.
    pub idle_cpu_ns: u64,
    /// Largest number of processes that was seen.
    pub processes: usize,
    /// CPUs apart from the server's that one of its threads was allowed to run on.
    pub strayed_cpus: Vec<usize>,
}

/// One slice of each contender, in the random order in which they were taken.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Block {
    /// Number of the start that it belongs to, from 0 on.
    #[serde(default, alias = "pass")]
    pub start: u32,
    /// Samples of the servers that did not fail.
    pub samples: Vec<Sample>,
}

impl Block {
    /// Makes the block of a start from its slices, in the order in which they were taken.
    pub fn of(start: u32, taken: Vec<(usize, Sample)>) -> Self {
        Self { start, samples: taken.into_iter().map(|(_, sample)| sample).collect() }
    }
}

/// Why a contender has no figure in a regime.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Failure {
    /// Key of the contender.
    pub contender: String,
    /// A sentence for people.
    pub reason: String,
}

/// One slice: a server under load for a moment.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Sample {
    /// Key of the contender.
    pub contender: String,
    /// Answered in this slice, each rightly.
    pub requests: u64,
    /// From the first request to the last answer.
    pub elapsed_ns: u64,
    /// CPU time of all processes of the server, by their CPU clocks.
    pub cpu_ns: u64,
    /// Time that threads of the server could have run and waited for a CPU.
    pub wait_ns: u64,
    /// CPU time in user space, sampled by the kernel's tick: good for a share
    /// over many slices, not for one.
    pub user_ticks: u64,
    /// CPU time in the kernel, likewise.
    pub system_ticks: u64,
    /// Times that a thread of the server gave up the CPU, as it does to wait.
    pub voluntary_switches: u64,
    /// Times that one was taken off it.
    pub involuntary_switches: u64,
    /// Time that the hypervisor took from the server's CPUs, sampled by tick.
    pub steal_ticks: u64,
    /// Time that all CPUs of the servers' machine were busy; none if it is the generator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineTicks>,
    /// Counts of the CPU's own counters, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<HardwareCounts>,
    /// The other end.
    pub generator: Generator,
    /// From the write of a request to the end of its answer.
    pub latency: Latency,
}

/// The load generator's side of a slice.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Generator {
    /// CPU time of its threads; 0 of wrk, which doesn't say.
    pub cpu_ns: u64,
    /// CPU time of its busiest thread; 0 in files of older versions, which have one thread.
    #[serde(default)]
    pub busiest_cpu_ns: u64,
    /// Requests that were due, and for which no connection was free in time.
    #[serde(default)]
    pub unsent: u64,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
    /// System calls that read.
    pub reads: u64,
    /// System calls that write.
    pub writes: u64,
    /// Returns from waiting for events.
    pub wakeups: u64,
    /// Connections opened in the slice.
    pub connects: u64,
    /// The part of each machine that loaded the servers, in their order; none if this one did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostShare>,
}

impl Generator {
    /// Returns the CPU time of its busiest thread.
    pub fn busiest_ns(&self) -> u64 {
        busiest_or_only(self.busiest_cpu_ns, self.cpu_ns)
    }
}

/// Returns the CPU time of the busiest of several threads, in ns. In files of older versions it is
/// 0, and `all_ns` is that of the only thread.
pub(crate) fn busiest_or_only(busiest_ns: u64, all_ns: u64) -> u64 {
    if busiest_ns == 0 { all_ns } else { busiest_ns }
}

/// Why results cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The file cannot be opened or read.
    Io(io::Error),
    /// It is not JSON of this shape.
    Shape(serde_json::Error),
    /// It has another schema than [`SCHEMA`].
    Schema(u32),
}

impl Results {
    /// Returns the other machines of each run of the ladder and of each study.
    pub fn all_machines(&self) -> Vec<&Machines> {
        let newest = (!self.regimes.is_empty()).then_some(&self.machines);
        let earlier = self.earlier.iter().map(|run| &run.machines);
        newest.into_iter().chain(earlier).chain(self.studies.machines()).collect()
    }

    /// Replaces the file at `path` in one step: a reader sees the results before or after,
    /// never half of them, even if this process is killed.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let unfinished = path.with_extension("json.unfinished");
        let mut file = BufWriter::new(File::create(&unfinished)?);
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.into_inner()?;
        fs::rename(unfinished, path)
    }

    /// Reads what [`Results::write`] has written.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let text = io::read_to_string(BufReader::new(File::open(path)?))?;
        // The schema first: another one has another shape.
        let Head { schema } = serde_json::from_str(&text)?;
        if schema != SCHEMA {
            return Err(ReadError::Schema(schema));
        }
        Ok(serde_json::from_str(&text)?)
    }
}

impl Regime {
    /// Adds the failures of servers without a failure.
    pub fn fail(&mut self, failures: &[Failure]) {
        for failure in failures {
            if !self.has_failed(&failure.contender) {
                self.failures.push(failure.clone());
            }
        }
    }

    /// Reports whether a contender gets no figure any more.
    pub fn has_failed(&self, contender: &str) -> bool {
        self.failures.iter().any(|failure| failure.contender == contender)
    }
}

impl std::error::Error for ReadError {}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Shape(error) => write!(f, "these are no results of pinloop-bench: {error}"),
            Self::Schema(found) => {
                write!(f, "these results have schema {found}; this program reads schema {SCHEMA}")
            }
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        Self::Shape(error)
    }
}
