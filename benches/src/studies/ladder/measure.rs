//! The ladder: every contender in every regime.

use std::io;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;

use crate::load;
use crate::results::{self, Baseline, Contender, Failure, Gate, Results, Sample, Settings, Square, Start};
use crate::rig::fleet::{Entrant, Fleet, Member};
use crate::rig::gate::{self, Verdict};
use crate::rig::host::Host;
use crate::rig::load_hosts::LoadHosts;
use crate::rig::progress::Progress;
use crate::rig::regimes::{Pace, Regime};
use crate::rig::rounds::{self, Bench};
use crate::rig::slice::Lane;
use crate::rig::{hardware, study};
use crate::stats::starts::STARTS_MIN;

/// Time that a slice takes beside its loads: connecting, settling, /proc.
pub(crate) const SLICE_OVERHEAD: Duration = Duration::from_millis(8);

/// Time that starting and ending one server takes.
pub(crate) const START_OVERHEAD: Duration = Duration::from_millis(15);

/// Length of each observation of the servers' machine without load.
const BASELINE: Duration = Duration::from_millis(200);

/// Plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Settings as recorded.
    pub settings: Settings,
    /// Machine of the servers.
    pub host: Arc<Host>,
    /// Machines that load the servers; none if this process does.
    pub load_hosts: LoadHosts,
    /// In this order.
    pub regimes: Vec<Regime>,
    /// Key of the contender that ratios are taken to.
    pub reference: String,
    /// Settings as recorded.
    pub square: Option<Square>,
    /// Servers that this machine cannot run.
    pub left_out: Vec<Failure>,
    /// For all slices of all regimes.
    pub budget: Duration,
    /// Name of the run; numbered if none.
    pub name: Option<String>,
}

/// Measures, and writes what has been measured so far to `path` after each
/// block. When `stop` is set, it ends within a slice with what there is.
pub fn run(
    plan: &Plan,
    mut entrants: Vec<Entrant>,
    path: &Path,
    stop: &AtomicBool,
) -> io::Result<Results> {
    let contenders: Vec<Contender> = entrants.iter().map(|e| e.contender.clone()).collect();
    let mut results = begin(plan, path, contenders)?;

    let goes_on = || !stop.load(Ordering::Relaxed);
    let mut fleet = Fleet::start(&plan.host, &mut entrants, &plan.settings.server_cores, &goes_on);
    fleet.check_outside(&entrants)?;
    if goes_on() {
        fleet.check_any()?;
    }
    results.machines = plan.host.machines(&plan.load_hosts, fleet.reached())?;
    results.write(path)?;
    let verdict = gate::run(&fleet.servers(&plan.reference), &plan.regimes, &goes_on);
    fleet.check();
    fleet.expect(&mut entrants, &verdict.expected);
    // From here on this thread is the load generator.
    if plan.load_hosts.is_empty() {
        load::pin(plan.settings.generator_core())?;
    }

    let parts: Vec<Part> = plan.regimes.iter().map(|r| Part::of(r, &fleet, &verdict)).collect();
    drop(fleet);
    results.regimes = parts.iter().map(Part::begin).collect();
    // Half a gate says nothing.
    results.gate = goes_on().then_some(verdict.gate);
    results.settings.starts = plan.starts(&parts);
    let slices: usize = parts.iter().map(|part| part.keys.len()).sum();
    let progress = Progress::new(slices as u64 * u64::from(results.settings.starts));
    let mut rng = Rng::with_seed(plan.settings.seed);
    for start in 0..results.settings.starts {
        progress.says(&format!("start {} of {}", start + 1, results.settings.starts));
        let mut run = Run { plan, entrants: &mut entrants, rng: &mut rng, progress: &progress };
        if !run.start(start, &parts, &mut results, stop) {
            break;
        }
        // Without a machine that loads them, for example, all fail, and there is no more to measure.
        let have_failed =
            parts.iter().zip(&results.regimes).all(|(part, regime)| part.has_failed(regime));
        results.complete = have_failed || start + 1 == results.settings.starts;
        results.write(path)?;
        if have_failed {
            break;
        }
    }
    progress.clear();
    results.write(path)?;
    Ok(results)
}

/// Input of each start.
struct Run<'a> {
    plan: &'a Plan,
    entrants: &'a mut [Entrant],
    rng: &'a mut Rng,
    progress: &'a Progress,
}

impl Run<'_> {
    /// Starts all servers and takes a block in each regime. Adds them to `results` when
    /// the whole start is measured, and returns false if it was interrupted.
    fn start(
        &mut self,
        start: u32,
        parts: &[Part<'_>],
        results: &mut Results,
        stop: &AtomicBool,
    ) -> bool {
        let settings = &self.plan.settings;
        let goes_on = || !stop.load(Ordering::Relaxed);
        let thermometer = self.plan.host.thermometer(settings.server_cores[0]).ok();
        let host = &self.plan.host;
        let mut baselines: Vec<Baseline> = baseline(host).into_iter().collect();
        let mut fleet = Fleet::start(host, self.entrants, &settings.server_cores, &goes_on);
        let mut blocks = Vec::new();
        for (part, regime) in parts.iter().zip(&mut results.regimes) {
            regime.fail(&fleet.failures);
            let lanes = part.connect(settings, &self.plan.load_hosts, &mut fleet, regime, &goes_on);
            let mut turns = Turns { lanes, progress: self.progress, stop };
            turns.set_pace(part.regime.pace, &mut regime.rate_per_s);
            let keys: Vec<String> = turns.lanes.iter().map(|of| of.key().to_string()).collect();
            let failures = &mut regime.failures;
            match rounds::block(&keys, failures, self.rng, &mut turns) {
                Some(taken) => blocks.push(results::Block::of(start, taken)),
                None => return false,
            }
            turns.lanes.into_iter().for_each(Lane::close);
        }
        let lives = fleet.end(&settings.server_cores);
        baselines.extend(baseline(host));
        results.starts.push(Start { thermometer, lives, baselines });
        results.regimes.iter_mut().zip(blocks).for_each(|(of, block)| of.blocks.push(block));
        true
    }
}

impl Plan {
    /// The number of starts that fit into the time, but enough for an interval.
    fn starts(&self, parts: &[Part<'_>]) -> u32 {
        let Settings { slice_ms, warm_up_ms, .. } = self.settings;
        let counted = if hardware::is_available() { hardware::COUNTED } else { Duration::ZERO };
        let slice = Duration::from_millis(slice_ms + warm_up_ms) + counted + SLICE_OVERHEAD;
        let slices: usize = parts.iter().map(|part| part.keys.len()).sum();
        let servers = parts.iter().map(|part| part.keys.len()).max().unwrap_or(0);
        let start = slice * slices.max(1) as u32 + START_OVERHEAD * servers as u32;
        let starts = self.budget.as_nanos() / start.as_nanos();
        (starts as u32).max(STARTS_MIN as u32)
    }
}

/// Runs only the gate. Returns its findings, and the servers that do not start, or hang.
pub fn check(plan: &Plan, mut entrants: Vec<Entrant>) -> io::Result<(Gate, Vec<Failure>)> {
    let mut fleet = Fleet::start(&plan.host, &mut entrants, &plan.settings.server_cores, &|| true);
    fleet.check_outside(&entrants)?;
    let verdict = gate::run(&fleet.servers(&plan.reference), &plan.regimes, &|| true);
    fleet.failures.extend(verdict.failures);
    fleet.check();
    Ok((verdict.gate, fleet.failures))
}

/// Observes the servers' machine without load, if it is not this one.
fn baseline(host: &Host) -> Option<Baseline> {
    host.baseline(BASELINE).ok().flatten()
}

/// Opens the file and begins a new run in it.
fn begin(plan: &Plan, path: &Path, contenders: Vec<Contender>) -> io::Result<Results> {
    let machines = plan.host.machines(&plan.load_hosts, None)?;
    let mut results = study::open(path, Some(&machines))?;
    let number = results.run_names().len() + 1;
    // Studies refer to their servers, which need not be in this run.
    let known = results.contenders.clone();
    let default = || format!("{}-{number}", plan.settings.study);
    results.begin_run(results::Run {
        name: plan.name.clone().unwrap_or_else(default),
        started_unix_s: study::now_unix_s(),
        settings: plan.settings.clone(),
        contenders,
        reference: plan.reference.clone(),
        square: plan.square.clone(),
        left_out: plan.left_out.clone(),
        machines,
        ..results::Run::default()
    });
    study::add(&mut results.contenders, known);
    Ok(results)
}

/// One regime and the servers in it.
struct Part<'a> {
    regime: &'a Regime,
    keys: Vec<String>,
    failures: Vec<Failure>,
}

impl<'a> Part<'a> {
    fn of(regime: &'a Regime, fleet: &Fleet, verdict: &Verdict) -> Self {
        let failures = [fleet.failures.clone(), verdict.failures_in(regime.key)].concat();
        let takes_part = |member: &&Member| {
            let failed = failures.iter().any(|failure| failure.contender == member.key);
            !failed && (member.answers || regime.floor) && (member.works || !regime.work)
        };
        let keys = fleet.members.iter().filter(takes_part).map(|of| of.key.clone()).collect();
        Self { regime, keys, failures }
    }

    /// Reports whether no server gets a figure any more.
    fn has_failed(&self, so_far: &results::Regime) -> bool {
        self.keys.iter().all(|key| so_far.has_failed(key))
    }

    /// The record of this regime, with no block yet.
    fn begin(&self) -> results::Regime {
        results::Regime {
            key: self.regime.key.to_string(),
            title: self.regime.title.to_string(),
            brief: self.regime.brief.to_string(),
            connections: self.regime.connections,
            pipeline: self.regime.pipeline,
            requests_per_connection: self.regime.requests_per_connection.map(NonZeroU64::get),
            response_bytes: self.regime.response_bytes,
            failures: self.failures.clone(),
            ..results::Regime::default()
        }
    }

    /// A server that cannot be connected to gets a lane that says so at its slice.
    fn connect<'b>(
        &self,
        settings: &'b Settings,
        load_hosts: &'b LoadHosts,
        fleet: &'b mut Fleet,
        so_far: &results::Regime,
        goes_on: &dyn Fn() -> bool,
    ) -> Vec<Lane<'b>>
    where
        'a: 'b,
    {
        let takes_part = |key: &String| self.keys.contains(key) && !so_far.has_failed(key);
        let members = fleet.members.iter_mut().filter(|member| takes_part(&member.key));
        members
            .take_while(|_| goes_on())
            .map(|member| Lane::open(member, self.regime, settings, load_hosts))
            .collect()
    }
}

/// The lanes of one regime, taken in turns.
struct Turns<'a> {
    lanes: Vec<Lane<'a>>,
    progress: &'a Progress,
    stop: &'a AtomicBool,
}

impl Turns<'_> {
    /// The first start sets `rate`, and the others keep it.
    fn set_pace(&mut self, pace: Pace, rate: &mut Option<f64>) {
        *rate = rate.or_else(|| match pace {
            Pace::Closed => None,
            Pace::Rate(rate) => Some(rate),
            Pace::HalfOfSlowest => {
                let slowest = self.lanes.iter().map(Lane::capacity).fold(f64::INFINITY, f64::min);
                Some(slowest / 2.0).filter(|rate| rate.is_finite())
            }
        });
        if let Some(rate) = *rate {
            self.lanes.iter_mut().for_each(|lane| lane.set_pace(load::Pace::Rate(rate)));
        }
    }
}

impl Bench for Turns<'_> {
    type Slice = Sample;

    fn slice(&mut self, at: usize) -> Result<Sample, String> {
        let lane = &mut self.lanes[at];
        let sample = lane.connected(|lane| {
            let sample = lane.slice()?;
            Ok(Sample { hardware: lane.count_hardware()?, ..sample })
        });
        self.progress.slice_done();
        sample
    }

    fn goes_on(&mut self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}
