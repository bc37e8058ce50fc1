//! Exact counts: what a request takes, told by tools that count and do not time.
//!
//! For each figure a server is started twice, asked N and 2N times over the same
//! connections, and ended. What its start, its connections and its first requests
//! take is in both runs, and cancels; so nothing here depends on how busy the
//! machine is, but for what a server does by the clock (the date, once a second)
//! and for how many events it finds at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use super::places::{self, Place};
use super::tools::Tool;
use super::workloads::Workload;
use super::{allocator, callgrind, strace};
use crate::load::{self, Generator, Outcome, Pace, Shape, Stop, Target};
use crate::results::{self, Contender, Counts, Failure, Settings, Tally, Twice, Unavailable};
use crate::rig::study;
use crate::rig::meter::judge;
use crate::rig::process::{Process, Readiness};
use crate::rig::progress::Progress;

/// A server under callgrind takes some 50 times as long for everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Address that servers listen on.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Between two looks at a file that is being written.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A server to count.
#[derive(Debug)]
pub struct Subject {
    /// Its key, variant and description.
    pub contender: Contender,
    /// True if it gives the service's answers; the floor does for `GET /` alone.
    pub answers: bool,
    /// True if to say where in the source its instructions are.
    pub split: bool,
    /// Starts it as it is when it is timed.
    pub timed: Command,
    /// Starts it with the allocator that counts.
    pub counted: Command,
}

/// Counts, and hands what there is to `save` after each workload. When `stop` is
/// set, it ends within a run with what there is.
pub fn run(
    settings: &Settings,
    workloads: &[Workload],
    subjects: &[Subject],
    stop: &AtomicBool,
    save: &mut dyn FnMut(&Counts) -> io::Result<()>,
) -> io::Result<Counts> {
    let mut counts = Counts {
        started_unix_s: study::now_unix_s(),
        work_rounds: settings.work_rounds,
        ..Counts::default()
    };
    let mut tools = Vec::new();
    for tool in Tool::ALL {
        match tool.check() {
            Ok(()) => tools.push(tool),
            Err(reason) => {
                counts.unavailable.push(Unavailable { counts: tool.counts().to_string(), reason })
            }
        }
    }
    load::pin(settings.generator_core())?;
    let parts = workloads.iter().map(|workload| Part::of(workload, subjects, &tools));
    let parts: Vec<Part> = parts.collect();
    let progress = Progress::new(parts.iter().map(Part::runs).sum());
    for part in &parts {
        progress.says(part.workload.title);
        let goes_on = || !stop.load(Ordering::Relaxed);
        counts.workloads.push(part.count(settings, &progress, &goes_on));
        counts.complete = goes_on() && counts.workloads.len() == parts.len();
        save(&counts)?;
        if !goes_on() {
            break;
        }
    }
    progress.clear();
    Ok(counts)
}

/// One workload, its servers, and the tools that count.
struct Part<'a> {
    workload: &'a Workload,
    subjects: Vec<&'a Subject>,
    tools: Vec<Tool>,
}

/// Counts of one run.
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
        settings: &Settings,
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
                    let run = run_once(settings, workload, subject, tool, requests);
                    progress.slice_done();
                    run
                });
                match runs {
                    [Ok(once), Ok(again)] => add(&mut tally, &once, &again),
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
fn add(tally: &mut Tally, once: &Run, again: &Run) {
    let both = |once: Option<u64>, again: Option<u64>| Some(Twice(once?, again?));
    tally.bytes_sent = Some(Twice(once.bytes_sent, again.bytes_sent));
    tally.instructions = tally.instructions.or(both(once.instructions, again.instructions));
    let calls = |run: &Run| run.allocated.map(|allocated| allocated.calls);
    let bytes = |run: &Run| run.allocated.map(|allocated| allocated.bytes);
    tally.allocations = tally.allocations.or(both(calls(once), calls(again)));
    tally.allocated_bytes = tally.allocated_bytes.or(both(bytes(once), bytes(again)));
    if let (Some(once), Some(again)) = (&once.syscalls, &again.syscalls) {
        tally.syscalls = Some(twice(once, again).collect());
    }
    tally.places.extend(
        twice(&once.places, &again.places).filter(|(_, times)| times.0 < times.1).map(
            |((file, function), instructions)| results::Place { file, function, instructions },
        ),
    );
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
    settings: &Settings,
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
    let command = tool.around(server, &file.path);
    let mut process =
        Process::start(&command, &settings.server_cores, LOOPBACK, Readiness::Announced, PATIENCE)
            .map_err(|error| error.to_string())?;

    let (outcome, generator) = ask(&process, workload, requests)?;
    // So that the kernel is done with the last answer, and the server as well.
    process.fall_asleep().map_err(|error| format!("its threads cannot be read: {error}"))?;
    let printed = process.finish(PATIENCE).map_err(|error| error.to_string())?;
    // Its connections stayed open, so that no run counts their end.
    drop(generator);

    let mut run = Run { bytes_sent: outcome.bytes_received, ..Run::default() };
    match tool {
        Tool::Allocator => {
            let said = allocator::read(&printed);
            run.allocated = Some(said.ok_or("it did not say what it allocated")?);
        }
        Tool::Strace => run.syscalls = Some(file.read(strace::read)?),
        Tool::Callgrind => {
            let profile = file.read(callgrind::read)?;
            run.instructions = Some(profile.instructions);
            if subject.split && workload.split {
                let places = places::of(&profile, Path::new(server.get_program()));
                run.places = places.map_err(|error| format!("no places of them: {error}"))?;
            }
        }
    }
    Ok(run)
}

/// Sends this number of requests. The connections stay open.
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
    generator.compare_with_first().map_err(|error| error.to_string())?;
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
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("pinloop-counted-{}-{number}", std::process::id());
        Self { path: std::env::temp_dir().join(name) }
    }

    /// Reads it once it is whole: strace writes it when the server has ended.
    fn read<T>(&self, parse: fn(&str) -> Option<T>) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&self.path);
            match text.as_deref().map(parse) {
                Ok(Some(parsed)) => return Ok(parsed),
                _ if Instant::now() < deadline => thread::sleep(LOOK_EVERY),
                Ok(None) => return Err("the tool's file is not whole".to_string()),
                Err(error) => return Err(format!("the tool's file cannot be read: {error}")),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The file is missing if the tool did not write it.
        let _ = fs::remove_file(&self.path);
    }
}
