//! Scaling: the same servers on 1, 2, … cores, with the same connections for each core.
//!
//! All of them are up at once, and take turns in a random order within each block, as
//! on the ladder. A generator runs on every CPU that the server leaves free, up to one
//! for each of the server's; where none is free they share the server's.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;

use crate::load::{self, Pace, Placement, Shape, Stop, Threads};
use crate::results::{Contender, Point, Results, Scaling, Settings, Slice};
use crate::rig::fleet::{Entrant, Member};
use crate::rig::host::Server;
use crate::rig::machine::generator_cores_beside;
use crate::rig::meter::{judge, metered};
use crate::rig::progress::Progress;
use crate::rig::rounds::{self, Bench};
use crate::rig::study::Common;

/// Up to so many cores each number of them is measured; from there on each is about a
/// fifth more than the one before.
const EACH_UP_TO: usize = 4;

/// Plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is asked for what; its CPUs are those of the largest server, in the order in
    /// which they come in.
    pub common: Common,
    /// CPUs that the generators may have.
    pub generator_cores: Vec<usize>,
    /// Open connections for each core of a server.
    pub connections_per_core: usize,
    /// Each has a slice of every server on every number of cores.
    pub blocks: usize,
    /// Cores to estimate the rate of, if that is asked for.
    pub plan_cores: Option<usize>,
}

/// Measures, and writes what has been measured so far to `path` after each block. When
/// `stop` is set, it ends within a slice with what there is.
///
/// `entrants` starts the servers on some CPUs.
pub fn run(
    plan: &Plan,
    entrants: impl Fn(&[usize]) -> io::Result<Vec<Entrant>>,
    path: &Path,
    stop: &AtomicBool,
) -> io::Result<Results> {
    let goes_on = || !stop.load(Ordering::Relaxed);
    let settings = &plan.common.settings;
    let contenders: Vec<Contender> =
        entrants(&settings.server_cores)?.into_iter().map(|entrant| entrant.contender).collect();
    let sizes = sizes(settings.server_cores.len());
    let connections = plan.connections_per_core * sizes.iter().sum::<usize>() * contenders.len();
    load::allow_descriptors(connections as u64).map_err(io::Error::other)?;

    let mut results = plan.common.open(path, contenders)?;
    let mut scaling = begin(plan)?;
    let mut fleets = Vec::new();
    for &size in &sizes {
        let cores = settings.server_cores[..size].to_vec();
        let on_these = Common {
            settings: Settings { server_cores: cores.clone(), ..settings.clone() },
            ..plan.common.clone()
        };
        let field = on_these.gather(entrants(&cores)?, &goes_on)?;
        results.gate = results.gate.or(Some(field.gate));
        scaling.occasion.machines = field.machines;
        scaling.failures.extend(field.fleet.failures);
        fleets.push((cores, field.fleet.members));
    }
    let mut lanes: Vec<Lane> = fleets
        .iter_mut()
        .flat_map(|(cores, members)| {
            let cores: &[usize] = cores;
            members.iter_mut().map(move |member| Lane::open(plan, member, cores))
        })
        .collect();
    scaling.points = lanes.iter().map(|lane| lane.point.clone()).collect();

    let progress = Progress::new((lanes.len() * plan.blocks) as u64);
    progress.says(&format!(
        "{} servers on up to {} CPUs",
        lanes.len(),
        settings.server_cores.len()
    ));
    let mut rng = Rng::with_seed(settings.seed);
    let length = Duration::from_millis(settings.slice_ms);
    let keys: Vec<String> = lanes.iter().map(|lane| lane.point.contender.clone()).collect();
    for _ in 0..plan.blocks {
        let mut turns =
            Turns { lanes: &mut lanes, length, progress: &progress, goes_on: &goes_on };
        let failures = &mut scaling.failures;
        let Some(taken) = rounds::block(&keys, failures, &mut rng, &mut turns) else { break };
        for (point, slice) in taken {
            scaling.points[point].slices.push(slice);
        }
        results.studies.scaling = Some(scaling.clone());
        results.write(path)?;
    }
    progress.clear();
    for (lane, point) in lanes.iter().zip(&mut scaling.points) {
        // Without it there is still a figure, only not how it is spread.
        point.loops = lane.process.event_loops(&lane.answered()).unwrap_or_default();
    }
    scaling.occasion.complete = goes_on();
    results.studies.scaling = Some(scaling);
    results.write(path)?;
    Ok(results)
}

fn begin(plan: &Plan) -> io::Result<Scaling> {
    Ok(Scaling {
        occasion: plan.common.occasion()?,
        connections_per_core: plan.connections_per_core,
        slice_ms: plan.common.settings.slice_ms,
        plan_cores: plan.plan_cores,
        points: Vec::new(),
        failures: Vec::new(),
    })
}

/// The servers on all their CPUs, taken in turns.
struct Turns<'a, 'b> {
    lanes: &'b mut [Lane<'a>],
    length: Duration,
    progress: &'b Progress,
    goes_on: &'b dyn Fn() -> bool,
}

impl Bench for Turns<'_, '_> {
    type Slice = Slice;

    fn slice(&mut self, at: usize) -> Result<Slice, String> {
        let lane = &mut self.lanes[at];
        let cores = lane.point.server_cores.len();
        let slice = lane.slice(self.length);
        self.progress.slice_done();
        slice.map_err(|reason| format!("with threads on {cores} of the CPUs: {reason}"))
    }

    fn goes_on(&mut self) -> bool {
        (self.goes_on)()
    }
}

/// A server on some cores, with its connections.
struct Lane<'a> {
    process: &'a mut Server,
    /// With nothing measured yet.
    point: Point,
    /// One thread on each of the generators' CPUs, or the reason why they could not connect.
    generators: Result<Threads, String>,
}

impl<'a> Lane<'a> {
    fn open(plan: &Plan, member: &'a mut Member, cores: &[usize]) -> Self {
        let taken = if plan.common.settings.machines_differ { &[] } else { cores };
        let generator_cores = generator_cores_beside(&plan.generator_cores, taken, cores.len());
        let target = plan.common.target(member.process.address());
        let connections = plan.connections_per_core * cores.len();
        let shape = Shape { connections, ..Shape::default() };
        let placement = Placement::on(&generator_cores, connections);
        let generators = Threads::connect_comparing(&target, &shape, &placement)
            .map_err(|error| error.to_string());
        let point = Point {
            contender: member.key.clone(),
            server_cores: cores.to_vec(),
            generator_cores,
            ..Point::default()
        };
        let mut lane = Self { process: &mut member.process, point, generators };
        // So that none begins cold.
        if let Err(reason) = lane.slice(Duration::from_millis(plan.common.settings.slice_ms)) {
            lane.generators = Err(reason);
        }
        lane
    }

    fn slice(&mut self, length: Duration) -> Result<Slice, String> {
        let generators = self.generators.as_mut().map_err(|reason| reason.clone())?;
        let load = || {
            let outcome = generators.run(Pace::Closed, Stop::After(length));
            outcome.map_err(|error| error.to_string())
        };
        let (outcome, reading) = metered(self.process, &self.point.server_cores, load)?;
        judge(&outcome)?;
        Ok(Slice {
            requests: outcome.requests,
            elapsed_ns: outcome.elapsed.as_nanos() as u64,
            cpu_ns: reading.used.cpu.as_nanos() as u64,
            cpu_ns_max: reading.used.busiest.as_nanos() as u64,
            generator_cpu_ns: outcome.cpu.as_nanos() as u64,
            generator_busiest_cpu_ns: outcome.busiest_cpu.as_nanos() as u64,
            steal_ticks: reading.steal_ticks,
        })
    }

    /// Returns the number of answers on each connection, by its address.
    fn answered(&self) -> BTreeMap<SocketAddr, u64> {
        let of = |threads: &Threads| threads.answered().unwrap_or_default();
        self.generators.iter().flat_map(of).collect()
    }
}

/// The numbers of cores to measure: up to `most`, and that one surely.
fn sizes(most: usize) -> Vec<usize> {
    let larger = |&size: &usize| Some(size + (size / EACH_UP_TO).max(1));
    let mut sizes: Vec<usize> =
        std::iter::successors(Some(1), larger).take_while(|&size| size < most).collect();
    sizes.push(most);
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_cores_are_measured_each_and_many_with_gaps() {
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(2), [1, 2]);
        assert_eq!(sizes(4), [1, 2, 3, 4]);
        assert_eq!(sizes(16), [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16]);
    }
}
