//! The knee: the highest rate that each server sustains, at constant rates, with
//! latency from when a request should have been sent.
//!
//! Steps up to the knee draw the curve; then it is bisected several times over, the
//! servers taking turns in a random order, so that it has an interval.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use hdrhistogram::Histogram;

use crate::load::{self, Outcome, Pace, Shape, Stop};
use crate::results::{Bound, Contender, Failure, Knee, Probe, Results};
use crate::rig::fleet::{Entrant, Member};
use crate::rig::host::Server;
use crate::rig::load_hosts::Generators;
use crate::rig::meter::{judge, metered};
use crate::rig::progress::Progress;
use crate::rig::study::Common;
use crate::studies::knee::search;
use crate::studies::knee::search::Bracket;

/// Steps to the rate of the closed loop, which is near the knee: enough for a curve.
const STEPS: f64 = 8.0;

/// Looks at a rate, to tell the time that is left: a few steps beyond [`STEPS`], and so
/// many for one bisection.
const STEP_LOOKS: u64 = 11;
const SEARCH_LOOKS: u64 = 8;

/// On a busy machine, where rates fail at random, a bisection takes several times as
/// long. After the time of so many looks at each server no round of them begins, and
/// there are fewer.
const LOOKS_MAX: u32 = 80;

/// Plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Plan of the study.
    pub common: Common,
    /// Bounds that a sustained rate meets.
    pub bound: Bound,
    /// Open connections.
    pub connections: usize,
    /// Length of one look at a rate.
    pub probe: Duration,
    /// Number of bisections.
    pub searches: usize,
}

/// Measures, and writes what has been measured so far to `path` after each search.
/// When `stop` is set, it ends after the look under way with what there is; a search
/// that is not at its end is dropped.
pub fn run(
    plan: &Plan,
    entrants: Vec<Entrant>,
    path: &Path,
    stop: &AtomicBool,
) -> io::Result<Results> {
    let contenders: Vec<Contender> = entrants.iter().map(|e| e.contender.clone()).collect();
    let mut results = plan.common.open(path, contenders)?;
    let all = plan.connections * entrants.len();
    load::allow_descriptors(all as u64).map_err(io::Error::other)?;

    let goes_on = || !stop.load(Ordering::Relaxed);
    let mut field = plan.common.gather(entrants, &goes_on)?;
    let mut knee = begin(plan, field.fleet.failures)?;
    knee.occasion.machines = field.machines;
    results.gate = results.gate.or(Some(field.gate));
    results.studies.knee = Some(knee.clone());
    results.write(path)?;
    // From here on this thread is the load generator.
    if plan.common.load_hosts.is_empty() {
        load::pin(plan.common.settings.generator_core())?;
    }

    let looks = STEP_LOOKS + SEARCH_LOOKS * plan.searches as u64;
    let progress = Progress::new(looks * field.fleet.members.len() as u64);
    let servers = field.fleet.members.len() as u32;
    let mut lanes = connect(plan, &mut field.fleet.members, &mut knee.failures);
    let mut rng = Rng::with_seed(plan.common.settings.seed);
    let looks_max = LOOKS_MAX * servers;
    let began = Instant::now();
    'searches: for nth in 0..=plan.searches {
        if began.elapsed() > plan.probe * looks_max {
            break;
        }
        rng.shuffle(&mut lanes);
        let mut left = Vec::new();
        for mut lane in lanes {
            if !goes_on() {
                break 'searches;
            }
            let mut probes = Vec::new();
            match lane.search(plan, nth, &mut probes, &progress, stop) {
                Ok(()) => left.push(lane),
                Err(Halt::Interrupted) => break 'searches,
                Err(Halt::Failed(reason)) => {
                    knee.failures.push(Failure { contender: lane.key, reason });
                }
            }
            knee.probes.append(&mut probes);
            results.studies.knee = Some(knee.clone());
            results.write(path)?;
        }
        lanes = left;
    }
    progress.clear();
    knee.occasion.complete = goes_on();
    results.studies.knee = Some(knee);
    results.write(path)?;
    Ok(results)
}

fn begin(plan: &Plan, failures: Vec<Failure>) -> io::Result<Knee> {
    Ok(Knee {
        occasion: plan.common.occasion()?,
        bound: plan.bound,
        connections: plan.connections,
        probe_ms: plan.probe.as_millis() as u64,
        probes: Vec::new(),
        failures,
    })
}

/// Why a search has no end.
enum Halt {
    /// The user has asked to stop.
    Interrupted,
    /// The server gets no figure; a sentence for people.
    Failed(String),
}

/// A server with its connections.
struct Lane<'a> {
    key: String,
    process: &'a mut Server,
    generator: Generators,
    /// Bracket of the knee that the steps have found.
    bracket: Bracket,
}

/// Connects to all servers. A server that does not accept is a failure.
fn connect<'a>(
    plan: &Plan,
    members: &'a mut [Member],
    failures: &mut Vec<Failure>,
) -> Vec<Lane<'a>> {
    let mut lanes = Vec::new();
    for member in members {
        let target = plan.common.target(member.process.address());
        let shape = Shape { connections: plan.connections, ..Shape::default() };
        let (key, process) = (member.key.clone(), &mut member.process);
        let bracket = Bracket { low: 0.0, high: f64::INFINITY };
        let cores = &plan.common.settings.generator_cores;
        let connect = || {
            let mut generator =
                Generators::connect(&plan.common.load_hosts, &target, &shape, cores)?;
            generator.compare(None)?;
            Ok::<_, String>(generator)
        };
        match connect() {
            Ok(generator) => lanes.push(Lane { key, process, generator, bracket }),
            Err(reason) => failures.push(Failure { contender: key, reason }),
        }
    }
    lanes
}

impl Lane<'_> {
    /// The steps, if it is the first; else a bisection.
    fn search(
        &mut self,
        plan: &Plan,
        nth: usize,
        probes: &mut Vec<Probe>,
        progress: &Progress,
        stop: &AtomicBool,
    ) -> Result<(), Halt> {
        let step = if nth == 0 { self.closed_loop(plan)? / STEPS } else { 0.0 };
        let bracket = self.bracket;
        let mut sustained = |rate: f64| {
            if stop.load(Ordering::Relaxed) {
                return Err(Halt::Interrupted);
            }
            let probe = self.probe(plan, nth, rate)?;
            let meets = probe.meets(&plan.bound);
            progress.tells(&line(&probe, meets));
            probes.push(probe);
            Ok(meets)
        };
        if nth == 0 {
            self.bracket = search::climb(step, &mut sustained)?;
        } else {
            search::bisect(bracket, &mut sustained)?;
        }
        Ok(())
    }

    /// Requests per second where each connection asks again once it is answered: what
    /// the steps are parts of, and a start for what begins cold.
    fn closed_loop(&mut self, plan: &Plan) -> Result<f64, Halt> {
        let (generator, cores) = (&mut self.generator, &plan.common.settings.server_cores);
        let run =
            || generator.run(Pace::Closed, Stop::After(plan.probe));
        let ((outcome, _), _) = metered(self.process, cores, run).map_err(Halt::Failed)?;
        judge(&outcome).map_err(Halt::Failed)?;
        Ok(outcome.requests_per_second())
    }

    fn probe(&mut self, plan: &Plan, search: usize, rate: f64) -> Result<Probe, Halt> {
        let (generator, cores) = (&mut self.generator, &plan.common.settings.server_cores);
        let run = || {
            generator.run(Pace::Rate(rate), Stop::After(plan.probe))
        };
        let ((outcome, hosts), reading) = metered(self.process, cores, run).map_err(Halt::Failed)?;
        let latency_ns = latencies(&outcome);
        let percentile = |share| latency_ns.value_at_quantile(share);
        Ok(Probe {
            contender: self.key.clone(),
            search,
            rate,
            requests: outcome.requests,
            elapsed_ns: outcome.elapsed.as_nanos() as u64,
            p50_ns: percentile(0.5),
            p99_ns: percentile(0.99),
            p99_9_ns: percentile(0.999),
            unsent: outcome.unsent,
            errors: outcome.errors.total(),
            first_error: outcome.first_error,
            server_cpu_ns: reading.used.cpu.as_nanos() as u64,
            server_wait_ns: reading.used.threads.wait.as_nanos() as u64,
            generator_cpu_ns: outcome.cpu.as_nanos() as u64,
            generator_busiest_cpu_ns: outcome.busiest_cpu.as_nanos() as u64,
            generator_wait_ns: outcome.wait.as_nanos() as u64,
            steal_ticks: reading.steal_ticks,
            hosts,
        })
    }
}

/// Returns the latencies of all requests that were due. Those that were never sent count with the
/// length of the look: a server that stalls at its end must not seem to have answered in time.
fn latencies(outcome: &Outcome) -> Histogram<u64> {
    let mut latencies = outcome.latency_ns.clone();
    latencies.saturating_record_n(outcome.elapsed.as_nanos() as u64, outcome.unsent);
    latencies
}

/// Formats the progress on one line.
fn line(probe: &Probe, meets: bool) -> String {
    let Probe { contender, rate, .. } = probe;
    let (reached, p99_ms) = (probe.requests_per_s(), probe.p99_ns as f64 / 1e6);
    let verdict = if meets { "sustained" } else { "too much" };
    let errors = match probe.errors {
        0 => String::new(),
        errors => format!(", {errors} errors"),
    };
    format!(
        "{contender}  {rate:.0}/s: {reached:.0}/s answered, p99 {p99_ms:.2} ms{errors}: {verdict}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_were_never_sent_are_the_slowest() {
        let mut outcome = Outcome::none();
        outcome.elapsed = Duration::from_secs(1);
        outcome.latency_ns.record_n(50_000, 985).unwrap();
        let p99 = |outcome: &Outcome| latencies(outcome).value_at_quantile(0.99);
        assert!(p99(&outcome) < 51_000);
        outcome.unsent = 15;
        assert!(p99(&outcome) >= 1_000_000_000, "{}", p99(&outcome));
        outcome.unsent = 9;
        assert!(p99(&outcome) < 51_000);
    }

    #[test]
    fn progress_says_what_was_offered_and_what_came_of_it() {
        let mut probe = Probe {
            contender: "pinloop".to_string(),
            rate: 5_000.0,
            requests: 4_900,
            elapsed_ns: 1_000_000_000,
            p99_ns: 12_340_000,
            ..Probe::default()
        };
        assert_eq!(line(&probe, false), "pinloop  5000/s: 4900/s answered, p99 12.34 ms: too much");
        probe.errors = 3;
        assert!(line(&probe, false).ends_with(", 3 errors: too much"));
    }
}
