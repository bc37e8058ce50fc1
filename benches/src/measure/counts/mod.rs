//! Exact counts: what a request takes, told by tools that count and do not time.
//!
//! For each figure a server is started twice, asked N and 2N times over the same
//! connections, and ended. What its start, its connections and its first requests
//! take is in both runs, and cancels; so nothing here depends on how busy the
//! machine is, but for what a server does by the clock (the date, once a second)
//! and for how many events it finds at once.

pub mod allocator;
pub mod callgrind;
pub mod places;
pub mod strace;
pub mod tools;
pub mod workloads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use self::places::{Place, Source};
use self::tools::Tool;
use self::workloads::Workload;
use super::process::Process;
use super::progress::Progress;
use super::slice::{fall_asleep, judge};
use crate::load::{self, Generator, Outcome, Pace, Shape, Stop, Target};
use crate::results::{self, Contender, Counts, Failure, Tally, Twice, Unavailable};

/// A server under callgrind takes some 50 times as long for everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server to count.
#[derive(Debug)]
pub struct Subject {
    /// Its key, variant and description.
    pub contender: Contender,
    /// Whether it gives the service's answers; the floor does for `GET /` alone.
    pub answers: bool,
    /// Whether to say where in the source its instructions are.
    pub split: bool,
    /// Starts it as it is when it is timed.
    pub timed: Command,
    /// Starts it with the allocator that counts.
    pub counted: Command,
}

/// What is to be counted.
#[derive(Clone, Debug)]
pub struct Plan {
    /// CPUs of the servers: one, as counts are those of one thread.
    pub server_cores: Vec<usize>,
    /// CPU of the load generator.
    pub generator_core: usize,
    /// Rounds of the work function for one `GET /data`.
    pub work_rounds: u32,
    /// In this order.
    pub workloads: Vec<Workload>,
}

/// Counts, and hands what there is to `save` after each workload. When `stop` is
/// set, it ends within a run with what there is.
pub fn run(
    plan: &Plan,
    subjects: &[Subject],
    stop: &AtomicBool,
    save: &mut dyn FnMut(&Counts) -> io::Result<()>,
) -> io::Result<Counts> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut counts = Counts {
        started_unix_s: now.map_or(0, |now| now.as_secs()),
        work_rounds: plan.work_rounds,
        ..Counts::default()
    };
    let mut tools = Vec::new();
    for tool in Tool::ALL {
        match tool.check() {
            Ok(()) => tools.push(tool),
            Err(reason) => counts
                .unavailable
                .push(Unavailable { counts: tool.counts().to_string(), reason }),
        }
    }
    load::pin(plan.generator_core)?;
    let parts = plan.workloads.iter().map(|workload| Part::of(workload, subjects, &tools));
    let parts: Vec<Part> = parts.collect();
    let progress = Progress::new(parts.iter().map(Part::runs).sum());
    for part in &parts {
        progress.says(part.workload.title);
        let goes_on = || !stop.load(Ordering::Relaxed);
        counts.workloads.push(part.count(plan, &progress, &goes_on));
        counts.complete = goes_on() && counts.workloads.len() == parts.len();
        save(&counts)?;
        if !goes_on() {
            break;
        }
    }
    progress.clear();
    Ok(counts)
}

/// One workload, who takes part, and what counts.
struct Part<'a> {
    workload: &'a Workload,
    subjects: Vec<&'a Subject>,
    tools: Vec<Tool>,
}

/// What was counted in one run.
#[derive(Default)]
struct Run {
    bytes_sent: u64,
    instructions: Option<u64>,
    places: BTreeMap<Place, u64>,
    allocated: Option<allocator::Allocated>,
    syscalls: Option<BTreeMap<String, u64>>,
}

impl<'a> Part<'a> {
    fn of(workload: &'a Workload, subjects: &'a [Subject], tools: &[Tool]) -> Self {
        let takes_part = |subject: &&Subject| subject.answers || workload.floor;
        Self {
            workload,
            subjects: subjects.iter().filter(takes_part).collect(),
            tools: tools.iter().copied().filter(|tool| workload.is_counted_by(*tool)).collect(),
        }
    }

    fn runs(&self) -> u64 {
        2 * (self.subjects.len() * self.tools.len()) as u64
    }

    fn count(
        &self,
        plan: &Plan,
        progress: &Progress,
        goes_on: &dyn Fn() -> bool,
    ) -> results::Workload {
        let workload = self.workload;
        let requests = [workload.requests, 2 * workload.requests];
        let mut counted = results::Workload {
            key: workload.key.to_string(),
            title: workload.title.to_string(),
            connections: workload.connections,
            pipeline: workload.pipeline,
            requests: Twice(requests[0], requests[1]),
            tallies: Vec::new(),
            failures: Vec::new(),
        };
        for subject in &self.subjects {
            let contender = subject.contender.key.clone();
            let mut tally = Tally { contender: contender.clone(), ..Tally::default() };
            for &tool in &self.tools {
                if !goes_on() {
                    return counted;
                }
                let runs = requests.map(|requests| {
                    let run = run_once(plan, workload, subject, tool, requests);
                    progress.slice_done();
                    run
                });
                match runs {
                    [Ok(once), Ok(again)] => add(&mut tally, once, again),
                    [Err(reason), _] | [_, Err(reason)] => {
                        let reason = format!("no {}: {reason}", tool.counts());
                        counted.failures.push(Failure { contender: contender.clone(), reason });
                    }
                }
            }
            counted.tallies.push(tally);
        }
        counted
    }
}

/// Puts together what two runs counted.
fn add(tally: &mut Tally, once: Run, again: Run) {
    let both = |once: Option<u64>, again: Option<u64>| Some(Twice(once?, again?));
    tally.bytes_sent = Some(Twice(once.bytes_sent, again.bytes_sent));
    tally.instructions = tally.instructions.or(both(once.instructions, again.instructions));
    let calls = |run: &Run| run.allocated.map(|allocated| allocated.calls);
    let bytes = |run: &Run| run.allocated.map(|allocated| allocated.bytes);
    tally.allocations = tally.allocations.or(both(calls(&once), calls(&again)));
    tally.allocated_bytes = tally.allocated_bytes.or(both(bytes(&once), bytes(&again)));
    if let (Some(once), Some(again)) = (&once.syscalls, &again.syscalls) {
        tally.syscalls = Some(twice(once, again).collect());
    }
    tally.places.extend(twice(&once.places, &again.places).filter(|(_, times)| times.0 < times.1).map(
        |((file, function), instructions)| results::Place { file, function, instructions },
    ));
}

/// The counts of all that either has.
fn twice<K: Ord + Clone>(
    once: &BTreeMap<K, u64>,
    again: &BTreeMap<K, u64>,
) -> impl Iterator<Item = (K, Twice)> {
    let mut both: BTreeMap<K, Twice> = BTreeMap::new();
    for (key, &count) in once {
        both.entry(key.clone()).or_default().0 = count;
    }
    for (key, &count) in again {
        both.entry(key.clone()).or_default().1 = count;
    }
    both.into_iter()
}

/// One run of a server, from its start to its end. The error is a sentence.
fn run_once(
    plan: &Plan,
    workload: &Workload,
    subject: &Subject,
    tool: Tool,
    requests: u64,
) -> Result<Run, String> {
    let server = match tool {
        Tool::Allocator => &subject.counted,
        Tool::Callgrind | Tool::Strace => &subject.timed,
    };
    let file = Scratch::new();
    let mut command = tool.around(server, &file.path);
    let process = Process::start(&mut command, &plan.server_cores, PATIENCE)
        .map_err(|error| error.to_string())?;
    let source = (tool == Tool::Callgrind && subject.split && workload.split)
        .then(|| source(server, &process))
        .transpose()
        .map_err(|error| format!("its source cannot be told: {error}"))?;

    let (outcome, generator) = ask(&process, workload, requests)?;
    // So that the kernel is done with the last answer, and the server as well.
    fall_asleep(process.id()).map_err(|error| format!("its threads cannot be read: {error}"))?;
    let printed = process.finish(PATIENCE).map_err(|error| error.to_string())?;
    // Its connections stayed open, so that no run counts their end.
    drop(generator);

    let mut run = Run { bytes_sent: outcome.bytes_received, ..Run::default() };
    let malformed = || "the tool's file is not whole".to_string();
    match tool {
        Tool::Allocator => run.allocated = Some(allocator::read(&printed).ok_or_else(malformed)?),
        Tool::Strace => {
            run.syscalls = Some(strace::read(&file.read()?).ok_or_else(malformed)?);
        }
        Tool::Callgrind => {
            let profile = callgrind::read(&file.read()?).ok_or_else(malformed)?;
            run.instructions = Some(profile.instructions);
            run.places = source.map(|source| source.places(&profile)).unwrap_or_default();
        }
    }
    Ok(run)
}

fn source(server: &Command, process: &Process) -> io::Result<Source> {
    let program = fs::canonicalize(server.get_program())?;
    Source::of(&program, &fs::read_to_string(format!("/proc/{}/maps", process.id()))?)
}

/// Asks so many times, with the connections for it; these stay open.
fn ask(
    process: &Process,
    workload: &Workload,
    requests: u64,
) -> Result<(Outcome, Generator), String> {
    let target = Target {
        addr: process.address(),
        request: workload.request.clone(),
        method_is_head: false,
    };
    let shape = Shape {
        connections: workload.connections,
        pipeline: workload.pipeline,
        requests_per_connection: None,
    };
    let mut generator = Generator::connect(&target, &shape).map_err(|error| error.to_string())?;
    generator.set_timeout(PATIENCE);
    let outcome = generator.run(Pace::Closed, Stop::Requests(requests));
    let outcome = outcome.map_err(|error| error.to_string())?;
    judge(&outcome)?;
    if outcome.requests != requests {
        return Err(format!("{} answers to {requests} requests", outcome.requests));
    }
    Ok((outcome, generator))
}

/// A file that goes with this value.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let name = format!("pinloop-counted-{}", std::process::id());
        Self { path: std::env::temp_dir().join(name) }
    }

    fn read(&self) -> Result<String, String> {
        let unreadable = |error| format!("{} cannot be read: {error}", self.path.display());
        fs::read_to_string(&self.path).map_err(unreadable)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is none where the tool did not come to write it.
        let _ = fs::remove_file::<&Path>(self.path.as_ref());
    }
}
