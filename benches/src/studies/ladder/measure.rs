//! The ladder: every contender in every regime.

use std::io;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use fastrand::Rng;

use crate::load;
use crate::results::{
    self, Contender, Failure, Gate, Results, Sample, Settings, Square, Start, Subject,
};
use crate::rig::fleet::{Entrant, Fleet};
use crate::rig::gate::{self, Verdict};
use crate::rig::progress::Progress;
use crate::rig::regimes::{Pace, Regime};
use crate::rig::rounds::{self, Bench};
use crate::rig::slice::Lane;
use crate::rig::{machine, thermometer};
use crate::stats::starts::STARTS_MIN;

/// Time that a slice takes beside its loads: connecting, settling, /proc.
pub(crate) const SLICE_OVERHEAD: Duration = Duration::from_millis(8);

/// Time that starting and ending one server takes.
pub(crate) const START_OVERHEAD: Duration = Duration::from_millis(15);

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
    mut entrants: Vec<Entrant>,
    path: &Path,
    stop: &AtomicBool,
) -> io::Result<Results> {
    let contenders: Vec<Contender> = entrants.iter().map(|e| e.contender.clone()).collect();
    let mut results = begin(plan, contenders)?;
    results.write(path)?;

    let goes_on = || !stop.load(Ordering::Relaxed);
    let verdict = compare_answers(plan, &mut entrants, &goes_on);
    // From here on this thread is the load generator.
    load::pin(plan.settings.generator_core)?;

    let parts: Vec<Part> = plan.regimes.iter().map(|r| Part::of(r, &entrants, &verdict)).collect();
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
        results.complete = start + 1 == results.settings.starts;
        results.write(path)?;
    }
    progress.clear();
    results.write(path)?;
    Ok(results)
}

/// What each start needs.
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
        let thermometer = thermometer::read(settings.server_cores[0]).ok();
        let mut fleet = Fleet::start(self.entrants, &settings.server_cores, &goes_on);
        let mut blocks = Vec::new();
        for (part, regime) in parts.iter().zip(&mut results.regimes) {
            regime.fail(&fleet.failures);
            let lanes = part.connect(settings, &mut fleet, regime, &goes_on);
            let mut turns = Turns { lanes, progress: self.progress, stop };
            turns.set_pace(part.regime.pace, &mut regime.rate_per_s);
            let keys: Vec<String> = turns.lanes.iter().map(|of| of.key().to_string()).collect();
            let failures = &mut regime.failures;
            match rounds::block(start, &keys, failures, self.rng, &mut turns) {
                Some(block) => blocks.push(block),
                None => return false,
            }
            turns.lanes.into_iter().for_each(Lane::close);
        }
        let lives = fleet.end(&settings.server_cores);
        results.starts.push(Start { thermometer, lives });
        results.regimes.iter_mut().zip(blocks).for_each(|(of, block)| of.blocks.push(block));
        true
    }
}

impl Plan {
    /// The number of starts that fit into the time, but enough for an interval.
    fn starts(&self, parts: &[Part<'_>]) -> u32 {
        let Settings { slice_ms, warm_up_ms, .. } = self.settings;
        let slice = Duration::from_millis(slice_ms + warm_up_ms) + SLICE_OVERHEAD;
        let slices: usize = parts.iter().map(|part| part.keys.len()).sum();
        let servers = parts.iter().map(|part| part.keys.len()).max().unwrap_or(0);
        let start = slice * slices.max(1) as u32 + START_OVERHEAD * servers as u32;
        let starts = self.budget.as_nanos() / start.as_nanos();
        (starts as u32).max(STARTS_MIN as u32)
    }
}

/// Starts all servers once for the gate.
fn compare_answers(plan: &Plan, entrants: &mut [Entrant], goes_on: &dyn Fn() -> bool) -> Verdict {
    let mut fleet = Fleet::start(entrants, &plan.settings.server_cores, goes_on);
    let mut verdict = gate::run(&fleet.servers(&plan.reference), &plan.regimes, goes_on);
    fleet.failures.append(&mut verdict.failures);
    fleet.check();
    Verdict { failures: fleet.failures, ..verdict }
}

/// Only the gate, with the servers that do not start, or hang.
pub fn check(plan: &Plan, mut entrants: Vec<Entrant>) -> (Gate, Vec<Failure>) {
    let verdict = compare_answers(plan, &mut entrants, &|| true);
    (verdict.gate, verdict.failures)
}

pub(crate) fn begin(plan: &Plan, contenders: Vec<Contender>) -> io::Result<Results> {
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
        ..Results::default()
    })
}

/// One regime and the servers in it.
struct Part<'a> {
    regime: &'a Regime,
    keys: Vec<String>,
    failures: Vec<Failure>,
}

impl<'a> Part<'a> {
    fn of(regime: &'a Regime, entrants: &[Entrant], verdict: &Verdict) -> Self {
        let measured = Subject::Measured(regime.key.to_string());
        let wrong = verdict.gate.differences.iter().filter(|d| d.subject == measured);
        let mut failures = verdict.failures.clone();
        failures.extend(wrong.map(|difference| Failure {
            contender: difference.contender.clone(),
            reason: format!("its answer differs from that of {}", verdict.gate.reference),
        }));
        let takes_part = |entrant: &&Entrant| {
            let key = &entrant.contender.key;
            let failed = failures.iter().any(|failure| failure.contender == *key);
            let can = entrant.answers || regime.floor;
            !failed && can && (entrant.does_the_work || !regime.has_work)
        };
        let keys = entrants.iter().filter(takes_part).map(|of| of.contender.key.clone()).collect();
        Self { regime, keys, failures }
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
            failures: self.failures.clone(),
            ..results::Regime::default()
        }
    }

    /// A server that cannot be connected to gets a lane that says so at its slice.
    fn connect<'b>(
        &self,
        settings: &'b Settings,
        fleet: &'b mut Fleet,
        so_far: &results::Regime,
        goes_on: &dyn Fn() -> bool,
    ) -> Vec<Lane<'b>> {
        let takes_part = |key: &String| self.keys.contains(key) && !so_far.has_failed(key);
        let members = fleet.members.iter_mut().filter(|member| takes_part(&member.key));
        members
            .take_while(|_| goes_on())
            .map(|member| Lane::open(member, self.regime, settings))
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
    fn slice(&mut self, contender: &str) -> Result<Sample, String> {
        let lane = self.lanes.iter_mut().find(|lane| lane.key() == contender);
        let sample = lane.ok_or("it has no connections")?.slice();
        self.progress.slice_done();
        sample
    }

    fn goes_on(&mut self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}
