//! Claims about the figures, for a machine to check: `pinloop.cpu_ns < 0.9 *
//! hyper_per_core.cpu_ns`.
//!
//! A claim holds if the whole interval does, and not only the point: what noise may
//! have made is not asserted.

use std::fmt;
use std::str::FromStr;

use crate::report::units::interval;
use crate::results::{Regime, Results, Sample};
use crate::stats::Estimate;
use crate::studies::ladder::figures;
use crate::studies::ladder::figures::RegimeFigures;

/// A claim, as it was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    /// Key of the regime; the first one if it isn't said.
    regime: Option<String>,
    left: Quantity,
    less: bool,
    factor: f64,
    /// None where the left side is claimed to be less or more than a number.
    right: Option<Quantity>,
}

/// Outcome of a claim, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// True if it holds.
    pub holds: bool,
    /// Why, and by how much.
    pub sentence: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Quantity {
    contender: String,
    metric: Metric,
}

/// Quantity that a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    CpuNs,
    RequestsPerS,
    P50Ns,
    P99Ns,
}

const METRICS: [(&str, Metric); 4] = [
    ("cpu_ns", Metric::CpuNs),
    ("requests_per_s", Metric::RequestsPerS),
    ("p50_ns", Metric::P50Ns),
    ("p99_ns", Metric::P99Ns),
];

impl Assertion {
    /// Checks the claim.
    pub fn check(&self, results: &Results) -> Outcome {
        match self.estimate(results) {
            Ok(estimate) => self.judge(estimate),
            Err(reason) => Outcome { holds: false, sentence: format!("'{self}' fails: {reason}.") },
        }
    }

    /// Estimates the left side, in ratio to the right side unless that is a number.
    fn estimate(&self, results: &Results) -> Result<Estimate, String> {
        let regime = match &self.regime {
            Some(key) => results.regimes.iter().find(|regime| regime.key == *key),
            None => results.regimes.first(),
        };
        let regime = regime.ok_or_else(|| no_regime(results, self.regime.as_deref()))?;
        for quantity in [Some(&self.left), self.right.as_ref()].into_iter().flatten() {
            quantity.must_have_figures(results, regime)?;
        }
        let costs = figures::estimate(results, regime, &|sample| self.left.metric.of(sample));
        let left = &self.left.contender;
        let known = match &self.right {
            Some(right) => costs.ratio(left, &right.contender),
            None => costs.cost(left),
        };
        known.ok_or_else(|| format!("there are no figures of {left}"))
    }

    fn judge(&self, Estimate { value, interval: bounds }: Estimate) -> Outcome {
        let Some(bounds) = bounds else {
            let sentence = format!("'{self}' fails: there are too few starts for an interval.");
            return Outcome { holds: false, sentence };
        };
        let (bound, name) = if self.less { (bounds.high, "upper") } else { (bounds.low, "lower") };
        let holds = if self.less { bound < self.factor } else { bound > self.factor };
        let off = (bound / self.factor - 1.0).abs() * 100.0;
        let what = if self.right.is_some() { "the ratio" } else { "it" };
        let (what, spread) = match self.right {
            Some(_) => (format!("{what} is {value:.3}"), interval(bounds)),
            None => {
                (format!("{what} is {value:.0}"), format!("{:.0}–{:.0}", bounds.low, bounds.high))
            }
        };
        let side = if bound > self.factor { "above" } else { "below" };
        let verb = if holds { "holds" } else { "fails" };
        let factor = self.factor;
        Outcome {
            holds,
            sentence: format!(
                "'{self}' {verb}: {what} [{spread}], and the {name} bound lies {off:.1} % {side} \
                 {factor}."
            ),
        }
    }
}

impl Quantity {
    fn must_have_figures(&self, results: &Results, regime: &Regime) -> Result<(), String> {
        let name = &self.contender;
        if results.contenders.iter().all(|contender| contender.key != *name) {
            let names: Vec<&str> = results.contenders.iter().map(|of| of.key.as_str()).collect();
            return Err(format!("there is no {name:?}; there are {}", names.join(", ")));
        }
        let figures: Vec<RegimeFigures> = figures::of(results);
        let figures = figures.iter().find(|figures| figures.key == regime.key);
        if figures.and_then(|figures| figures.of(name)).is_none() {
            return Err(format!("{name} has no figures for '{}'", regime.title));
        }
        Ok(())
    }
}

impl Metric {
    /// In one slice.
    fn of(self, sample: &Sample) -> Option<f64> {
        let percentile = |share| {
            Some(figures::percentile(sample, share)).filter(|percentile| percentile.is_finite())
        };
        match self {
            Self::CpuNs => Some(sample.cpu_ns as f64 / sample.requests as f64),
            Self::RequestsPerS => Some(sample.requests as f64 / sample.elapsed_ns as f64 * 1e9),
            Self::P50Ns => percentile(0.50),
            Self::P99Ns => percentile(0.99),
        }
    }
}

fn no_regime(results: &Results, wanted: Option<&str>) -> String {
    let keys: Vec<&str> = results.regimes.iter().map(|regime| regime.key.as_str()).collect();
    match wanted {
        Some(wanted) => format!("there is no regime {wanted:?}; there are {}", keys.join(", ")),
        None => "nothing was measured".to_string(),
    }
}

impl FromStr for Assertion {
    type Err = String;

    /// `[REGIME:] NAME.METRIC < [FACTOR *] NAME.METRIC`, or `… < NUMBER`; also `>`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (regime, claim) = match text.split_once(':') {
            Some((regime, claim)) => (Some(regime.trim().to_string()), claim),
            None => (None, text),
        };
        let (less, sides) = match (claim.split_once('<'), claim.split_once('>')) {
            (Some(sides), None) => (true, sides),
            (None, Some(sides)) => (false, sides),
            _ => {
                return Err("expected one '<' or '>', as in pinloop.cpu_ns < 0.9 * \
                            hyper_per_core.cpu_ns"
                    .to_string());
            }
        };
        let left = quantity(sides.0)?;
        let (factor, right) = match (sides.1.split_once('*'), number(sides.1)) {
            (Some((factor, right)), _) => {
                let factor = number(factor);
                let factor = factor.ok_or_else(|| format!("{:?} is no number", sides.1.trim()))?;
                (factor, Some(quantity(right)?))
            }
            (None, Some(constant)) => (constant, None),
            (None, None) => (1.0, Some(quantity(sides.1)?)),
        };
        Ok(Self { text: text.trim().to_string(), regime, left, less, factor, right })
    }
}

fn quantity(text: &str) -> Result<Quantity, String> {
    let metrics = METRICS.map(|(name, _)| name).join(", ");
    let expected = || format!("{:?} is not NAME.METRIC, where METRIC is of {metrics}", text.trim());
    let (contender, metric) = text.trim().rsplit_once('.').ok_or_else(expected)?;
    let metric = METRICS.iter().find(|(name, _)| *name == metric).ok_or_else(expected)?.1;
    Ok(Quantity { contender: contender.to_string(), metric })
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read() {
        let claim: Assertion =
            "pipelined: pinloop.cpu_ns < 0.9 * hyper_per_core.cpu_ns".parse().unwrap();
        assert_eq!(claim.regime.as_deref(), Some("pipelined"));
        assert_eq!((claim.less, claim.factor), (true, 0.9));
        assert_eq!(claim.left.contender, "pinloop");
        assert_eq!(claim.right.unwrap().contender, "hyper_per_core");

        let claim: Assertion = "a.requests_per_s > b.requests_per_s".parse().unwrap();
        assert_eq!((claim.less, claim.factor), (false, 1.0));
        let claim: Assertion = "a.p99_ns < 2e6".parse().unwrap();
        assert_eq!((claim.factor, claim.right), (2e6, None));
    }

    #[test]
    fn what_is_no_claim_is_refused() {
        for text in [
            "",
            "a.cpu_ns",
            "a.cpu_ns < b.cpu_ns < c.cpu_ns > d.cpu_ns",
            "a.cpu < b.cpu_ns",
            "cpu_ns < 3",
            "a.cpu_ns < x * b.cpu_ns",
            "a.cpu_ns < -1",
        ] {
            assert!(text.parse::<Assertion>().is_err(), "{text}");
        }
    }
}
