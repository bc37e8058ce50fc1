//! The interface to the kernel, {epoll, io_uring} x {the floor, our core}: the cost of each.

use crate::stats::Estimate;
use crate::studies::ladder::figures::RegimeFigures;

use super::square;

/// Servers on epoll: the floor, and pinloop's core.
pub const ON_EPOLL: [&str; 2] = ["floor", "pinloop"];

/// The same on io_uring.
pub const ON_URING: [&str; 2] = ["floor_on_uring", "pinloop_on_uring"];

/// Figures of the interfaces in one regime. Costs are CPU time per request in ns.
#[derive(Clone, Debug)]
pub struct InterfaceFigures {
    /// pinloop's core.
    pub core: Step,
    /// The floor; none without figures of both floors.
    pub floor: Option<Step>,
    /// Equal servers differ by up to this; none without the A/A pair.
    noise_ns: Option<f64>,
}

/// From epoll to io_uring.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Cost on epoll.
    pub epoll: f64,
    /// Cost on io_uring.
    pub uring: f64,
    /// Cost that io_uring adds, which is below zero if it is cheaper.
    pub added: Estimate,
}

impl InterfaceFigures {
    /// Reports whether equal servers may differ by this difference.
    pub fn is_noise(&self, difference: Estimate) -> bool {
        square::is_noise(difference, self.noise_ns)
    }
}

/// Returns none without figures of pinloop's core on both.
pub fn of(figures: &RegimeFigures) -> Option<InterfaceFigures> {
    let cost = |key: &str| figures.of(key).map(|figures| figures.cpu_ns);
    let step = |epoll: &str, uring: &str| {
        let added = figures.costs.sum(&[(1.0, uring), (-1.0, epoll)])?;
        Some(Step { epoll: cost(epoll)?, uring: cost(uring)?, added })
    };
    let [floor, core] = [0, 1].map(|at| step(ON_EPOLL[at], ON_URING[at]));
    let core = core?;
    let noise_ns = figures.same_band.map(|band| (band.high - 1.0) * core.epoll);
    Some(InterfaceFigures { core, floor, noise_ns })
}
