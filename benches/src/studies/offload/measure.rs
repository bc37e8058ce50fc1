//! Short requests beside long ones, on servers that do the long work at once and on
//! those that give it to another thread.
//!
//! For each size of work all servers are up at once and take turns in a random order
//! within each block: the short requests alone, the same beside a client that always
//! waits for a long one, and the long ones alone.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::load::{
    self, Generator, LoadError, Outcome, Pace, Placement, Shape, Stop, Target, Threads,
};
use crate::results::{
    Contender, LongSlice, Offload, OffloadPoint, OffloadSlice, Results, Settings,
};
use crate::rig::answered::latency;
use crate::rig::fleet::{Entrant, Member};
use crate::rig::host::Server;
use crate::rig::meter::{judge, metered};
use crate::rig::progress::Progress;
use crate::rig::regimes;
use crate::rig::rounds::{self, Bench};
use crate::rig::study::Common;

/// Plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Plan of the study; its path is that of the long requests.
    pub common: Common,
    /// Sizes of the work, in rounds.
    pub works: Vec<u32>,
    /// Path of the short requests.
    pub short_path: String,
    /// Short requests per second: few enough that a server has time left.
    pub short_rate: f64,
    /// Connections that share these.
    pub short_connections: usize,
    /// Number of blocks.
    pub blocks: usize,
}

/// Measures, and writes what has been measured so far to `path` after each block. When
/// `stop` is set, it ends within a slice with what there is.
///
/// `entrants` starts the servers with these settings.
pub fn run(
    plan: &Plan,
    entrants: impl Fn(&Settings) -> io::Result<Vec<Entrant>>,
    path: &Path,
    stop: &AtomicBool,
) -> io::Result<Results> {
    let goes_on = || !stop.load(Ordering::Relaxed);
    let settings = &plan.common.settings;
    let contenders: Vec<Contender> =
        entrants(settings)?.into_iter().map(|entrant| entrant.contender).collect();
    let progress = Progress::new((contenders.len() * plan.works.len() * plan.blocks) as u64);
    let mut results = plan.common.open(path, contenders)?;
    let mut offload = begin(plan)?;
    let mut rng = Rng::with_seed(settings.seed);
    for &rounds in &plan.works {
        progress.says(&format!("long requests of {rounds} rounds"));
        let with_work = Settings { work_rounds: rounds, ..settings.clone() };
        let common = Common { settings: with_work, ..plan.common.clone() };
        let mut field = common.gather(entrants(&common.settings)?, &goes_on)?;
        offload.occasion.machines = field.machines;
        results.gate = results.gate.or(Some(field.gate));
        offload.failures.append(&mut field.fleet.failures);
        let mut lanes: Vec<Lane<'_>> =
            field.fleet.members.iter_mut().map(|member| Lane::open(plan, member)).collect();
        let keys: Vec<String> = lanes.iter().map(|lane| lane.key.clone()).collect();
        let points = lanes.iter().map(|lane| OffloadPoint {
            contender: lane.key.clone(),
            work_rounds: rounds,
            slices: Vec::new(),
        });
        let first = offload.points.len();
        offload.points.extend(points);
        for _ in 0..plan.blocks {
            let mut turns = Turns { lanes: &mut lanes, progress: &progress, goes_on: &goes_on };
            let failures = &mut offload.failures;
            let Some(taken) = rounds::block(&keys, failures, &mut rng, &mut turns) else { break };
            for (at, slice) in taken {
                offload.points[first + at].slices.push(slice);
            }
            results.studies.offload = Some(offload.clone());
            results.write(path)?;
        }
    }
    progress.clear();
    offload.occasion.complete = goes_on();
    results.studies.offload = Some(offload);
    results.write(path)?;
    Ok(results)
}

fn begin(plan: &Plan) -> io::Result<Offload> {
    Ok(Offload {
        occasion: plan.common.occasion()?,
        short_path: plan.short_path.clone(),
        short_rate: plan.short_rate,
        short_connections: plan.short_connections,
        slice_ms: plan.common.settings.slice_ms,
        points: Vec::new(),
        failures: Vec::new(),
    })
}

/// The servers of one size of work, taken in turns.
struct Turns<'a, 'b> {
    lanes: &'b mut [Lane<'a>],
    progress: &'b Progress,
    goes_on: &'b dyn Fn() -> bool,
}

impl Bench for Turns<'_, '_> {
    type Slice = OffloadSlice;

    fn slice(&mut self, at: usize) -> Result<OffloadSlice, String> {
        let slice = self.lanes[at].slice();
        self.progress.slice_done();
        slice
    }

    fn goes_on(&mut self) -> bool {
        (self.goes_on)()
    }
}

/// A server with its connections of both kinds.
struct Lane<'a> {
    key: String,
    process: &'a mut Server,
    /// Generators for short and for long requests, or the reason why they could not connect.
    generators: Result<(Threads, Generator), String>,
    settings: &'a Settings,
    short_rate: f64,
}

impl<'a> Lane<'a> {
    /// Connects, and takes a slice that does not count, so that none begins cold.
    fn open(plan: &'a Plan, member: &'a mut Member) -> Self {
        let long = plan.common.target(member.process.address());
        let short = Target { request: regimes::get(&plan.short_path), ..long.clone() };
        let shape = |connections| Shape { connections, ..Shape::default() };
        let connections = plan.short_connections;
        let placement = Placement::on(&plan.common.settings.generator_cores, connections);
        let connect = || {
            let short = Threads::connect_comparing(&short, &shape(connections), &placement)?;
            Ok((short, Generator::connect_comparing(&long, &shape(1))?))
        };
        let generators = connect().map_err(|error: LoadError| error.to_string());
        let mut lane = Self {
            key: member.key.clone(),
            process: &mut member.process,
            generators,
            settings: &plan.common.settings,
            short_rate: plan.short_rate,
        };
        if let Err(reason) = lane.slice() {
            lane.generators = Err(reason);
        }
        lane
    }

    fn slice(&mut self) -> Result<OffloadSlice, String> {
        let (short, long) = self.generators.as_mut().map_err(|reason| reason.clone())?;
        let pace = Pace::Rate(self.short_rate);
        let stop = Stop::After(Duration::from_millis(self.settings.slice_ms));
        // The thread of the long requests mostly waits.
        let core = self.settings.generator_core();

        let alone = judged(short.run(pace, stop))?;
        let (beside, beside_long) = thread::scope(|scope| {
            let busy = scope.spawn(|| {
                load::pin(core).map_err(|error| error.to_string())?;
                judged(long.run(Pace::Closed, stop))
            });
            let beside = judged(short.run(pace, stop));
            let busy = busy.join();
            let busy = busy.unwrap_or_else(|_| Err("its load generator has panicked".to_string()));
            Ok::<_, String>((beside?, busy?))
        })?;
        let load = || judged(long.run(Pace::Closed, stop));
        let (long, reading) = metered(self.process, &self.settings.server_cores, load)?;
        Ok(OffloadSlice {
            alone: latency(&alone.latency_ns),
            beside: latency(&beside.latency_ns),
            beside_long_requests: beside_long.requests,
            long: LongSlice {
                requests: long.requests,
                elapsed_ns: long.elapsed.as_nanos() as u64,
                cpu_ns: reading.used.cpu.as_nanos() as u64,
            },
        })
    }
}

fn judged(outcome: Result<Outcome, LoadError>) -> Result<Outcome, String> {
    let outcome = outcome.map_err(|error| error.to_string())?;
    judge(&outcome)?;
    Ok(outcome)
}
