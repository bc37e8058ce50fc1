//! The difference that remains when requests take work.

use serde::{Deserialize, Serialize};

use crate::results::{Machines, OnMachines, Regime};

/// The study `work`: two servers, the same work, more and more of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Work {
    /// Seconds since the Unix epoch at the start.
    pub started_unix_s: u64,
    /// True if all that was planned has been measured.
    pub complete: bool,
    /// Other machines of the study.
    #[serde(flatten)]
    pub machines: Machines,
    /// Key of the contender that the other is held against.
    pub base: String,
    /// Key of the other.
    pub over: String,
    /// Key of the first one's second process, for A/A.
    pub again: String,
    /// Length of one slice, in milliseconds.
    pub slice_ms: u64,
    /// Points by rounds, ascending, from 0 on.
    pub points: Vec<WorkPoint>,
}

impl OnMachines for Work {
    fn machines(&self) -> Option<&Machines> {
        Some(&self.machines)
    }
}

/// One amount of work.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct WorkPoint {
    /// Rounds of the work function for one `GET /data`.
    pub rounds: u32,
    /// Blocks as in the ladder, without latencies.
    pub regime: Regime,
}
