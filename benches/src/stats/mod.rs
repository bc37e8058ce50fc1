//! Medians, their intervals, and what counts as a difference.

pub mod coverage;
pub mod starts;
pub mod usl;

use fastrand::Rng;

/// Fewer values give no interval: of five, even their whole range holds the
/// median of what they are drawn from in only 94 % of cases.
pub const VALUES_MIN: usize = 6;

/// Share of cases in which an interval is meant to hold the true value.
pub const CONFIDENCE: f64 = 0.95;

/// Of the bootstrap: enough that another seed moves a bound by far less than
/// the interval is wide.
const RESAMPLES: usize = 4000;

/// Any seed will do; a fixed one makes a report a function of its file.
pub(crate) const SEED: u64 = 0x0070_696e_6c6f_6f70;

/// From `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

/// A value, and what it may as well be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median.
    pub value: f64,
    /// None with fewer than [`VALUES_MIN`] values.
    pub interval: Option<Interval>,
}

impl Estimate {
    /// Returns the estimate of an increasing function of the same quantity.
    pub fn map(self, of: impl Fn(f64) -> f64) -> Self {
        let interval =
            self.interval.map(|Interval { low, high }| Interval { low: of(low), high: of(high) });
        Self { value: of(self.value), interval }
    }
}

/// What a ratio's interval says, given what the machine makes of two equal
/// servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Surely below the reference.
    Less,
    /// Equal servers differ as much here.
    NoDifference,
    /// Surely above the reference.
    More,
    /// Too few blocks to say.
    Unknown,
}

/// The middle value, or the mean of the two middle ones; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    median_of(&mut values.to_vec())
}

/// The median with its bootstrap percentile interval.
pub fn estimate(values: &[f64]) -> Estimate {
    estimate_in(&[values.to_vec()])
}

/// The median of values that come in clusters, as those of one start of the servers
/// do, with its bootstrap percentile interval: clusters are drawn first, and then
/// values within them, so that an interval holds what differs between starts too.
pub fn estimate_in(clusters: &[Vec<f64>]) -> Estimate {
    let clusters: Vec<&[f64]> =
        clusters.iter().map(Vec::as_slice).filter(|values| !values.is_empty()).collect();
    let values = clusters.concat();
    let value = median(&values);
    if values.len() < VALUES_MIN {
        return Estimate { value, interval: None };
    }
    Estimate { value, interval: Some(bootstrap(&clusters, RESAMPLES)) }
}

/// The median of some values over that of others, which come from another run and so
/// in no pairs; clusters as in [`estimate_in`].
pub fn quotient(above: &[Vec<f64>], below: &[Vec<f64>]) -> Estimate {
    let value = median(&above.concat()) / median(&below.concat());
    if above.concat().len().min(below.concat().len()) < VALUES_MIN {
        return Estimate { value, interval: None };
    }
    let of = |clusters: &[Vec<f64>], seed| {
        let clusters: Vec<&[f64]> = clusters.iter().map(Vec::as_slice).collect();
        medians(&clusters, RESAMPLES, seed)
    };
    // Each by its own seed: the same one would pair them.
    let quotients = of(above, SEED).into_iter().zip(of(below, !SEED)).map(|(a, b)| a / b);
    Estimate { value, interval: Some(middle(quotients.collect())) }
}

/// The band around 1 in which a ratio is no difference: as far as the ratio of
/// the A/A pair may lie from 1, to both sides.
pub fn same_band(a_to_a: Interval) -> Interval {
    let factor = a_to_a.high.max(1.0 / a_to_a.low).max(1.0);
    Interval { low: 1.0 / factor, high: factor }
}

/// Judges a ratio: a difference only where its whole interval lies outside of
/// the band.
pub fn verdict(ratio: Estimate, band: Option<Interval>) -> Verdict {
    match (ratio.interval, band) {
        (Some(ratio), Some(band)) if ratio.low > band.high => Verdict::More,
        (Some(ratio), Some(band)) if ratio.high < band.low => Verdict::Less,
        (Some(_), Some(_)) => Verdict::NoDifference,
        _ => Verdict::Unknown,
    }
}

/// The upper bound of the histogram's bucket below which `share` of the counts
/// lie; none of an empty histogram. `buckets` ascend: upper bound, count.
pub fn percentile(buckets: &[(u64, u64)], share: f64) -> Option<u64> {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    let rank = ((share * total as f64).ceil() as u64).max(1);
    let mut seen = 0;
    for &(upper, count) in buckets {
        seen += count;
        if seen >= rank {
            return Some(upper);
        }
    }
    None
}

/// Where the medians of samples drawn with replacement lie.
fn bootstrap(clusters: &[&[f64]], resamples: usize) -> Interval {
    middle(medians(clusters, resamples, SEED))
}

fn medians(clusters: &[&[f64]], resamples: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::with_seed(seed);
    let mut resample = Vec::new();
    (0..resamples)
        .map(|_| {
            resample.clear();
            for _ in clusters {
                let values = clusters[rng.usize(..clusters.len())];
                resample.extend(values.iter().map(|_| values[rng.usize(..values.len())]));
            }
            median_of(&mut resample)
        })
        .collect()
}

/// The interval that holds [`CONFIDENCE`] of `values`, with as many on either side.
fn middle(mut values: Vec<f64>) -> Interval {
    values.sort_unstable_by(f64::total_cmp);
    let tail = ((1.0 - CONFIDENCE) / 2.0 * values.len() as f64) as usize;
    Interval { low: values[tail], high: values[values.len() - 1 - tail] }
}

fn median_of(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let (middle, is_even) = (values.len() / 2, values.len().is_multiple_of(2));
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if is_even {
        let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        f64::midpoint(lower, upper)
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[5.0]), 5.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn one_wild_value_moves_neither_median_nor_interval_far() {
        let mut values = vec![1.2; 20];
        values[7] = 40.0;
        let estimate = estimate(&values);
        assert_eq!(estimate.value, 1.2);
        assert_eq!(estimate.interval, Some(Interval { low: 1.2, high: 1.2 }));
    }

    #[test]
    fn few_values_have_no_interval() {
        assert_eq!(estimate(&[1.0; VALUES_MIN - 1]).interval, None);
        assert!(estimate(&[1.0; VALUES_MIN]).interval.is_some());
    }

    #[test]
    fn an_estimate_is_a_function_of_its_values() {
        let values: Vec<f64> = (0..30).map(|i| 1.0 + f64::from(i * 7 % 30) / 100.0).collect();
        assert_eq!(estimate(&values), estimate(&values));
        let interval = estimate(&values).interval.unwrap();
        assert!(interval.low < 1.145 && 1.145 < interval.high, "{interval:?}");
        assert!(interval.low > 1.0 && interval.high < 1.29, "{interval:?}");
    }

    /// The statistics of the ladder on made-up noise with a known middle: heavy
    /// tails, as a shared machine has them.
    #[test]
    fn intervals_hold_the_true_ratio_as_often_as_they_say() {
        const TRUE_RATIO: f64 = 1.25;
        let mut rng = Rng::with_seed(42);
        let mut noise = || {
            let bump = if rng.f64() < 0.1 { 1.3 } else { 1.0 };
            (1.0 + 0.05 * (rng.f64() + rng.f64() + rng.f64() - 1.5)) * bump
        };
        let runs = 400;
        let mut held = 0;
        for _ in 0..runs {
            let ratios: Vec<f64> = (0..25).map(|_| TRUE_RATIO * noise() / noise()).collect();
            let interval = bootstrap(&[&ratios], 400);
            held += usize::from(interval.low <= TRUE_RATIO && TRUE_RATIO <= interval.high);
        }
        let share = held as f64 / f64::from(runs);
        assert!((0.92..=0.99).contains(&share), "held the true ratio in {share} of runs");
    }

    #[test]
    fn a_quotient_of_two_runs_has_the_noise_of_both() {
        let run = |middle: f64, spread: f64| {
            vec![(0..31).map(|at| middle + spread * f64::from(at - 15)).collect::<Vec<f64>>()]
        };
        let calm = quotient(&run(2.0, 0.001), &run(1.0, 0.001));
        let noisy = quotient(&run(2.0, 0.001), &run(1.0, 0.02));
        assert_eq!((calm.value, noisy.value), (2.0, 2.0));
        let width = |of: Estimate| of.interval.map(|Interval { low, high }| high - low).unwrap();
        assert!(width(noisy) > 5.0 * width(calm), "{noisy:?} {calm:?}");
    }

    /// Five starts, each with an offset of its own, known to average to nothing.
    #[test]
    fn what_differs_between_starts_is_in_the_interval() {
        let start = |offset: f64| (0..20).map(|at| 1.0 + offset + f64::from(at) / 1e3).collect();
        let clusters: Vec<Vec<f64>> = [-0.1, -0.05, 0.0, 0.05, 0.1].map(start).into();
        let width = |of: Estimate| of.interval.map(|Interval { low, high }| high - low).unwrap();
        let (starts, one) = (estimate_in(&clusters), estimate(&clusters.concat()));
        assert_eq!(starts.value, one.value);
        assert!(width(starts) > 1.5 * width(one), "{starts:?} {one:?}");
    }

    #[test]
    fn a_difference_must_lie_outside_of_what_equal_servers_differ_by() {
        let band = same_band(Interval { low: 0.96, high: 1.02 });
        assert!((band.high - 1.0 / 0.96).abs() < 1e-12);
        assert!((band.low - 0.96).abs() < 1e-12);
        let ratio = |low, high| Estimate { value: low, interval: Some(Interval { low, high }) };
        assert_eq!(verdict(ratio(1.05, 1.1), Some(band)), Verdict::More);
        assert_eq!(verdict(ratio(1.03, 1.1), Some(band)), Verdict::NoDifference);
        assert_eq!(verdict(ratio(0.9, 0.95), Some(band)), Verdict::Less);
        assert_eq!(verdict(ratio(0.9, 0.97), Some(band)), Verdict::NoDifference);
        assert_eq!(verdict(ratio(1.5, 1.6), None), Verdict::Unknown);
    }

    #[test]
    fn percentiles_are_the_upper_bounds_of_their_buckets() {
        let buckets = [(10, 50), (20, 49), (30, 1)];
        assert_eq!(percentile(&buckets, 0.5), Some(10));
        assert_eq!(percentile(&buckets, 0.51), Some(20));
        assert_eq!(percentile(&buckets, 0.99), Some(20));
        assert_eq!(percentile(&buckets, 1.0), Some(30));
        assert_eq!(percentile(&buckets, 0.0), Some(10));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
