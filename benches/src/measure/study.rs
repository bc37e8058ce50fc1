//! Where a study beside the ladder puts its results.

use std::io;
use std::path::Path;

use super::ladder::{self, Plan};
use crate::results::{Contender, Machine, Results};

/// The file at `path` as far as it was measured here, or a new one: one report
/// then has all that was measured. The ladder begins a new file.
pub fn open(plan: &Plan, contenders: Vec<Contender>, path: &Path) -> io::Result<Results> {
    let mut fresh = ladder::begin(plan, contenders)?;
    fresh.complete = true;
    Ok(match Results::read(path) {
        Ok(there) if is_of_here(&there, &fresh) => there,
        _ => fresh,
    })
}

/// Whether figures of both may stand on one page.
fn is_of_here(there: &Results, fresh: &Results) -> bool {
    let same = |machine: &Machine| {
        (machine.cpu.clone(), machine.cores.clone(), machine.kernel.clone(), machine.memory_bytes)
    };
    same(&there.machine) == same(&fresh.machine) && there.optimized == fresh.optimized
}
