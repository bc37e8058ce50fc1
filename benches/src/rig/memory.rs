//! Memory of a server, and the kernel's for sockets.

use std::{fs, io};

use serde::{Deserialize, Serialize};

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

/// Memory in use at one moment.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct MemoryUse {
    /// Resident set of the server, in bytes.
    pub rss_bytes: u64,
    /// Name and bytes in use of each cache of the kernel's that sockets take objects of; none where
    /// only the superuser may know.
    pub kernel: Option<Vec<(String, u64)>>,
}

impl MemoryUse {
    /// Reads that of the process `id`.
    pub fn of(id: u32) -> io::Result<Self> {
        Ok(Self { rss_bytes: rss_bytes(id)?, kernel: slabs() })
    }

    /// Returns the bytes of all caches together.
    pub fn kernel_bytes(&self) -> Option<u64> {
        self.kernel.as_ref().map(|caches| caches.iter().map(|(_, bytes)| bytes).sum())
    }
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
