//! Counts of the CPU's own counters, which many virtual machines do not have.

use serde::{Deserialize, Serialize};

/// Why the counters cannot be read; none for those that can.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct CounterAccess {
    /// Reason for user space.
    pub user_refused: Option<String>,
    /// Reason for the kernel.
    pub kernel_refused: Option<String>,
}

/// Events of a server's processes during a load of its own behind the slice.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct HardwareCounts {
    /// Requests that were answered meanwhile.
    pub requests: u64,
    /// Events in user space; none if they were not counted.
    pub user: Option<HardwareEvents>,
    /// Events in the kernel; none if they were not counted.
    pub kernel: Option<HardwareEvents>,
}

/// Events as the CPU counts them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct HardwareEvents {
    /// Cycles of the CPU's clock.
    pub cycles: u64,
    /// Instructions that were retired.
    pub instructions: u64,
}
