//! Ratios of two servers over the same starts, for figures of all starts together.
//!
//! The kernel spreads connections anew at each start. A start in which they collide on one core
//! belongs to the figure too, so that nothing is trimmed here: throughput is
//! the mean over the starts, and a percentile is that of all requests of all starts, which is what
//! the clients of many such servers see.
//!
//! The interval comes from starts drawn anew, the same for both servers. A bootstrap of few starts
//! is too narrow by a known factor, and the interval is widened by it (T. C. Hesterberg, 2015).

use fastrand::Rng;

use super::starts::{STARTS_MIN, student_t};
use super::{CONFIDENCE, Estimate, Interval};

/// Resamples of the bootstrap.
const RESAMPLES: usize = 500;

/// Any seed will do; a fixed one makes a report a function of its file.
const SEED: u64 = 0x7061_6972_6564;

/// 97.5 % quantile of the normal distribution.
const NORMAL: f64 = 1.959_964;

/// Estimates a figure above 0. `figure` gets the starts to take, each as often as it is listed.
/// Returns none if all the starts together have no figure. There is no interval with
/// fewer than [`STARTS_MIN`] starts, or if some starts drawn anew have no figure.
pub fn estimate(starts: usize, figure: impl Fn(&[usize]) -> Option<f64>) -> Option<Estimate> {
    let all: Vec<usize> = (0..starts).collect();
    let value = figure(&all).filter(|value| *value > 0.0 && value.is_finite())?;
    let interval = if starts < STARTS_MIN { None } else { interval(starts, value, &figure) };
    Some(Estimate { value, interval })
}

fn interval(
    starts: usize,
    value: f64,
    figure: &impl Fn(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    let mut rng = Rng::with_seed(SEED);
    let mut drawn = vec![0; starts];
    let mut logs = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        drawn.fill_with(|| rng.usize(..starts));
        logs.push((figure(&drawn)? / value).ln());
    }
    logs.sort_unstable_by(f64::total_cmp);
    let tail = ((1.0 - CONFIDENCE) / 2.0 * logs.len() as f64) as usize;
    let (low, high) = (logs[tail], logs[logs.len() - 1 - tail]);
    let count = starts as f64;
    let factor = (count / (count - 1.0)).sqrt() * student_t(starts - 1) / NORMAL;
    let bound = |log: f64| value * (log * factor).exp();
    let interval = Interval { low: bound(low), high: bound(high) };
    (interval.low.is_finite() && interval.high.is_finite()).then_some(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64], starts: &[usize]) -> f64 {
        starts.iter().map(|&start| values[start]).sum::<f64>() / starts.len() as f64
    }

    #[test]
    fn what_both_servers_share_is_in_no_interval() {
        let base = [100.0, 300.0, 100.0, 200.0, 50.0, 100.0];
        let ratio = |starts: &[usize]| {
            let more: Vec<f64> = base.iter().map(|value| value * 1.2).collect();
            Some(mean(&more, starts) / mean(&base, starts))
        };
        let found = estimate(base.len(), ratio).unwrap();
        let interval = found.interval.unwrap();
        assert!((found.value - 1.2).abs() < 1e-9);
        assert!(interval.high - interval.low < 1e-9, "{interval:?}");
    }

    #[test]
    fn few_starts_and_starts_without_a_figure_have_no_interval() {
        let values = [1.0, 1.1, 0.9, 1.0];
        let of = |starts: &[usize]| Some(mean(&values, starts));
        assert_eq!(estimate(3, of).unwrap().interval, None);
        assert!(estimate(4, of).unwrap().interval.is_some());
        assert!(estimate(4, |_| None).is_none());
        let some = |starts: &[usize]| starts.contains(&2).then_some(1.0);
        assert_eq!(estimate(4, some).unwrap().interval, None);
    }

    /// In half of the starts both connections are on one core, and half of the rate is lost.
    #[test]
    fn intervals_hold_the_true_ratio_of_servers_that_collide_at_random() {
        let mut rng = Rng::with_seed(3);
        let runs = 300;
        let mut held = 0;
        for _ in 0..runs {
            let noise = |rng: &mut Rng| 1.0 + 0.1 * (rng.f64() - 0.5);
            let even: Vec<f64> = (0..12).map(|_| noise(&mut rng)).collect();
            let collides = |rng: &mut Rng| if rng.bool() { 0.5 } else { 1.0 };
            let hashed: Vec<f64> = (0..12).map(|_| noise(&mut rng) * collides(&mut rng)).collect();
            let ratio = |starts: &[usize]| Some(mean(&hashed, starts) / mean(&even, starts));
            let interval = estimate(12, ratio).unwrap().interval.unwrap();
            held += usize::from(interval.low <= 0.75 && 0.75 <= interval.high);
        }
        let share = held as f64 / f64::from(runs);
        assert!((0.92..=0.98).contains(&share), "held the true ratio in {share} of runs");
    }
}
