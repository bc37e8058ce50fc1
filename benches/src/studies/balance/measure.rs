//! Servers on several cores, with few connections, and with requests of unlike work.
//!
//! Each start runs all servers as fresh processes and opens their connections anew, because the
//! kernel spreads connections by a hash of their ports: a start is one draw of that lottery. In
//! a start each server has a slice in a closed loop and one at a fixed rate, in random orders.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use super::calibrate;
use super::record::{Balance, BalanceLoad, BalanceSample, BalanceSlice};
use crate::load::{self, Pace, Placement, Share, Stop, Target, Threads};
use crate::results::{Failure, Gate, Latency, Results, Settings};
use crate::rig::answered::latency;
use crate::rig::fleet::{Entrant, Fleet, Member};
use crate::rig::host::Server;
use crate::rig::machine::generator_cores_beside;
use crate::rig::meter::{judge, metered};
use crate::rig::progress::Progress;
use crate::rig::regimes;
use crate::rig::rounds::{self, Bench};
use crate::rig::study::Common;

/// In a mixed load one of this number of requests is heavy.
const HEAVY_ONE_IN: usize = 10;

/// Time that a start takes beside the slices, for each server.
const OVERHEAD: Duration = Duration::from_millis(80);

/// Smallest number of starts, whatever the time: fewer give no interval.
const STARTS_MIN: u32 = 4;

/// Plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Settings, and the path of the heavy requests.
    pub common: Common,
    /// Path of the light requests.
    pub light_path: String,
    /// Key of the reference's second process.
    pub again: String,
    /// CPUs that the generators may have.
    pub generator_cores: Vec<usize>,
    /// Numbers of connections for each core, with light requests only.
    pub connections_per_core: Vec<usize>,
    /// CPU times of a heavy request in the mixed loads.
    pub heavy: Vec<Duration>,
    /// Connections for each core in the mixed loads.
    pub heavy_connections_per_core: usize,
    /// Time for all slices.
    pub budget: Duration,
}

/// Measures, and writes what has been measured so far to `path` after each start. When `stop` is
/// set, it ends within a slice with what there is.
///
/// `entrants` makes the servers with these settings.
pub fn run(
    plan: &Plan,
    entrants: &dyn Fn(&Settings) -> io::Result<Vec<Entrant>>,
    path: &Path,
    stop: &AtomicBool,
) -> io::Result<Results> {
    let goes_on = || !stop.load(Ordering::Relaxed);
    let servers = entrants(&plan.common.settings)?;
    let starts = plan.starts(servers.len());
    let contenders = servers.into_iter().map(|entrant| entrant.contender).collect();
    let mut results = plan.common.open(path, contenders)?;
    let mut balance = plan.begin()?;
    results.gate = results.gate.or(plan.prepare(entrants, &mut balance, &goes_on)?);
    let most = balance.loads.iter().map(|load| load.connections).max().unwrap_or(0);
    let servers = results.contenders.len();
    load::allow_descriptors((most * servers) as u64).map_err(io::Error::other)?;

    let mut rng = Rng::with_seed(plan.common.settings.seed);
    let progress = Progress::new(u64::from(starts) * (servers * balance.loads.len() * 2) as u64);
    for start in 0..starts {
        progress.says(&format!("start {} of {starts}", start + 1));
        let mut taken = Vec::new();
        for load in &mut balance.loads {
            let mut turn = Turn { plan, progress: &progress, goes_on: &goes_on, rng: &mut rng };
            let Some(samples) = turn.start(entrants, load, &mut balance.failures)? else { break };
            taken.push(samples);
        }
        if taken.len() < balance.loads.len() {
            break;
        }
        balance.loads.iter_mut().zip(taken).for_each(|(load, taken)| load.starts.push(taken));
        balance.occasion.complete = start + 1 == starts;
        results.studies.balance = Some(balance.clone());
        results.write(path)?;
    }
    progress.clear();
    results.studies.balance = Some(balance);
    results.write(path)?;
    Ok(results)
}

impl Plan {
    fn slice(&self) -> Duration {
        Duration::from_millis(self.common.settings.slice_ms)
    }

    fn starts(&self, servers: usize) -> u32 {
        let warm_up = Duration::from_millis(self.common.settings.warm_up_ms);
        let each = (self.slice() * 2 + warm_up + OVERHEAD) * servers as u32;
        let loads = self.connections_per_core.len() + self.heavy.len();
        let start = each * loads.max(1) as u32;
        let starts = self.budget.as_nanos() / start.as_nanos().max(1);
        u32::try_from(starts).unwrap_or(u32::MAX).max(STARTS_MIN)
    }

    fn begin(&self) -> io::Result<Balance> {
        let settings = &self.common.settings;
        let cores = settings.server_cores.len();
        let taken: &[usize] = if settings.machines_differ { &[] } else { &settings.server_cores };
        let load = |connections: usize, heavy: Option<&Duration>| {
            let generators = generator_cores_beside(&self.generator_cores, taken, cores);
            BalanceLoad {
                connections: connections * cores,
                heavy_ns: heavy.map(|heavy| heavy.as_nanos() as u64),
                generator_cores: generators.into_iter().take(connections * cores).collect(),
                ..BalanceLoad::default()
            }
        };
        let light = self.connections_per_core.iter().map(|&connections| load(connections, None));
        let mixed = self.heavy.iter().map(|of| load(self.heavy_connections_per_core, Some(of)));
        let mut occasion = self.common.occasion()?;
        occasion.path.clone_from(&self.light_path);
        Ok(Balance {
            occasion,
            reference: self.common.reference.clone(),
            again: self.again.clone(),
            heavy_path: self.common.path.clone(),
            heavy_one_in: HEAVY_ONE_IN,
            slice_ms: self.common.settings.slice_ms,
            loads: light.chain(mixed).collect(),
            ..Balance::default()
        })
    }

    /// Compares the answers of all servers, and finds out how many rounds a heavy request has.
    fn prepare(
        &self,
        entrants: &dyn Fn(&Settings) -> io::Result<Vec<Entrant>>,
        balance: &mut Balance,
        goes_on: &dyn Fn() -> bool,
    ) -> io::Result<Option<Gate>> {
        let rounds = Settings { work_rounds: calibrate::ROUNDS, ..self.common.settings.clone() };
        let common = Common { settings: rounds, ..self.common.clone() };
        let mut field = common.gather(entrants(&common.settings)?, goes_on)?;
        balance.occasion.machines = field.machines;
        balance.failures.append(&mut field.fleet.failures);
        if !goes_on() {
            return Ok(None);
        }
        let Some(member) = field.fleet.members.first_mut() else {
            return Err(io::Error::other("no server is left to be measured"));
        };
        let address = member.process.address();
        let [light, heavy] = [self.target(address, &self.light_path), common.target(address)];
        let cores = &self.common.settings.server_cores;
        load::pin(*self.generator_cores.last().unwrap_or(&0))?;
        let round_ns = calibrate::round_ns(member, cores, &light, &heavy);
        balance.round_ns = round_ns.map_err(|reason| {
            io::Error::other(format!("the work of {} cannot be calibrated: {reason}", member.key))
        })?;
        for load in &mut balance.loads {
            let rounds = load.heavy_ns.map(|ns| (ns as f64 / balance.round_ns).round());
            load.work_rounds = rounds.map_or(0, |rounds| rounds as u32);
        }
        Ok(Some(field.gate))
    }

    fn target(&self, address: SocketAddr, path: &str) -> Target {
        Target { request: regimes::get(path), ..self.common.target(address) }
    }
}

/// One start of all servers under one load.
struct Turn<'a> {
    plan: &'a Plan,
    progress: &'a Progress,
    goes_on: &'a dyn Fn() -> bool,
    rng: &'a mut Rng,
}

impl Turn<'_> {
    /// None if the user has interrupted it.
    fn start(
        &mut self,
        entrants: &dyn Fn(&Settings) -> io::Result<Vec<Entrant>>,
        load: &mut BalanceLoad,
        failures: &mut Vec<Failure>,
    ) -> io::Result<Option<Vec<BalanceSample>>> {
        let plan = self.plan;
        let settings =
            Settings { work_rounds: load.work_rounds, ..plan.common.settings.clone() };
        let mut entrants = entrants(&settings)?;
        entrants.retain(|of| failures.iter().all(|fail| fail.contender != of.contender.key));
        let cores = &settings.server_cores;
        let mut fleet = Fleet::start(&plan.common.host, &mut entrants, cores, self.goes_on);
        failures.append(&mut fleet.failures);
        let seed = self.rng.u64(..);
        let members = fleet.members.iter_mut();
        let mut lanes: Vec<Lane<'_>> =
            members.map(|member| Lane::open(plan, load, seed, member)).collect();
        let Some(saturated) = self.slices(&mut lanes, Pace::Closed, failures) else {
            return Ok(None);
        };
        let rate = *load.rate_per_s.get_or_insert_with(|| half_of_the_middle(&saturated));
        let Some(paced) = self.slices(&mut lanes, Pace::Rate(rate), failures) else {
            return Ok(None);
        };
        let sample = |(at, slice): (usize, Taken)| {
            let before = saturated.iter().find(|(other, _)| *other == at)?;
            let lane = &lanes[at];
            // Without it there is still a figure, only not how connections were spread.
            let loops = lane.process.event_loops(&lane.answered()).unwrap_or_default();
            Some(BalanceSample {
                contender: lane.key.clone(),
                saturated: before.1.slice,
                paced: slice.slice,
                latency: slice.latency,
                light: slice.light,
                loops,
            })
        };
        Ok(Some(paced.into_iter().filter_map(sample).collect()))
    }

    fn slices(
        &mut self,
        lanes: &mut [Lane<'_>],
        pace: Pace,
        failures: &mut Vec<Failure>,
    ) -> Option<Vec<(usize, Taken)>> {
        let keys: Vec<String> = lanes.iter().map(|lane| lane.key.clone()).collect();
        let length = self.plan.slice();
        let mut turns =
            Turns { lanes, pace, length, progress: self.progress, goes_on: self.goes_on };
        rounds::block(&keys, failures, self.rng, &mut turns)
    }
}

/// Half of the answers per second of the server in the middle. The slowest server may have all of
/// its connections on one core, and half of its rate would be no load for the others.
fn half_of_the_middle(taken: &[(usize, Taken)]) -> f64 {
    let rate = |(_, taken): &(usize, Taken)| {
        taken.slice.requests as f64 / taken.slice.elapsed_ns.max(1) as f64 * 1e9
    };
    let mut rates: Vec<f64> = taken.iter().map(rate).collect();
    rates.sort_unstable_by(f64::total_cmp);
    rates.get(rates.len() / 2).map_or(1.0, |rate| rate / 2.0)
}

/// One slice, with its latencies.
#[derive(Debug, Default)]
struct Taken {
    slice: BalanceSlice,
    latency: Latency,
    light: Latency,
}

/// The servers under one load, taken in turns.
struct Turns<'a, 'b> {
    lanes: &'b mut [Lane<'a>],
    pace: Pace,
    length: Duration,
    progress: &'b Progress,
    goes_on: &'b dyn Fn() -> bool,
}

impl Bench for Turns<'_, '_> {
    type Slice = Taken;

    fn slice(&mut self, at: usize) -> Result<Taken, String> {
        let taken = self.lanes[at].slice(self.pace, self.length);
        self.progress.slice_done();
        taken
    }

    fn goes_on(&mut self) -> bool {
        (self.goes_on)()
    }
}

/// A server with its connections.
struct Lane<'a> {
    key: String,
    process: &'a mut Server,
    /// One thread on each of the generators' CPUs, or the reason why they could not connect.
    generators: Result<Threads, String>,
    cores: &'a [usize],
    is_mixed: bool,
}

impl<'a> Lane<'a> {
    /// Connects, and loads the server for a moment that does not count, so that none begins cold.
    fn open(plan: &'a Plan, load: &BalanceLoad, seed: u64, member: &'a mut Member) -> Self {
        let address = member.process.address();
        let [light, heavy] = [&plan.light_path, &plan.common.path].map(|p| plan.target(address, p));
        let is_mixed = load.heavy_ns.is_some();
        let share = |target: &Target, weight| Share { request: target.request.clone(), weight };
        let mix = match is_mixed {
            true => vec![share(&light, HEAVY_ONE_IN - 1), share(&heavy, 1)],
            false => vec![share(&light, 1)],
        };
        let placement = Placement::on(&load.generator_cores, load.connections);
        let generators =
            Threads::connect_mix(&light, load.connections, &mix, seed, &placement);
        let mut lane = Self {
            key: member.key.clone(),
            process: &mut member.process,
            generators: generators.map_err(|error| error.to_string()),
            cores: &plan.common.settings.server_cores,
            is_mixed,
        };
        let warm_up = Duration::from_millis(plan.common.settings.warm_up_ms);
        if let Err(reason) = lane.slice(Pace::Closed, warm_up) {
            lane.generators = Err(reason);
        }
        lane
    }

    fn slice(&mut self, pace: Pace, length: Duration) -> Result<Taken, String> {
        let generators = self.generators.as_mut().map_err(|reason| reason.clone())?;
        let told = |error: load::LoadError| error.to_string();
        generators.take_latencies().map_err(told)?;
        let load = || generators.run(pace, Stop::After(length)).map_err(told);
        let (outcome, reading) = metered(self.process, self.cores, load)?;
        judge(&outcome)?;
        let slice = BalanceSlice {
            requests: outcome.requests,
            elapsed_ns: outcome.elapsed.as_nanos() as u64,
            cpu_ns: reading.used.cpu.as_nanos() as u64,
            cpu_ns_max: reading.used.busiest.as_nanos() as u64,
            generator_cpu_ns: outcome.cpu.as_nanos() as u64,
            unsent: outcome.unsent,
            steal_ticks: reading.steal_ticks,
        };
        if pace == Pace::Closed {
            return Ok(Taken { slice, ..Taken::default() });
        }
        let kinds = generators.take_latencies().map_err(told)?;
        let light = kinds.first().filter(|_| self.is_mixed).map(latency).unwrap_or_default();
        let all = kinds.into_iter().reduce(|mut all, of| {
            all += of;
            all
        });
        Ok(Taken { slice, latency: all.as_ref().map(latency).unwrap_or_default(), light })
    }

    /// Returns the number of answers on each connection, by its address.
    fn answered(&self) -> BTreeMap<SocketAddr, u64> {
        let of = |threads: &Threads| threads.answered().unwrap_or_default();
        self.generators.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_rate_is_half_of_that_of_the_server_in_the_middle() {
        let taken = |requests| {
            let slice = BalanceSlice { requests, elapsed_ns: 500_000_000, ..Default::default() };
            (0, Taken { slice, ..Taken::default() })
        };
        assert_eq!(half_of_the_middle(&[taken(10), taken(1_000), taken(900)]), 900.0);
        assert_eq!(half_of_the_middle(&[]), 1.0);
    }
}
