//! Two servers with the same work for each request, and more and more of it: from
//! where on does it no longer matter which one it is?

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;

use crate::load;
use crate::results::{self, Failure, Latency, Sample, Settings, Work, WorkPoint};
use crate::rig::exchange::Exchange;
use crate::rig::fleet::{Entrant, Fleet, Member};
use crate::rig::host::Host;
use crate::rig::load_hosts::LoadHosts;
use crate::rig::progress::Progress;
use crate::rig::regimes;
use crate::rig::regimes::Regime;
use crate::rig::rounds::{self, Bench};
use crate::rig::slice::Lane;
use crate::rig::study;
use crate::stats::starts::STARTS_MIN;
use crate::studies::ladder::measure::{SLICE_OVERHEAD, START_OVERHEAD};

/// Rounds of the work function: even steps of a logarithmic axis, and none.
pub const ROUNDS: [u32; 8] = [0, 10, 30, 100, 300, 1_000, 3_000, 10_000];

/// Enough to keep a server busy; more would only lengthen a slice by what is
/// still in its queue at the end, which with most work is milliseconds each.
const CONNECTIONS: usize = 16;

/// For an answer, even with all its work under load.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plan of the study.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Settings as recorded, apart from the rounds.
    pub settings: Settings,
    /// Keys, as in [`Work`].
    pub base: String,
    /// Likewise.
    pub over: String,
    /// Likewise.
    pub again: String,
    /// Machine of the servers.
    pub host: Arc<Host>,
    /// Machines that load the servers; none if this process does.
    pub load_hosts: LoadHosts,
    /// For all slices of all points.
    pub budget: Duration,
}

/// Measures point by point, and hands what there is to `save` after each.
/// `entrants` makes the servers for so many rounds. When `stop` is set, it ends
/// within a slice with what there is.
pub fn run(
    plan: &Plan,
    entrants: &dyn Fn(u32) -> io::Result<Vec<Entrant>>,
    stop: &AtomicBool,
    save: &mut dyn FnMut(&Work) -> io::Result<()>,
) -> io::Result<Work> {
    let mut work = Work {
        started_unix_s: study::now_unix_s(),
        base: plan.base.clone(),
        over: plan.over.clone(),
        again: plan.again.clone(),
        slice_ms: plan.settings.slice_ms,
        ..Work::default()
    };
    if plan.load_hosts.is_empty() {
        load::pin(plan.settings.generator_core())?;
    }
    let mut rng = Rng::with_seed(plan.settings.seed);
    let regime = Regime {
        connections: CONNECTIONS,
        ..Regime::closed(
            "work",
            "GET /data with its work, one at a time on each of 16 connections",
            "with more and more work",
            regimes::get("/data"),
        )
    };
    let goes_on = || !stop.load(Ordering::Relaxed);
    let servers = [&plan.base, &plan.over, &plan.again].map(String::clone);
    let slice = Duration::from_millis(plan.settings.slice_ms + plan.settings.warm_up_ms);
    let point = (slice + SLICE_OVERHEAD + START_OVERHEAD) * servers.len() as u32;
    let starts = plan.budget.as_nanos() / (point * ROUNDS.len() as u32).as_nanos();
    let starts = (starts as u32).max(STARTS_MIN as u32);
    let mut machines = None;
    work.points = ROUNDS.iter().map(|&rounds| begin(rounds, &regime)).collect();
    let progress = Progress::new(u64::from(starts) * (ROUNDS.len() * servers.len()) as u64);
    for start in 0..starts {
        progress.says(&format!("start {} of {starts}", start + 1));
        let mut blocks = Vec::new();
        for WorkPoint { rounds, regime: record } in &mut work.points {
            let cores = &plan.settings.server_cores;
            let mut fleet = Fleet::start(&plan.host, &mut entrants(*rounds)?, cores, &goes_on);
            if machines.is_none() {
                fleet.check_any()?;
                machines = Some(plan.host.machines(&plan.load_hosts, fleet.reached())?);
            }
            record.fail(&fleet.failures);
            record.fail(&drop_those_that_differ(&mut fleet.members, &regime));
            let members = fleet.members.iter_mut().filter(|of| !record.has_failed(&of.key));
            let lanes: Vec<Lane> =
                members.map(|member| Lane::open(member, &regime, &plan.settings, &plan.load_hosts)).collect();
            let keys: Vec<String> = lanes.iter().map(|lane| lane.key().to_string()).collect();
            let mut turns = Turns { lanes, progress: &progress, stop };
            let failures = &mut record.failures;
            let taken = rounds::block(&keys, failures, &mut rng, &mut turns);
            blocks.push(taken.map(|taken| results::Block::of(start, taken)));
            turns.lanes.into_iter().for_each(Lane::close);
        }
        let Some(blocks) = blocks.into_iter().collect::<Option<Vec<_>>>() else { break };
        work.points.iter_mut().zip(blocks).for_each(|(of, block)| of.regime.blocks.push(block));
        work.machines = machines.clone().unwrap_or_default();
        work.complete = start + 1 == starts;
        save(&work)?;
    }
    progress.clear();
    Ok(work)
}

/// The record of one amount of work, with no block yet.
fn begin(rounds: u32, regime: &Regime) -> WorkPoint {
    let regime = results::Regime {
        key: format!("work-{rounds}"),
        title: format!("GET /data with {rounds} rounds of work"),
        brief: format!("with {rounds} rounds of work"),
        connections: regime.connections,
        pipeline: regime.pipeline,
        ..results::Regime::default()
    };
    WorkPoint { rounds, regime }
}

/// Keeps those that answer as the first does.
fn drop_those_that_differ(members: &mut Vec<Member>, regime: &Regime) -> Vec<Failure> {
    let exchange = Exchange {
        name: regime.title.to_string(),
        request: regime.request.clone(),
        answers: 1,
        is_head: false,
    };
    let mut failures = Vec::new();
    let mut first = None;
    members.retain(|member| {
        let reply = exchange.with(member.process.address(), PATIENCE);
        let is_same = first.get_or_insert_with(|| reply.clone()) == &reply;
        if !is_same {
            let reason = format!("its answer differs: {reply}");
            failures.push(Failure { contender: member.key.clone(), reason });
        }
        is_same
    });
    failures
}

/// The lanes of one point, taken in turns.
struct Turns<'a> {
    lanes: Vec<Lane<'a>>,
    progress: &'a Progress,
    stop: &'a AtomicBool,
}

impl Bench for Turns<'_> {
    type Slice = Sample;

    fn slice(&mut self, at: usize) -> Result<Sample, String> {
        let sample = self.lanes[at].slice();
        self.progress.slice_done();
        // Latencies are of no interest here, and would be most of the file.
        sample.map(|sample| Sample { latency: Latency::default(), ..sample })
    }

    fn goes_on(&mut self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}
