//! The ladder: every contender in every regime.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use fastrand::Rng;

use super::fleet::{Entrant, Fleet, Member};
use super::progress::Progress;
use super::regimes::Regime;
use super::rounds::{self, Bench, Ending};
use super::slice::Lane;
use super::{gate, machine};
use crate::load;
use crate::results::{self, Contender, Failure, Gate, Results, Sample, Settings, Square, Subject};

/// Fewer blocks give no interval, whatever the time asked for.
pub(super) const BLOCKS_MIN: usize = 6;

/// What a slice takes beside its load: settling, /proc, its part of the file.
pub(super) const SLICE_OVERHEAD: Duration = Duration::from_millis(4);

/// What is to be measured, and with what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As recorded.
    pub settings: Settings,
    /// In this order.
    pub regimes: Vec<Regime>,
    /// Key of the contender that ratios are taken to.
    pub reference: String,
    /// As recorded.
    pub square: Option<Square>,
    /// For all slices of all regimes.
    pub budget: Duration,
}

/// Measures, and writes what has been measured so far to `path` after each
/// block. When `stop` is set, it ends within a slice with what there is.
pub fn run(
    plan: &Plan,
    entrants: Vec<Entrant>,
    path: &Path,
    stop: &AtomicBool,
) -> io::Result<Results> {
    let contenders: Vec<Contender> = entrants.iter().map(|e| e.contender.clone()).collect();
    let mut results = begin(plan, contenders)?;
    results.write(path)?;

    let mut fleet = Fleet::start(entrants, &plan.settings.server_cores);
    let goes_on = || !stop.load(Ordering::Relaxed);
    let verdict = gate::run(&fleet.servers(&plan.reference), &plan.regimes, &goes_on);
    fleet.failures.extend(verdict.failures);
    fleet.check();
    // From here on this thread is the load generator.
    load::pin(plan.settings.generator_core)?;

    let mut rng = Rng::with_seed(plan.settings.seed);
    let parts: Vec<Part> =
        plan.regimes.iter().map(|r| Part::of(plan, r, &fleet, &verdict.gate)).collect();
    let progress = Progress::new(parts.iter().map(Part::slices).sum());
    results.gate = Some(verdict.gate);
    for part in &parts {
        progress.says(part.regime.title);
        results.regimes.push(part.begin());
        let mut turns = Turns {
            lanes: part.connect(plan, &mut fleet),
            progress: &progress,
            stop,
            path,
            unwritten: false,
        };
        let ending = rounds::run(&mut results, &part.keys, part.blocks, &mut rng, &mut turns);
        results.complete =
            ending == Ending::Complete && std::ptr::eq(part, &parts[parts.len() - 1]);
        results.write(path)?;
        if ending == Ending::Interrupted {
            break;
        }
    }
    progress.clear();
    Ok(results)
}

/// Only the gate, with those that do not start, or hang.
pub fn check(plan: &Plan, entrants: Vec<Entrant>) -> (Gate, Vec<Failure>) {
    let mut fleet = Fleet::start(entrants, &plan.settings.server_cores);
    let verdict = gate::run(&fleet.servers(&plan.reference), &plan.regimes, &|| true);
    fleet.failures.extend(verdict.failures);
    fleet.check();
    (verdict.gate, fleet.failures)
}

pub(super) fn begin(plan: &Plan, contenders: Vec<Contender>) -> io::Result<Results> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Ok(Results {
        schema: results::SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_string(),
        started_unix_s: now.map_or(0, |now| now.as_secs()),
        complete: false,
        optimized: !cfg!(debug_assertions),
        machine: machine::describe()?,
        settings: plan.settings.clone(),
        contenders,
        reference: plan.reference.clone(),
        square: plan.square.clone(),
        gate: None,
        ..Results::default()
    })
}

/// One regime, who is in it, and for how long.
struct Part<'a> {
    regime: &'a Regime,
    keys: Vec<String>,
    blocks: usize,
    failures: Vec<Failure>,
}

impl<'a> Part<'a> {
    fn of(plan: &Plan, regime: &'a Regime, fleet: &Fleet, gate: &Gate) -> Self {
        let measured = Subject::Measured(regime.key.to_string());
        let wrong = gate.differences.iter().filter(|d| d.subject == measured);
        let mut failures = fleet.failures.clone();
        failures.extend(wrong.map(|difference| Failure {
            contender: difference.contender.clone(),
            reason: format!("its answer differs from that of {}", gate.reference),
        }));
        let takes_part = |member: &&Member| {
            let failed = failures.iter().any(|failure| failure.contender == member.key);
            !failed && (member.answers || regime.floor)
        };
        let keys: Vec<String> =
            fleet.members.iter().filter(takes_part).map(|m| m.key.clone()).collect();
        let budget = plan.budget / plan.regimes.len().max(1) as u32;
        let slice = Duration::from_millis(plan.settings.slice_ms) + SLICE_OVERHEAD;
        let blocks = budget.as_nanos() / (slice * keys.len().max(1) as u32).as_nanos();
        Self { regime, keys, blocks: (blocks as usize).max(BLOCKS_MIN), failures }
    }

    fn slices(&self) -> u64 {
        (self.keys.len() * self.blocks) as u64
    }

    /// The record of this regime, with no block yet.
    fn begin(&self) -> results::Regime {
        results::Regime {
            key: self.regime.key.to_string(),
            title: self.regime.title.to_string(),
            brief: self.regime.brief.to_string(),
            connections: self.regime.connections,
            pipeline: self.regime.pipeline,
            blocks: Vec::new(),
            failures: self.failures.clone(),
        }
    }

    /// Who cannot be connected to gets a lane that says so at its first slice.
    fn connect<'b>(&self, plan: &'b Plan, fleet: &'b mut Fleet) -> Vec<Lane<'b>> {
        let members = fleet.members.iter_mut().filter(|member| self.keys.contains(&member.key));
        members.map(|member| Lane::open(member, self.regime, &plan.settings)).collect()
    }
}

/// The lanes of one regime, taken in turns.
struct Turns<'a> {
    lanes: Vec<Lane<'a>>,
    progress: &'a Progress,
    stop: &'a AtomicBool,
    path: &'a Path,
    /// Whether the last block could not be written.
    unwritten: bool,
}

impl Bench for Turns<'_> {
    fn slice(&mut self, contender: &str) -> Result<Sample, String> {
        let lane = self.lanes.iter_mut().find(|lane| lane.key() == contender);
        let sample = lane.ok_or("it has no connections")?.slice();
        self.progress.slice_done();
        sample
    }

    fn goes_on(&mut self) -> bool {
        !self.unwritten && !self.stop.load(Ordering::Relaxed)
    }

    fn block_done(&mut self, results: &Results) {
        self.unwritten = results.write(self.path).is_err();
    }
}
