//! Medians, their intervals, and what counts as a difference.

pub mod bins;
pub mod coverage;
pub mod paired;
pub mod queueing;
pub mod simulation;
pub mod starts;
pub mod usl;

use fastrand::Rng;

/// Fewer values give no interval: of five, even their whole range holds the
/// median of what they are drawn from in only 94 % of cases.
pub const VALUES_MIN: usize = 6;

/// Share of cases in which an interval is meant to hold the true value.
pub const CONFIDENCE: f64 = 0.95;

/// Two servers are equal if the whole interval of their ratio is this close to 1.
pub const EQUAL_WITHIN: f64 = 0.02;

/// Resamples of the bootstrap: another seed moves a bound by far less than the width of
/// the interval.
const RESAMPLES: usize = 4000;

/// Any seed will do; a fixed one makes a report a function of its file.
const SEED: u64 = 0x0070_696e_6c6f_6f70;

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

    /// Returns the quotient of two ratios of different runs, which are independent.
    pub fn over(self, below: Self) -> Self {
        let value = self.value / below.value;
        let half = |of: Self| of.interval.map(|Interval { low, high }| (high / low).ln() / 2.0);
        let interval = half(self).zip(half(below)).map(|(above, below)| {
            let factor = above.hypot(below).exp();
            Interval { low: value / factor, high: value * factor }
        });
        Self { value, interval }
    }
}

/// Meaning of a ratio's interval, beside the ratio of two equal servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Surely below the reference.
    Less,
    /// Surely within [`EQUAL_WITHIN`] of the reference.
    Equal,
    /// The run cannot tell the two apart.
    NotApart,
    /// Surely above the reference.
    More,
    /// Too few starts to say.
    Unknown,
}

/// The middle value, or the mean of the two middle ones; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    median_of(&mut values.to_vec())
}

/// The median with its bootstrap percentile interval.
pub fn estimate(values: &[f64]) -> Estimate {
    let value = median(values);
    let interval = (values.len() >= VALUES_MIN).then(|| bootstrap(values, RESAMPLES));
    Estimate { value, interval }
}

/// Returns the band around 1 in which a ratio does not count as a difference: it reaches
/// as far from 1 as the interval of the A/A pair, to both sides.
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
        (Some(ratio), Some(_)) if farthest(ratio) < EQUAL_WITHIN => Verdict::Equal,
        (Some(_), Some(_)) => Verdict::NotApart,
        _ => Verdict::Unknown,
    }
}

/// Returns the largest distance of a ratio's interval from 1: the run excludes that the
/// two differ by more.
pub fn farthest(ratio: Interval) -> f64 {
    (1.0 - ratio.low).max(ratio.high - 1.0)
}

/// The upper bound of the histogram's bucket below which `share` of the counts
/// lie; none of an empty histogram. `buckets` ascend: upper bound, count.
pub fn percentile(buckets: &[(u64, u64)], share: f64) -> Option<u64> {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    let rank = rank(total, share);
    let mut seen = 0;
    for &(upper, count) in buckets {
        seen += count;
        if seen >= rank {
            return Some(upper);
        }
    }
    None
}

/// Does the same as [`percentile`] by bisection. `up_to` returns the counts of a bucket, by its
/// number, and of all buckets below. This spares a sum of several histograms.
pub fn percentile_of_sums(uppers: &[u64], share: f64, up_to: impl Fn(usize) -> u64) -> Option<u64> {
    let last = uppers.len().checked_sub(1)?;
    let rank = rank(up_to(last), share);
    let (mut low, mut high) = (0, uppers.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        match up_to(middle) >= rank {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    uppers.get(low).copied()
}

/// Place of the percentile among `total` values in ascending order, from 1 on.
fn rank(total: u64, share: f64) -> u64 {
    ((share * total as f64).ceil() as u64).max(1)
}

/// Returns the interval of the medians of samples drawn with replacement.
fn bootstrap(values: &[f64], resamples: usize) -> Interval {
    let mut rng = Rng::with_seed(SEED);
    let mut resample = Vec::new();
    let median = |_| {
        resample.clear();
        resample.extend(values.iter().map(|_| values[rng.usize(..values.len())]));
        median_of(&mut resample)
    };
    middle((0..resamples).map(median).collect())
}

/// Returns the interval that holds [`CONFIDENCE`] of `values`, symmetric in rank.
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
            let interval = bootstrap(&ratios, 400);
            held += usize::from(interval.low <= TRUE_RATIO && TRUE_RATIO <= interval.high);
        }
        let share = held as f64 / f64::from(runs);
        assert!((0.92..=0.99).contains(&share), "held the true ratio in {share} of runs");
    }

    #[test]
    fn a_quotient_of_two_runs_has_the_noise_of_both() {
        let run = |value: f64, half: f64| Estimate {
            value,
            interval: Some(Interval { low: value / half, high: value * half }),
        };
        let quotient = run(2.0, 1.03).over(run(1.0, 1.04));
        assert_eq!(quotient.value, 2.0);
        let interval = quotient.interval.unwrap();
        assert!((interval.high / 2.0 - 1.05).abs() < 0.001, "{interval:?}");
    }

    #[test]
    fn a_difference_must_lie_outside_of_what_equal_servers_differ_by() {
        let band = same_band(Interval { low: 0.96, high: 1.02 });
        assert!((band.high - 1.0 / 0.96).abs() < 1e-12);
        assert!((band.low - 0.96).abs() < 1e-12);
        let ratio = |low, high| Estimate { value: low, interval: Some(Interval { low, high }) };
        assert_eq!(verdict(ratio(1.05, 1.1), Some(band)), Verdict::More);
        assert_eq!(verdict(ratio(1.03, 1.1), Some(band)), Verdict::NotApart);
        assert_eq!(verdict(ratio(0.9, 0.95), Some(band)), Verdict::Less);
        assert_eq!(verdict(ratio(0.9, 0.97), Some(band)), Verdict::NotApart);
        assert_eq!(verdict(ratio(0.99, 1.01), Some(band)), Verdict::Equal);
        assert_eq!(verdict(ratio(0.99, 1.03), Some(band)), Verdict::NotApart);
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

    #[test]
    fn percentiles_of_sums_are_those_of_the_summed_histogram() {
        for counts in [vec![], vec![0, 0], vec![0, 50, 0, 49, 1, 0], vec![3], vec![1, 2, 3, 4, 5]] {
            let uppers: Vec<u64> = (1..=counts.len() as u64).map(|nth| nth * 10).collect();
            let buckets: Vec<(u64, u64)> = uppers.iter().copied().zip(counts.clone()).collect();
            let up_to = |bucket: usize| counts[..=bucket].iter().sum();
            for share in [0.0, 0.01, 0.5, 0.51, 0.99, 1.0] {
                let found = percentile_of_sums(&uppers, share, up_to);
                assert_eq!(found, percentile(&buckets, share), "{share} of {counts:?}");
            }
        }
    }
}
