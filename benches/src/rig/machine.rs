//! The machine: what it is, and which of its CPUs the servers and the load
//! generator get.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use rustix::param::clock_ticks_per_second;
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::load::{self, cpu_list};
use crate::results::{Machine, TrackedConnections};
use crate::rig::hardware;

const CPUS: &str = "/sys/devices/system/cpu";

/// Describes this machine, as far as it tells.
pub fn describe() -> io::Result<Machine> {
    let cores = allowed_cores()?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let first = Path::new(CPUS).join(format!("cpu{}", cores.first().copied().unwrap_or(0)));
    Ok(Machine {
        cpu: cpu_field(&cpuinfo, "model name").unwrap_or("unknown").to_string(),
        smt_siblings: smt_siblings(&cores),
        cpu_mhz: cpu_field(&cpuinfo, "cpu MHz").and_then(|mhz| mhz.parse().ok()),
        governor: trimmed(&first.join("cpufreq/scaling_governor")),
        hypervisor: hypervisor(&cpuinfo),
        kernel: format!(
            "Linux {}",
            trimmed(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default()
        ),
        mitigations: mitigations(&Path::new(CPUS).join("vulnerabilities")),
        memory_bytes: memory_bytes(&fs::read_to_string("/proc/meminfo")?),
        load_average: load_average(&fs::read_to_string("/proc/loadavg")?),
        ticks_per_s: clock_ticks_per_second(),
        counters: Some(hardware::access().clone()),
        tracked_connections: load::TrackedConnections::read()
            .map(|load::TrackedConnections { count, max }| TrackedConnections { count, max }),
        cores,
    })
}

/// The CPUs that this process may use, ascending.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect())
}

/// The CPU for the load generator: the last one that shares no physical core
/// with the servers, else the last one that they don't use, else theirs. Servers of another machine
/// take no CPU.
pub fn generator_core(machine: &Machine, server_cores: &[usize]) -> usize {
    let shares = |core: &usize| {
        machine.smt_siblings.iter().any(|siblings| {
            siblings.contains(core) && siblings.iter().any(|core| server_cores.contains(core))
        })
    };
    let mut free = machine.cores.iter().copied().filter(|core| !server_cores.contains(core));
    let apart = free.clone().rfind(|core| !shares(core));
    apart.or(free.next_back()).or(server_cores.first().copied()).unwrap_or_default()
}

/// Returns CPUs for a generator of at most `threads` threads, of those in `allowed`: none that is
/// `taken` by a server on this machine, as long as others are left.
pub fn generator_cores_beside(allowed: &[usize], taken: &[usize], threads: usize) -> Vec<usize> {
    let allowed = || allowed.iter().rev().copied();
    let free: Vec<usize> = allowed().filter(|core| !taken.contains(core)).collect();
    let cores = if free.is_empty() { allowed().collect() } else { free };
    cores.into_iter().take(threads).collect()
}

/// Groups of CPUs that share a physical core, of those in `cores`.
fn smt_siblings(cores: &[usize]) -> Vec<Vec<usize>> {
    let groups: BTreeSet<Vec<usize>> = cores
        .iter()
        .filter_map(|core| {
            let list = format!("{CPUS}/cpu{core}/topology/thread_siblings_list");
            cpu_list(&trimmed(Path::new(&list))?)
        })
        .map(|group| group.into_iter().filter(|core| cores.contains(core)).collect())
        .collect();
    groups.into_iter().filter(|group| group.len() > 1).collect()
}

/// Xen names itself in /sys/hypervisor; others through the firmware or not at
/// all, but the CPU says that there is one.
fn hypervisor(cpuinfo: &str) -> Option<String> {
    let flags = cpu_field(cpuinfo, "flags").or_else(|| cpu_field(cpuinfo, "Features"))?;
    flags.split_ascii_whitespace().find(|&flag| flag == "hypervisor")?;
    trimmed(Path::new("/sys/hypervisor/type"))
        .or_else(|| trimmed(Path::new("/sys/class/dmi/id/sys_vendor")))
        .or_else(|| Some("unknown".to_string()))
}

fn mitigations(directory: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut mitigations: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let measure = trimmed(&entry.path())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            (measure != "Not affected").then_some((name, measure))
        })
        .collect();
    mitigations.sort();
    mitigations
}

fn cpu_field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then_some(value.trim())
    })
}

fn memory_bytes(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|total| total.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn load_average(loadavg: &str) -> f64 {
    loadavg.split(' ').next().and_then(|minute| minute.parse().ok()).unwrap_or(0.0)
}

fn trimmed(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_string()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_keeps_off_the_servers_physical_core() {
        let machine = |cores: &[usize], smt_siblings: &[&[usize]]| Machine {
            cores: cores.to_vec(),
            smt_siblings: smt_siblings.iter().map(|group| group.to_vec()).collect(),
            ..Machine::default()
        };
        assert_eq!(generator_core(&machine(&[0, 1], &[]), &[0]), 1);
        assert_eq!(generator_core(&machine(&[0, 1, 2, 3], &[&[0, 2], &[1, 3]]), &[0]), 3);
        assert_eq!(generator_core(&machine(&[0, 1, 2, 3], &[&[0, 3], &[1, 2]]), &[0]), 2);
        assert_eq!(generator_core(&machine(&[0, 1], &[&[0, 1]]), &[0]), 1);
        assert_eq!(generator_core(&machine(&[5], &[]), &[5]), 5);
        // The servers are on another machine.
        assert_eq!(generator_core(&machine(&[0, 1, 2, 3], &[&[0, 2], &[1, 3]]), &[]), 3);
    }

    #[test]
    fn describes_this_machine() {
        let machine = describe().unwrap();
        assert!(!machine.cores.is_empty());
        assert!(machine.memory_bytes > 0);
        assert!(machine.ticks_per_s > 0);
    }

    #[test]
    fn generators_keep_off_the_server_as_long_as_they_can() {
        let beside = |allowed: &[usize], server: &[usize]| {
            generator_cores_beside(allowed, server, server.len())
        };
        assert_eq!(beside(&[0, 1], &[0]), [1]);
        assert_eq!(beside(&[0, 1], &[0, 1]), [1, 0]);
        assert_eq!(beside(&[0, 1, 2, 3], &[0]), [3]);
        assert_eq!(beside(&[0, 1, 2, 3], &[0, 1]), [3, 2]);
        assert_eq!(beside(&[0, 1, 2, 3], &[0, 1, 2]), [3]);
        // Told to stay on one.
        assert_eq!(beside(&[3], &[0, 1]), [3]);
        assert_eq!(beside(&[1], &[0, 1]), [1]);
    }
}
