//! Memory of an idle connection: servers get more and more connections, and each connection has
//! served requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::load::{self, Generator, Pace, Shape, Stop, Target};
use crate::results::{Climb, Failure, Level, Memory, Settings};
use crate::rig::fleet::{Entrant, Fleet, Member};
use crate::rig::host::Host;
use crate::rig::load_hosts::LoadHosts;
use crate::rig::meter::{Watched, judge};
use crate::rig::progress::Progress;
use crate::rig::{regimes, study};

/// Connections of a level, in parts of the most. The first but one are few: with
/// them a server has made what it makes once.
const LEVELS: [f64; 7] = [0.0, 0.01, 0.125, 0.25, 0.5, 0.75, 1.0];

/// On each connection, so that its buffers have been used.
const REQUESTS_EACH: u64 = 3;

/// Descriptors of a server, or of the generator, for other things.
const DESCRIPTORS_SPARE: u64 = 128;

/// Measures one server after the other, and hands what there is to `save` after
/// each. When `stop` is set, it ends with what there is.
pub fn run(
    settings: &Settings,
    host: &Arc<Host>,
    connections: usize,
    entrants: Vec<Entrant>,
    stop: &AtomicBool,
    save: &mut dyn FnMut(&Memory) -> io::Result<()>,
) -> io::Result<Memory> {
    let mut memory = Memory {
        started_unix_s: study::now_unix_s(),
        connections_wanted: connections,
        descriptors_max: raise_descriptors()?,
        ..Memory::default()
    };
    let allowed = memory.descriptors_max.saturating_sub(DESCRIPTORS_SPARE) as usize;
    let levels = LEVELS.map(|part| (part * connections.min(allowed) as f64) as usize);
    load::pin(settings.generator_core())?;
    let goes_on = || !stop.load(Ordering::Relaxed);
    let progress = Progress::new((entrants.len() * levels.len()) as u64);
    for entrant in entrants {
        if !goes_on() {
            break;
        }
        progress.says(&entrant.contender.key);
        // One at a time, so that the kernel's part is of one alone.
        let mut fleet = Fleet::start(host, &mut [entrant], &settings.server_cores, &goes_on);
        memory.machines = host.machines(&LoadHosts::from([]), fleet.reached())?;
        memory.failures.append(&mut fleet.failures);
        for member in &mut fleet.members {
            match climb(member, &mut memory.caches, &levels, &progress, &goes_on) {
                Ok(climb) => memory.climbs.push(climb),
                Err(reason) => {
                    memory.failures.push(Failure { contender: member.key.clone(), reason });
                }
            }
        }
        // Without a figure, a record of before is worth more.
        if !memory.climbs.is_empty() {
            save(&memory)?;
        }
    }
    progress.clear();
    if let (true, Some(failure)) = (memory.climbs.is_empty(), memory.failures.first()) {
        let Failure { contender, reason } = failure;
        return Err(io::Error::other(format!("nothing was measured; {contender}: {reason}")));
    }
    memory.complete = goes_on();
    save(&memory)?;
    Ok(memory)
}

/// Takes one server up the levels, and notes the names of the kernel's caches.
fn climb(
    member: &mut Member,
    names: &mut Vec<String>,
    levels: &[usize],
    progress: &Progress,
    goes_on: &dyn Fn() -> bool,
) -> Result<Climb, String> {
    let mut climb = Climb { contender: member.key.clone(), levels: Vec::new() };
    // All stay open until the last has been measured.
    let mut generators = Vec::new();
    let mut open = 0;
    for &connections in levels {
        if !goes_on() {
            return Err("the study was interrupted".to_string());
        }
        let asked = ask(member, connections - open);
        member.process.check()?;
        generators.push(asked?);
        open = connections;
        let used = member.process.memory().map_err(|error| error.to_string())?;
        if let Some(caches) = &used.kernel {
            *names = caches.iter().map(|(name, _)| name.clone()).collect();
        }
        climb.levels.push(Level {
            connections: open as u64,
            rss_bytes: used.rss_bytes,
            kernel_bytes: used.kernel_bytes(),
        });
        progress.slice_done();
    }
    Ok(climb)
}

/// Opens this number of connections and uses each. Returns none for 0 connections.
fn ask(member: &Member, connections: usize) -> Result<Option<Generator>, String> {
    if connections == 0 {
        return Ok(None);
    }
    let target = Target {
        addr: member.process.address(),
        request: regimes::get("/"),
        method_is_head: false,
    };
    let shape = Shape { connections, pipeline: 1, requests_per_connection: None };
    let mut generator =
        Generator::connect_comparing(&target, &shape).map_err(|error| error.to_string())?;
    let requests = Stop::Requests(REQUESTS_EACH * connections as u64);
    let outcome = generator.run(Pace::Closed, requests).map_err(|error| error.to_string())?;
    judge(&outcome)?;
    Ok(Some(generator))
}

/// Raises the limit on descriptors of this process to the maximum, and returns it.
fn raise_descriptors() -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}
