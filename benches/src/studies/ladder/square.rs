//! The square of {our core, hyper} x {mio, Tokio}: what each of the two costs,
//! with and without the other.

use crate::results::{Regime, Results, Square};
use crate::stats;
use crate::stats::Estimate;
use crate::studies::ladder::disturbance;
use crate::studies::ladder::figures;
use crate::studies::ladder::figures::RegimeFigures;

/// Figures of the square in one regime. Costs are CPU time per request in ns.
#[derive(Clone, Debug)]
pub struct SquareFigures {
    /// Who stands at its corners.
    pub corners: Square,
    /// Our core on mio.
    pub plain: f64,
    /// Our core on Tokio.
    pub tokio: f64,
    /// hyper on mio.
    pub hyper: f64,
    /// hyper on Tokio.
    pub both: f64,
    /// What Tokio adds to our core.
    pub tokio_to_core: Estimate,
    /// What Tokio adds to hyper.
    pub tokio_to_hyper: Estimate,
    /// What hyper adds on mio.
    pub hyper_on_mio: Estimate,
    /// What hyper adds on Tokio.
    pub hyper_on_tokio: Estimate,
    /// What the two cost together beyond the sum of what each costs alone.
    pub interaction: Estimate,
    /// Equal servers differ by up to this; none without the A/A pair.
    pub noise_ns: Option<f64>,
}

impl SquareFigures {
    /// Whether equal servers may differ by as much here.
    pub fn is_noise(&self, difference: Estimate) -> bool {
        match (difference.interval, self.noise_ns) {
            (Some(interval), Some(noise)) => interval.low <= noise && interval.high >= -noise,
            _ => true,
        }
    }
}

/// None where not all four corners have figures.
///
/// Differences are taken within blocks, as parts of the plain corner's cost in
/// the same block, so that what disturbs a whole block is in none of them; then
/// they are given in its median.
pub fn of(results: &Results, regime: &Regime, figures: &RegimeFigures) -> Option<SquareFigures> {
    let corners = results.square.clone()?;
    let cost = |key: &str| figures.of(key).map(|figures| figures.cpu_ns);
    let plain = cost(&corners.plain)?;
    let parts: Vec<Vec<[f64; 3]>> =
        figures::by_pass(&disturbance::sift(results, regime), |block| {
            let of = |key: &str| figures::cpu_ns_in(block, key);
            let plain = of(&corners.plain)?;
            let others = [of(&corners.tokio)?, of(&corners.hyper)?, of(&corners.both)?];
            Some(others.map(|other| other / plain))
        });
    let estimate = |part: &dyn Fn(&[f64; 3]) -> f64| {
        let in_pass = |blocks: &Vec<[f64; 3]>| blocks.iter().map(|of| part(of) * plain).collect();
        stats::estimate_in(&parts.iter().map(in_pass).collect::<Vec<_>>())
    };
    Some(SquareFigures {
        plain,
        tokio: cost(&corners.tokio)?,
        hyper: cost(&corners.hyper)?,
        both: cost(&corners.both)?,
        tokio_to_core: estimate(&|[tokio, _, _]| tokio - 1.0),
        tokio_to_hyper: estimate(&|[_, hyper, both]| both - hyper),
        hyper_on_mio: estimate(&|[_, hyper, _]| hyper - 1.0),
        hyper_on_tokio: estimate(&|[tokio, _, both]| both - tokio),
        interaction: estimate(&|[tokio, hyper, both]| both - hyper - tokio + 1.0),
        noise_ns: figures.same_band.map(|band| (band.high - 1.0) * plain),
        corners,
    })
}
