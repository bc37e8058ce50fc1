//! What a server uses while it is loaded.

use std::io;
use std::thread;
use std::time::Duration;

use crate::load::Outcome;
use crate::rig::process::Process;
use crate::rig::usage;
use crate::rig::usage::{Usage, Used};

/// How long a server may take to fall asleep after its last answer, until its
/// usage is read all the same.
const SETTLE_CHECKS: u32 = 50;

/// Between two looks at whether it sleeps.
const SETTLE: Duration = Duration::from_micros(200);

/// Of a server, in the time of one load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// By its threads.
    pub used: Used,
    /// Clock ticks that the hypervisor took from its CPUs.
    pub steal_ticks: u64,
}

/// Reads what `process`, on `cores`, used while `load` loaded it. The errors are
/// sentences for people; a server that has ended explains whatever else went
/// wrong.
pub fn metered<T>(
    process: &mut Process,
    cores: &[usize],
    load: impl FnOnce() -> Result<T, String>,
) -> Result<(T, Reading), String> {
    let taken = take(process.id(), cores, load);
    process.check().map_err(|ended| ended.to_string())?;
    taken
}

/// A run with errors or without an answer is no figure.
pub fn judge(outcome: &Outcome) -> Result<(), String> {
    let errors = outcome.errors.total();
    if errors > 0 {
        let first = outcome.first_error.as_deref().unwrap_or("of an unknown kind");
        return Err(format!("{errors} errors beside {} answers; {first}", outcome.requests));
    }
    if outcome.requests == 0 {
        return Err("it answered nothing".to_string());
    }
    Ok(())
}

fn take<T>(
    id: u32,
    cores: &[usize],
    load: impl FnOnce() -> Result<T, String>,
) -> Result<(T, Reading), String> {
    let unreadable = |error: io::Error| format!("its usage cannot be read: {error}");
    let steal_before = usage::steal_ticks(cores).map_err(unreadable)?;
    let before = Usage::of(id).map_err(unreadable)?;
    let loaded = load()?;
    fall_asleep(id).map_err(unreadable)?;
    let used = Usage::of(id).and_then(|now| now.since(&before)).map_err(unreadable)?;
    let steal_after = usage::steal_ticks(cores).map_err(unreadable)?;
    Ok((loaded, Reading { used, steal_ticks: steal_after.saturating_sub(steal_before) }))
}

/// Waits until the kernel has booked all of the server's time: when it sleeps.
pub(crate) fn fall_asleep(id: u32) -> io::Result<()> {
    for _ in 0..SETTLE_CHECKS {
        thread::sleep(SETTLE);
        if usage::sleeps(id)? {
            break;
        }
    }
    Ok(())
}
