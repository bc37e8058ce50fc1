//! CPUs: lists of them, and threads pinned to them.

use std::collections::BTreeSet;
use std::io;

/// Number of cores that the kernel's `cpu_set_t` can name; core_affinity panics above it.
const CORES_MAX: usize = 1024;

/// Pins the calling thread to `core`, as numbered by the kernel.
pub fn pin(core: usize) -> io::Result<()> {
    let id = core_affinity::CoreId { id: core };
    if core < CORES_MAX && core_affinity::set_for_current(id) {
        return Ok(());
    }
    let available: Vec<String> = available().iter().map(usize::to_string).collect();
    Err(io::Error::other(format!(
        "core {core} is not available to this thread; available: {}",
        available.join(", ")
    )))
}

/// Returns the cores that the calling thread may use, in ascending order.
pub(super) fn available() -> Vec<usize> {
    let mut cores: Vec<usize> =
        core_affinity::get_core_ids().iter().flatten().map(|core| core.id).collect();
    cores.sort_unstable();
    cores
}

/// Parses CPUs as the kernel and our command line list them: `0,2-3`. Returns `None` for any
/// other text, and for numbers that no CPU can have.
pub fn cpu_list(list: &str) -> Option<Vec<usize>> {
    let mut cores = BTreeSet::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= CORES_MAX {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cpu_lists() {
        assert_eq!(cpu_list("0\n"), Some(vec![0]));
        assert_eq!(cpu_list("0,2-3"), Some(vec![0, 2, 3]));
        assert_eq!(cpu_list("3-2"), None);
        assert_eq!(cpu_list(""), None);
        assert_eq!(cpu_list("0-99999999"), None);
    }
}
