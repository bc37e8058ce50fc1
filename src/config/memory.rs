//! The memory that the process may use: the default of
//! [`Config::buffered_bytes_max`](super::Config::buffered_bytes_max) depends on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const MIB: u64 = 1024 * 1024;

/// Returns a quarter of the memory, between 16 MiB and 1 GiB. The files are read once.
pub(super) fn buffered_bytes_default() -> usize {
    static BYTES: LazyLock<usize> = LazyLock::new(|| {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let cgroup = read(Path::new("/proc/self/cgroup"));
        let limits =
            limit_files(&cgroup).into_iter().filter_map(|path| read(&path).trim().parse().ok());
        share(limits.chain(machine_bytes(&read(Path::new("/proc/meminfo")))))
    });
    *BYTES
}

/// Returns a quarter of the smallest limit.
fn share(limits: impl Iterator<Item = u64>) -> usize {
    (limits.min().unwrap_or(u64::MAX) / 4).clamp(16 * MIB, 1024 * MIB) as usize
}

/// Returns the files with the memory limits of a cgroup, which `/proc/self/cgroup` names, and of
/// the cgroups that contain it. A file without a limit holds the word `max`, or for version 1 a
/// number larger than any memory.
fn limit_files(cgroup: &str) -> Vec<PathBuf> {
    let hierarchy = |line: &str| {
        // A line of version 2 is `0::PATH`, and one of version 1 `NUMBER:CONTROLLERS:PATH`.
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        Some(groups.map(|group| Path::new(root).join(group).join(file)).collect::<Vec<_>>())
    };
    cgroup.lines().filter_map(hierarchy).flatten().collect()
}

/// Returns the memory of the machine, from `/proc/meminfo`.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_looked_up_in_all_cgroups_of_either_version() {
        let files = |cgroup| {
            let files = limit_files(cgroup).into_iter();
            files.map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            files("0::/a.slice/b\n"),
            [
                "/sys/fs/cgroup/a.slice/b/memory.max",
                "/sys/fs/cgroup/a.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            files("12:cpu,cpuacct:/x\n5:memory:/docker/1:2\n"),
            [
                "/sys/fs/cgroup/memory/docker/1:2/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert_eq!(files("nonsense\n"), Vec::<String>::new());
    }

    #[test]
    fn the_default_is_a_quarter_of_the_smallest_limit_within_bounds() {
        let machine = machine_bytes("MemTotal:       16319088 kB\nMemFree: 1 kB\n");
        assert_eq!(machine, Some(16_319_088 * 1024));
        assert_eq!(share([256 * MIB].into_iter().chain(machine)), 64 * MIB as usize);
        assert_eq!(share(machine.into_iter()), 1024 * MIB as usize);
        assert_eq!(share([MIB].into_iter()), 16 * MIB as usize);
        assert_eq!(share([].into_iter()), 1024 * MIB as usize);
        assert_eq!(machine_bytes(""), None);
    }
}
