//! Estimates from starts: each start of the servers gives one cost for each server.
//!
//! The start is the unit of sampling. Two slices of one start share where the
//! process's code and memory lie, so they do not count as two observations.
//!
//! One estimator makes all figures of a regime, so that they fit together. For each
//! server it takes the logarithm of the cost's ratio to the reference, start by start,
//! and the trimmed mean of these. A server's cost is the reference's cost times that
//! ratio. A difference of two costs, or a sum of differences, follows from these costs,
//! and therefore adds up.
//!
//! Intervals are Student's t on the winsorized values (J. W. Tukey and D. H. McLaughlin,
//! 1963). [`super::coverage`] checks by simulation that they hold the true value as
//! often as they say.

use super::{Estimate, Interval};

/// Share of the starts that is trimmed at each end. A shared machine preempts up to a
/// tenth of the slices, in either part of a ratio.
const TRIMMED: f64 = 0.2;

/// Fewer starts are not trimmed: nothing would be left to tell their spread from.
const TRIM_FROM: usize = 10;

/// Part of the estimated correlation of neighboring starts that widens an interval. A
/// machine keeps its state for seconds, so neighbors are alike. All of the estimate, which
/// is mostly chance with 25 starts, would make every interval too wide.
const CORRELATION_KEPT: f64 = 0.5;

/// A larger correlation is chance.
const CORRELATION_MAX: f64 = 0.5;

/// Fewer starts give no interval.
pub const STARTS_MIN: usize = 4;

/// A trimmed mean with the influence of each start on it.
#[derive(Clone, Debug)]
struct Center {
    mean: f64,
    /// One value a start; they add up to about 0.
    influences: Vec<f64>,
    freedom: usize,
}

/// Costs of several servers in the same starts.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    keys: Vec<String>,
    reference: usize,
    /// The reference's costs; for each other server its ratios to them. In logarithms.
    centers: Vec<Option<Center>>,
}

impl Costs {
    /// Makes estimates from `costs`: a key, and its cost in each start. All servers have
    /// the same number of starts. Returns none without a cost of `reference`.
    pub fn of(costs: &[(String, Vec<f64>)], reference: &str) -> Option<Self> {
        let at = costs.iter().position(|(key, _)| key == reference)?;
        let logs = |costs: &[f64]| costs.iter().map(|cost| cost.ln()).collect::<Vec<_>>();
        let base = logs(&costs[at].1);
        let centers = costs.iter().enumerate().map(|(place, (_, costs))| {
            let logs = logs(costs);
            let values: Vec<f64> = match place == at {
                true => logs,
                false => logs.iter().zip(&base).map(|(log, base)| log - base).collect(),
            };
            Center::of(&values)
        });
        let keys = costs.iter().map(|(key, _)| key.clone()).collect();
        Some(Self { keys, reference: at, centers: centers.collect() })
    }

    /// Returns the number of starts.
    pub fn starts(&self) -> usize {
        let center = self.centers.iter().flatten().next();
        center.map_or(0, |center| center.influences.len())
    }

    /// Returns the cost of one server.
    pub fn cost(&self, key: &str) -> Option<Estimate> {
        self.sum(&[(1.0, key)])
    }

    /// Returns the cost of `above` in ratio to the cost of `below`.
    pub fn ratio(&self, above: &str, below: &str) -> Option<Estimate> {
        let (above, below) = (self.log_to_reference(above)?, self.log_to_reference(below)?);
        let difference = combine(&[(1.0, &above), (-1.0, &below)]);
        Some(difference.estimate().map(f64::exp))
    }

    /// Returns a sum of costs, each times its factor. With factors 1 and -1 it is what
    /// one server costs more than another one.
    pub fn sum(&self, terms: &[(f64, &str)]) -> Option<Estimate> {
        let base = self.centers.get(self.reference)?.as_ref()?;
        let mut value = 0.0;
        let mut parts = Vec::new();
        for &(factor, key) in terms {
            let to_reference = self.log_to_reference(key)?;
            let cost = (base.mean + to_reference.mean).exp();
            value += factor * cost;
            parts.push((factor * cost, to_reference));
        }
        let references = parts.iter().map(|(weight, _)| weight).sum();
        let mut weighted: Vec<(f64, &Center)> = parts.iter().map(|(w, c)| (*w, c)).collect();
        weighted.push((references, base));
        let spread = combine(&weighted);
        Some(Center { mean: value, ..spread }.estimate())
    }

    /// Returns the logarithm of the ratio to the reference, which is 0 for itself.
    fn log_to_reference(&self, key: &str) -> Option<Center> {
        let at = self.keys.iter().position(|other| other == key)?;
        let center = self.centers[at].as_ref()?;
        if at == self.reference {
            let influences = vec![0.0; center.influences.len()];
            return Some(Center { mean: 0.0, influences, freedom: center.freedom });
        }
        Some(center.clone())
    }
}

impl Center {
    /// None without values.
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let count = values.len();
        let trimmed = if count < TRIM_FROM { 0 } else { (TRIMMED * count as f64) as usize };
        let kept = sorted.get(trimmed..count - trimmed).filter(|kept| !kept.is_empty())?;
        let (low, high) = (kept[0], kept[kept.len() - 1]);
        let mean = kept.iter().sum::<f64>() / kept.len() as f64;
        // The mean of the winsorized values is not quite the trimmed mean.
        let winsorized: Vec<f64> = values.iter().map(|value| value.clamp(low, high)).collect();
        let middle = winsorized.iter().sum::<f64>() / count as f64;
        let kept_share = kept.len() as f64 / count as f64;
        let influences = winsorized.iter().map(|value| (value - middle) / kept_share).collect();
        Some(Self { mean, influences, freedom: kept.len() - 1 })
    }

    fn estimate(&self) -> Estimate {
        let count = self.influences.len();
        if count < STARTS_MIN {
            return Estimate { value: self.mean, interval: None };
        }
        let middle = self.influences.iter().sum::<f64>() / count as f64;
        let squares: f64 = self.influences.iter().map(|value| (value - middle).powi(2)).sum();
        let products =
            self.influences.windows(2).map(|pair| (pair[0] - middle) * (pair[1] - middle));
        let correlation = products.sum::<f64>() / squares.max(f64::MIN_POSITIVE);
        // The estimate is 1/n too low, because the mean was taken from the same values.
        let correlation = (correlation + 1.0 / count as f64).clamp(0.0, CORRELATION_MAX);
        let kept = CORRELATION_KEPT * correlation;
        let variance = squares / (count - 1) as f64 * (1.0 + kept) / (1.0 - kept);
        let error = (variance / count as f64).sqrt();
        let half = student_t(self.freedom) * error;
        let interval = Some(Interval { low: self.mean - half, high: self.mean + half });
        Estimate { value: self.mean, interval }
    }
}

/// A weighted sum, start by start.
fn combine(terms: &[(f64, &Center)]) -> Center {
    let starts = terms.iter().map(|(_, center)| center.influences.len()).min().unwrap_or(0);
    let sum = |of: &dyn Fn(&Center) -> f64| terms.iter().map(|(weight, c)| weight * of(c)).sum();
    Center {
        mean: sum(&|center| center.mean),
        influences: (0..starts).map(|at| sum(&|center| center.influences[at])).collect(),
        freedom: terms.iter().map(|(_, center)| center.freedom).min().unwrap_or(0),
    }
}

/// Returns the level of values that are above 0: one for each start, infinite if it is
/// not known how large it is. None if more than the trimmed ones are infinite.
pub fn level(values: &[f64]) -> Option<Estimate> {
    let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let center = Center::of(&logs).filter(|center| center.mean.is_finite())?;
    Some(center.estimate().map(f64::exp))
}

/// Returns the plain mean of values that may be 0 or less, one for each start: clock ticks in a slice
/// are few, so that neither their logarithm nor their trimmed mean is of use. None without values.
pub fn mean(values: &[f64]) -> Option<Estimate> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let influences: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let freedom = values.len().checked_sub(1)?;
    Some(Center { mean, influences, freedom }.estimate())
}

/// Returns the 97.5 % quantile of Student's t.
pub fn student_t(freedom: usize) -> f64 {
    const EXACT: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    const NORMAL: f64 = 1.959_964;
    if let Some(exact) = freedom.checked_sub(1).and_then(|at| EXACT.get(at)) {
        return *exact;
    }
    let (z, n) = (NORMAL, freedom.max(1) as f64);
    // Fisher's expansion has an error below 0.001 from ten degrees on.
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / n + second / n.powi(2) + third / n.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(servers: &[(&str, &[f64])]) -> Costs {
        let costs: Vec<_> =
            servers.iter().map(|(key, of)| (key.to_string(), of.to_vec())).collect();
        Costs::of(&costs, servers[0].0).unwrap()
    }

    const PLAIN: [f64; 6] = [100.0, 101.0, 99.0, 102.0, 98.0, 100.0];
    const MORE: [f64; 6] = [121.0, 120.0, 119.0, 122.0, 118.0, 124.0];
    const MOST: [f64; 6] = [150.0, 151.0, 152.0, 149.0, 148.0, 153.0];

    #[test]
    fn costs_ratios_and_differences_fit_together() {
        let costs = costs(&[("a", &PLAIN), ("b", &MORE), ("c", &MOST)]);
        let cost = |key| costs.cost(key).unwrap().value;
        let added = |above, below| costs.sum(&[(1.0, above), (-1.0, below)]).unwrap().value;
        assert!((added("b", "a") + added("c", "b") - added("c", "a")).abs() < 1e-9);
        assert!((added("c", "b") - (cost("c") - cost("b"))).abs() < 1e-9);
        let ratio = costs.ratio("c", "b").unwrap().value;
        assert!((ratio - cost("c") / cost("b")).abs() < 1e-9);
        assert_eq!(costs.ratio("a", "a").unwrap().value, 1.0);
        assert!(costs.ratio("a", "nobody").is_none());
    }

    #[test]
    fn a_factor_that_all_servers_share_is_in_no_interval_of_a_ratio() {
        let calm = costs(&[("a", &PLAIN), ("b", &MORE)]).ratio("b", "a").unwrap();
        let state = [1.0, 3.0, 1.0, 3.0, 1.0, 3.0];
        let by = |of: &[f64; 6]| of.iter().zip(state).map(|(cost, s)| cost * s).collect::<Vec<_>>();
        let (plain, more) = (by(&PLAIN), by(&MORE));
        let stormy = costs(&[("a", &plain), ("b", &more)]).ratio("b", "a").unwrap();
        let (calm, stormy) = (calm.interval.unwrap(), stormy.interval.unwrap());
        assert!((calm.low - stormy.low).abs() < 1e-9 && (calm.high - stormy.high).abs() < 1e-9);
    }

    #[test]
    fn one_wild_start_of_many_moves_neither_value_nor_interval_far() {
        let plain = vec![100.0; 20];
        let mut more: Vec<f64> = (0..20).map(|at| 120.0 + f64::from(at % 3)).collect();
        let before = costs(&[("a", &plain), ("b", &more)]).ratio("b", "a").unwrap();
        more[7] = 5000.0;
        let after = costs(&[("a", &plain), ("b", &more)]).ratio("b", "a").unwrap();
        assert!((before.value - after.value).abs() < 0.003, "{before:?} {after:?}");
        assert!(after.interval.unwrap().high < 1.23, "{after:?}");
    }

    #[test]
    fn a_level_holds_as_long_as_the_unknown_values_are_trimmed() {
        let mut values: Vec<f64> = (0..20).map(|at| 100.0 + f64::from(at % 3)).collect();
        values[3] = f64::INFINITY;
        let level_of_most = level(&values).unwrap();
        assert!((level_of_most.value - 101.0).abs() < 0.5, "{level_of_most:?}");
        values[5..12].fill(f64::INFINITY);
        assert!(level(&values).is_none());
        assert!(level(&[]).is_none());
    }

    #[test]
    fn a_mean_is_not_biased_by_ticks_that_are_mostly_0() {
        // One tick of 10 in every fourth start.
        let values: Vec<f64> = (0..20).map(|at| if at % 4 == 0 { 10.0 } else { 0.0 }).collect();
        let Estimate { value, interval } = mean(&values).unwrap();
        assert_eq!(value, 2.5);
        let Interval { low, high } = interval.unwrap();
        // Student's t with 19 degrees of freedom times 4.443 / √20.
        assert!((high - 4.579).abs() < 0.01 && (low - 0.421).abs() < 0.01, "{low} {high}");
        assert!(mean(&[]).is_none());
        assert_eq!(mean(&[1.0]).unwrap().interval, None);
    }

    #[test]
    fn few_starts_have_no_interval() {
        let few = costs(&[("a", &PLAIN[..3]), ("b", &MORE[..3])]);
        assert_eq!(few.ratio("b", "a").unwrap().interval, None);
        let enough = costs(&[("a", &PLAIN[..4]), ("b", &MORE[..4])]);
        assert!(enough.ratio("b", "a").unwrap().interval.is_some());
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, quantile) in [(1, 12.706), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)]
        {
            assert!((student_t(freedom) - quantile).abs() < 0.001, "{freedom}");
        }
    }
}
