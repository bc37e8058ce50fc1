//! Two servers with the same work for each request, and more and more of it: from
//! where on does it no longer matter which one it is?

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use fastrand::Rng;

use crate::load;
use crate::results::{self, Failure, Latency, Results, Sample, Settings, Work, WorkPoint};
use crate::rig::exchange::Exchange;
use crate::rig::fleet::{Entrant, Fleet, Member};
use crate::rig::progress::Progress;
use crate::rig::regimes;
use crate::rig::regimes::Regime;
use crate::rig::rounds;
use crate::rig::rounds::{Bench, Ending, Rounds};
use crate::rig::slice::Lane;
use crate::studies::ladder::measure::{BLOCKS_MIN, SLICE_OVERHEAD};

/// Rounds of the work function: even steps of a logarithmic axis, and none.
pub const ROUNDS: [u32; 8] = [0, 10, 30, 100, 300, 1_000, 3_000, 10_000];

/// Enough to keep a server busy; more would only lengthen a slice by what is
/// still in its queue at the end, which with most work is milliseconds each.
const CONNECTIONS: usize = 16;

/// For an answer, even with all its work under load.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As recorded, but for the rounds.
    pub settings: Settings,
    /// Keys, as in [`Work`].
    pub base: String,
    /// Likewise.
    pub over: String,
    /// Likewise.
    pub again: String,
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
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut work = Work {
        started_unix_s: now.map_or(0, |now| now.as_secs()),
        base: plan.base.clone(),
        over: plan.over.clone(),
        again: plan.again.clone(),
        slice_ms: plan.settings.slice_ms,
        ..Work::default()
    };
    load::pin(plan.settings.generator_core)?;
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
    let contenders = 3;
    let slice = Duration::from_millis(plan.settings.slice_ms) + SLICE_OVERHEAD;
    let blocks = plan.budget.as_nanos() / (slice * contenders * ROUNDS.len() as u32).as_nanos();
    let blocks = (blocks as usize).max(BLOCKS_MIN);
    let progress = Progress::new((ROUNDS.len() * contenders as usize * blocks) as u64);
    for rounds in ROUNDS {
        progress.says(&format!("{rounds} rounds of work"));
        let mut fleet = Fleet::start(&mut entrants(rounds)?, &plan.settings.server_cores, &goes_on);
        fleet.failures.extend(drop_those_that_differ(&mut fleet.members, &regime));
        let keys: Vec<String> = fleet.members.iter().map(|member| member.key.clone()).collect();
        let mut measured = Results::default();
        measured.regimes.push(results::Regime {
            key: format!("work-{rounds}"),
            title: format!("GET /data with {rounds} rounds of work"),
            brief: format!("with {rounds} rounds of work"),
            connections: regime.connections,
            pipeline: regime.pipeline,
            failures: fleet.failures,
            ..results::Regime::default()
        });
        let lanes = fleet.members.iter_mut();
        let lanes = lanes.map(|member| Lane::open(member, &regime, &plan.settings)).collect();
        let of_point = Rounds { regime: 0, pass: 0, blocks, contenders: &keys };
        let mut turns = Turns { lanes, progress: &progress, stop };
        let ending = rounds::run(&mut measured, &of_point, &mut rng, &mut turns);
        let points = measured.regimes.into_iter().map(|regime| WorkPoint { rounds, regime });
        work.points.extend(points);
        work.complete = ending == Ending::Complete && work.points.len() == ROUNDS.len();
        save(&work)?;
        if ending == Ending::Interrupted {
            break;
        }
    }
    progress.clear();
    Ok(work)
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
    fn slice(&mut self, contender: &str) -> Result<Sample, String> {
        let lane = self.lanes.iter_mut().find(|lane| lane.key() == contender);
        let sample = lane.ok_or("it has no connections")?.slice();
        self.progress.slice_done();
        // Latencies are of no interest here, and would be most of the file.
        sample.map(|sample| Sample { latency: Latency::default(), ..sample })
    }

    fn goes_on(&mut self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn block_done(&mut self, _: &Results) {}
}
