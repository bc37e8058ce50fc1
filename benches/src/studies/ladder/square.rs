//! The square of {our core, hyper} x {mio, Tokio}: what each of the two costs,
//! with and without the other.

use crate::results::{Results, Square};
use crate::stats::Estimate;
use crate::studies::ladder::figures::RegimeFigures;

/// Figures of the square in one regime. Costs are CPU time per request in ns.
#[derive(Clone, Debug)]
pub struct SquareFigures {
    /// Servers at its corners.
    pub corners: Square,
    /// Our core on mio.
    pub plain: f64,
    /// Our core on Tokio.
    pub tokio: f64,
    /// hyper on mio.
    pub hyper: f64,
    /// hyper on Tokio.
    pub both: f64,
    /// Cost that Tokio adds to pinloop's core.
    pub tokio_to_core: Estimate,
    /// Cost that Tokio adds to hyper.
    pub tokio_to_hyper: Estimate,
    /// Cost that hyper adds on mio.
    pub hyper_on_mio: Estimate,
    /// Cost that hyper adds on Tokio.
    pub hyper_on_tokio: Estimate,
    /// Cost of both beyond the sum of the costs of each.
    pub interaction: Estimate,
    /// Equal servers differ by up to this; none without the A/A pair.
    pub noise_ns: Option<f64>,
}

impl SquareFigures {
    /// Reports whether equal servers may differ by this difference.
    pub fn is_noise(&self, difference: Estimate) -> bool {
        is_noise(difference, self.noise_ns)
    }
}

/// Reports whether a difference is within the noise, which is so without a known one.
pub(super) fn is_noise(difference: Estimate, noise_ns: Option<f64>) -> bool {
    match (difference.interval, noise_ns) {
        (Some(interval), Some(noise)) => interval.low <= noise && interval.high >= -noise,
        _ => true,
    }
}

/// Returns none if one of the four corners has no figures.
pub fn of(results: &Results, figures: &RegimeFigures) -> Option<SquareFigures> {
    let corners = results.square.clone()?;
    let Square { plain, tokio, hyper, both } = &corners;
    let cost = |key: &str| figures.of(key).map(|figures| figures.cpu_ns);
    let sum = |terms: &[(f64, &str)]| figures.costs.sum(terms);
    let more = |above: &str, below: &str| sum(&[(1.0, above), (-1.0, below)]);
    Some(SquareFigures {
        plain: cost(plain)?,
        tokio: cost(tokio)?,
        hyper: cost(hyper)?,
        both: cost(both)?,
        tokio_to_core: more(tokio, plain)?,
        tokio_to_hyper: more(both, hyper)?,
        hyper_on_mio: more(hyper, plain)?,
        hyper_on_tokio: more(both, tokio)?,
        interaction: sum(&[(1.0, both), (-1.0, hyper), (-1.0, tokio), (1.0, plain)])?,
        noise_ns: figures.same_band.zip(cost(plain)).map(|(band, ns)| (band.high - 1.0) * ns),
        corners,
    })
}
