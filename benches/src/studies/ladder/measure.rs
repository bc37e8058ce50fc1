//! The ladder: every contender in every regime.

use std::io;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use fastrand::Rng;

use crate::load;
use crate::results::{self, Contender, Failure, Gate, Results, Sample, Settings, Square};
use crate::rig::fleet::{Entrant, Fleet, Member};
use crate::rig::gate::Verdict;
use crate::rig::progress::Progress;
use crate::rig::regimes::{Pace, Regime};
use crate::rig::rounds;
use crate::rig::rounds::{Bench, Ending, Rounds};
use crate::rig::slice::Lane;
use crate::rig::{gate, machine};

/// Fewer blocks give no interval, whatever the time asked for.
pub(crate) const BLOCKS_MIN: usize = 6;

/// What a slice takes beside its load: settling, /proc, its part of the file.
pub(crate) const SLICE_OVERHEAD: Duration = Duration::from_millis(4);

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

    let goes_on = || !stop.load(Ordering::Relaxed);
    let mut rng = Rng::with_seed(plan.settings.seed);
    let mut fleet = Fleet::start(&mut entrants, &plan.settings.server_cores, &goes_on);
    fleet.check_outside(&entrants)?;
    results.write(path)?;
    let verdict = gate::run(&fleet.servers(&plan.reference), &plan.regimes, &goes_on);
    fleet.check();
    fleet.expect(&mut entrants, &verdict.expected);
    // From here on this thread is the load generator.
    load::pin(plan.settings.generator_core)?;

    let parts: Vec<Part> =
        plan.regimes.iter().map(|r| Part::of(plan, r, &fleet, &verdict)).collect();
    results.regimes = parts.iter().map(Part::begin).collect();
    // Half a gate says nothing.
    results.gate = goes_on().then_some(verdict.gate);
    let progress = Progress::new(parts.iter().map(Part::slices).sum());
    for pass in 0..plan.settings.passes.max(1) {
        if pass > 0 {
            // The last ones end before the next ones start.
            fleet.members.clear();
            fleet = Fleet::start(&mut entrants, &plan.settings.server_cores, &goes_on);
        }
        for (at, part) in parts.iter().enumerate() {
            progress.says(&match plan.settings.passes {
                0 | 1 => part.regime.title.to_string(),
                passes => format!("{} of {passes}: {}", pass + 1, part.regime.title),
            });
            results.regimes[at].fail(&fleet.failures);
            let mut turns = Turns {
                lanes: part.connect(plan, &mut fleet, &results.regimes[at], &goes_on),
                progress: &progress,
                stop,
                path,
                unwritten: false,
            };
            turns.set_pace(part.regime.pace, &mut results.regimes[at].rate_per_s);
            let rounds = Rounds { regime: at, pass, blocks: part.blocks, contenders: &part.keys };
            let ending = rounds::run(&mut results, &rounds, &mut rng, &mut turns);
            if ending == Ending::Interrupted {
                progress.clear();
                results.write(path)?;
                return Ok(results);
            }
        }
    }
    progress.clear();
    results.complete = true;
    results.write(path)?;
    Ok(results)
}

/// Runs only the gate. Returns its findings, and the servers that do not start, or hang.
pub fn check(plan: &Plan, mut entrants: Vec<Entrant>) -> io::Result<(Gate, Vec<Failure>)> {
    let mut fleet = Fleet::start(&mut entrants, &plan.settings.server_cores, &|| true);
    fleet.check_outside(&entrants)?;
    let verdict = gate::run(&fleet.servers(&plan.reference), &plan.regimes, &|| true);
    fleet.failures.extend(verdict.failures);
    fleet.check();
    Ok((verdict.gate, fleet.failures))
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

/// One regime, who is in it, and for how long.
struct Part<'a> {
    regime: &'a Regime,
    keys: Vec<String>,
    /// In each pass.
    blocks: usize,
    passes: usize,
    failures: Vec<Failure>,
}

impl<'a> Part<'a> {
    fn of(plan: &Plan, regime: &'a Regime, fleet: &Fleet, verdict: &Verdict) -> Self {
        let failures = [fleet.failures.clone(), verdict.failures_in(regime.key)].concat();
        let takes_part = |member: &&Member| {
            let failed = failures.iter().any(|failure| failure.contender == member.key);
            !failed && (member.answers || regime.floor) && (member.works || !regime.work)
        };
        let keys: Vec<String> =
            fleet.members.iter().filter(takes_part).map(|m| m.key.clone()).collect();
        let passes = plan.settings.passes.max(1) as usize;
        let budget = plan.budget / (plan.regimes.len() * passes).max(1) as u32;
        let slice = Duration::from_millis(plan.settings.slice_ms) + SLICE_OVERHEAD;
        let blocks = budget.as_nanos() / (slice * keys.len().max(1) as u32).as_nanos();
        let blocks = (blocks as usize).max(BLOCKS_MIN.div_ceil(passes));
        Self { regime, keys, blocks, passes, failures }
    }

    fn slices(&self) -> u64 {
        (self.keys.len() * self.blocks * self.passes) as u64
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

    /// Who cannot be connected to gets a lane that says so at its first slice; no more
    /// lanes once it does not go on.
    fn connect<'b>(
        &self,
        plan: &'b Plan,
        fleet: &'b mut Fleet,
        so_far: &results::Regime,
        goes_on: &dyn Fn() -> bool,
    ) -> Vec<Lane<'b>> {
        let takes_part = |key: &String| self.keys.contains(key) && !so_far.has_failed(key);
        let members = fleet.members.iter_mut().filter(|member| takes_part(&member.key));
        members
            .take_while(|_| goes_on())
            .map(|member| Lane::open(member, self.regime, &plan.settings))
            .collect()
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

impl Turns<'_> {
    /// `rate` is the one of an earlier pass, if there was one, else it is set.
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
        !self.unwritten && !self.stop.load(Ordering::Relaxed)
    }

    fn block_done(&mut self, results: &Results) {
        self.unwritten = results.write(self.path).is_err();
    }
}
