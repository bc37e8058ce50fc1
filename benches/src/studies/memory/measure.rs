//! What an idle connection takes: servers with more and more connections, each
//! of which has served requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::load::{self, Generator, Pace, Shape, Stop, Target};
use crate::results::{Climb, Failure, Level, Memory, Settings};
use crate::rig::fleet::{Entrant, Fleet, Member};
use crate::rig::meter::{fall_asleep, judge};
use crate::rig::progress::Progress;
use crate::rig::{regimes, study};

/// Connections of a level, in parts of the most. The first but one are few: with
/// them a server has made what it makes once.
const LEVELS: [f64; 7] = [0.0, 0.01, 0.125, 0.25, 0.5, 0.75, 1.0];

/// On each connection, so that its buffers have been used.
const REQUESTS_EACH: u64 = 3;

/// Descriptors of a server, or of the generator, for other things.
const DESCRIPTORS_SPARE: u64 = 128;

/// Caches of which a socket on epoll takes an object: the socket, its file, its
/// inode, its place in epoll, and what security modules add. Its entry among all
/// names (`dentry`) is left out, as the whole machine's come and go there.
const CACHES: [&str; 8] = [
    "TCP",
    "sock_inode_cache",
    "filp",
    "eventpoll_epi",
    "eventpoll_pwq",
    "ep_head",
    "lsm_file_cache",
    "lsm_inode_cache",
];

/// Measures one server after the other, and hands what there is to `save` after
/// each. When `stop` is set, it ends with what there is.
pub fn run(
    settings: &Settings,
    connections: usize,
    entrants: Vec<Entrant>,
    stop: &AtomicBool,
    save: &mut dyn FnMut(&Memory) -> io::Result<()>,
) -> io::Result<Memory> {
    let mut memory = Memory {
        started_unix_s: study::now_unix_s(),
        connections_wanted: connections,
        // Before the servers start, for they inherit it.
        descriptors_max: raise_descriptors()?,
        caches: slabs()
            .map(|caches| caches.into_iter().map(|(name, _)| name).collect())
            .unwrap_or_default(),
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
        let mut fleet = Fleet::start(&mut [entrant], &settings.server_cores, &goes_on);
        memory.failures.append(&mut fleet.failures);
        for member in &mut fleet.members {
            match climb(member, &levels, &progress, &goes_on) {
                Ok(climb) => memory.climbs.push(climb),
                Err(reason) => {
                    memory.failures.push(Failure { contender: member.key.clone(), reason });
                }
            }
        }
        save(&memory)?;
    }
    progress.clear();
    memory.complete = goes_on();
    save(&memory)?;
    Ok(memory)
}

fn climb(
    member: &mut Member,
    levels: &[usize],
    progress: &Progress,
    goes_on: &dyn Fn() -> bool,
) -> Result<Climb, String> {
    let id = member.process.id();
    let mut climb = Climb { contender: member.key.clone(), levels: Vec::new() };
    // All stay open until the last has been measured.
    let mut generators = Vec::new();
    let mut open = 0;
    for &connections in levels {
        if !goes_on() {
            return Err("the study was interrupted".to_string());
        }
        let asked = ask(member, connections - open);
        member.process.check().map_err(|ended| ended.to_string())?;
        generators.push(asked?);
        open = connections;
        fall_asleep(&mut member.process)
            .map_err(|error| format!("its threads cannot be read: {error}"))?;
        let rss = rss_bytes(id).map_err(|error| format!("its memory cannot be read: {error}"))?;
        climb.levels.push(Level {
            connections: open as u64,
            rss_bytes: rss,
            kernel_bytes: slabs().map(|caches| caches.iter().map(|(_, bytes)| bytes).sum()),
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

/// Lets this process, and those that it starts, have as many descriptors as it
/// may; returns how many these are.
fn raise_descriptors() -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Exact, unlike the one in /proc/PID/statm.
fn rss_bytes(id: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    rss_of(&rollup).ok_or_else(|| io::Error::other("smaps_rollup is not as expected"))
}

fn rss_of(rollup: &str) -> Option<u64> {
    let rss = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kibibytes: u64 = rss.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Bytes in use in each of [`CACHES`] that there are; none where only the
/// superuser may know.
fn slabs() -> Option<Vec<(String, u64)>> {
    Some(slabs_of(&fs::read_to_string("/proc/slabinfo").ok()?))
}

/// `name active_objs num_objs objsize …`
fn slabs_of(slabinfo: &str) -> Vec<(String, u64)> {
    let cache = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, objects, _, bytes, ..] = fields[..] else { return None };
        let known = CACHES.contains(&name);
        let bytes = objects.parse::<u64>().ok()? * bytes.parse::<u64>().ok()?;
        known.then(|| (name.to_string(), bytes))
    };
    slabinfo.lines().filter_map(cache).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        let rollup = "5580-7fff ---p 00000000 00:00 0  [rollup]\nRss:    5408 kB\nPss:  3210 kB\n";
        assert_eq!(rss_of(rollup), Some(5408 * 1024));
        assert_eq!(rss_of("Pss: 3210 kB\n"), None);
        assert!(rss_bytes(std::process::id()).unwrap() > 0);
    }

    #[test]
    fn the_caches_of_sockets_are_read() {
        let slabinfo = "slabinfo - version: 2.1\n\
            # name            <active_objs> <num_objs> <objsize> : tunables\n\
            tw_sock_TCP         8688   8700    256   16    1 : tunables    0    0    0\n\
            TCP                  105    117   2368   13    8 : tunables    0    0    0\n\
            filp                1001   1008    192   21    1 : tunables    0    0    0\n";
        let expected = [("TCP".to_string(), 105 * 2368), ("filp".to_string(), 1001 * 192)];
        assert_eq!(slabs_of(slabinfo), expected);
    }
}
