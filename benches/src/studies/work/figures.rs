//! From how much work on it no longer matters which server it is.
//!
//! The model: a request costs the one server `a + w` and the other `a + d + w`,
//! where `w` is its work and `d` what the other costs more, however much work
//! there is. So the other costs more by `d / (a + w)`, and by less than a share
//! `s` where `w > d / s − a`. `a` is what the one takes without work; `d` is fitted
//! to the ratios of all amounts of work by least squares, which gives each the
//! weight that it has: with much work a ratio says little about `d`. Intervals are
//! by bootstrap over the blocks of each amount.

use fastrand::Rng;

use crate::report::units::{interval, microseconds, thousands};
use crate::results::{Regime, Results, Work, WorkPoint};
use crate::stats;
use crate::stats::{CONFIDENCE, Estimate, Interval, SEED, VALUES_MIN};
use crate::studies::ladder::disturbance;

/// Shares of a request's cost from where on a difference no longer matters.
pub const SHARES: [f64; 2] = [0.05, 0.01];

/// As of other intervals, with less: each takes medians of all points.
const RESAMPLES: usize = 1_000;

/// What the study says.
#[derive(Clone, Debug)]
pub struct Curve {
    /// By work, ascending.
    pub points: Vec<Point>,
    /// What the other costs more for one request, in ns.
    pub overhead_ns: Estimate,
    /// For each of [`SHARES`], the work in ns from where on the other costs less
    /// than that; 0 where it does without any.
    pub break_even_ns: [Estimate; 2],
}

/// One amount of work.
#[derive(Clone, Debug)]
pub struct Point {
    /// Of the work function.
    pub rounds: u32,
    /// What the one takes for a request, in ns.
    pub base_ns: f64,
    /// Of that, the work: what it takes more than without.
    pub work_ns: f64,
    /// The other's cost in ratio to the one's.
    pub ratio: Estimate,
    /// A second process of the one in ratio to it: the noise.
    pub again: Option<Estimate>,
    /// The ratio by the model.
    pub fitted: f64,
}

/// What the blocks of one amount of work have: the one's cost in ns, and the
/// other's in ratio to it.
#[derive(Clone, Debug)]
struct Blocks {
    base_ns: Vec<f64>,
    ratios: Vec<f64>,
}

/// None without blocks at no work.
pub fn curve(results: &Results, work: &Work) -> Option<Curve> {
    let blocks = |point: &WorkPoint| Blocks::of(results, &point.regime, &work.base, &work.over);
    let measured: Vec<(&WorkPoint, Blocks)> =
        work.points.iter().map(|point| (point, blocks(point))).collect();
    let measured: Vec<_> = measured.into_iter().filter(|(_, b)| !b.ratios.is_empty()).collect();
    let (first, _) = measured.first().filter(|(point, _)| point.rounds == 0)?;
    debug_assert_eq!(first.rounds, 0);
    let all: Vec<Blocks> = measured.iter().map(|(_, blocks)| blocks.clone()).collect();
    let fit = Fit::of(&all);
    let resampled = resampled(&all);
    let estimate = |of: &dyn Fn(&Fit) -> f64| Estimate {
        value: of(&fit),
        interval: resampled.as_ref().map(|fits| percentiles(fits.iter().map(of).collect())),
    };
    let points = measured.iter().map(|(point, blocks)| {
        let base_ns = stats::median(&blocks.base_ns);
        let again = Blocks::of(results, &point.regime, &work.base, &work.again).ratios;
        Point {
            rounds: point.rounds,
            base_ns,
            work_ns: (base_ns - fit.base_ns).max(0.0),
            ratio: stats::estimate(&blocks.ratios),
            again: (!again.is_empty()).then(|| stats::estimate(&again)),
            fitted: 1.0 + fit.overhead_ns / base_ns,
        }
    });
    Some(Curve {
        points: points.collect(),
        overhead_ns: estimate(&|fit| fit.overhead_ns),
        break_even_ns: SHARES.map(|share| estimate(&|fit| fit.break_even_ns(share))),
    })
}

impl Blocks {
    /// Without those that the machine disturbed, as in the ladder.
    fn of(results: &Results, regime: &Regime, base: &str, over: &str) -> Self {
        let mut blocks = Self { base_ns: Vec::new(), ratios: Vec::new() };
        for block in disturbance::sift(results, regime).blocks {
            let of = |key: &str| {
                let sample = block.samples.iter().find(|sample| sample.contender == key)?;
                Some(sample.cpu_ns as f64 / sample.requests as f64)
            };
            if let (Some(base), Some(over)) = (of(base), of(over)) {
                blocks.base_ns.push(base);
                blocks.ratios.push(over / base);
            }
        }
        blocks
    }

    /// As many blocks, drawn from these.
    fn resample(&self, rng: &mut Rng) -> Self {
        let drawn: Vec<usize> =
            self.ratios.iter().map(|_| rng.usize(..self.ratios.len())).collect();
        let pick = |values: &[f64]| drawn.iter().map(|&at| values[at]).collect();
        Self { base_ns: pick(&self.base_ns), ratios: pick(&self.ratios) }
    }
}

/// `a` and `d`.
#[derive(Clone, Copy, Debug)]
struct Fit {
    base_ns: f64,
    overhead_ns: f64,
}

impl Fit {
    /// Of all amounts of work, the first being none.
    fn of(all: &[Blocks]) -> Self {
        let (mut numerator, mut denominator) = (0.0, 0.0);
        for blocks in all {
            let (cost, count) = (stats::median(&blocks.base_ns), blocks.ratios.len() as f64);
            numerator += count * (stats::median(&blocks.ratios) - 1.0) / cost;
            denominator += count / (cost * cost);
        }
        let base_ns = all.first().map_or(f64::NAN, |blocks| stats::median(&blocks.base_ns));
        Self { base_ns, overhead_ns: numerator / denominator }
    }

    fn break_even_ns(&self, share: f64) -> f64 {
        (self.overhead_ns / share - self.base_ns).max(0.0)
    }
}

/// None where there are too few blocks.
fn resampled(all: &[Blocks]) -> Option<Vec<Fit>> {
    if all.iter().any(|blocks| blocks.ratios.len() < VALUES_MIN) {
        return None;
    }
    let mut rng = Rng::with_seed(SEED);
    let mut fit = || {
        let drawn: Vec<Blocks> = all.iter().map(|blocks| blocks.resample(&mut rng)).collect();
        Fit::of(&drawn)
    };
    Some((0..RESAMPLES).map(|_| fit()).collect())
}

fn percentiles(mut values: Vec<f64>) -> Interval {
    values.sort_unstable_by(f64::total_cmp);
    let tail = ((1.0 - CONFIDENCE) / 2.0 * values.len() as f64) as usize;
    Interval { low: values[tail], high: values[values.len() - 1 - tail] }
}

/// The answer in sentences.
pub fn sentences(work: &Work, curve: &Curve) -> Vec<String> {
    let (base, over) = (&work.base, &work.over);
    let spread = |estimate: Estimate| match estimate.interval {
        Some(Interval { low, high }) => {
            format!(" [{} to {}]", microseconds(low), microseconds(high))
        }
        None => " (no interval: too few blocks)".to_string(),
    };
    let costs_more = curve.overhead_ns.interval.is_none_or(|interval| interval.low > 0.0);
    if !costs_more || curve.overhead_ns.value <= 0.0 {
        return vec![format!("{over} costs no more than {base} here, whatever the work.")];
    }
    let from = |share: f64, work: Estimate| {
        let percent = share * 100.0;
        match work.value {
            0.0 => format!("{over} costs under {percent:.0} % more than {base} even without work."),
            work_ns => format!(
                "From {}{} of work for a request on, {over} costs under {percent:.0} % more than \
                 {base}.",
                microseconds(work_ns),
                spread(work)
            ),
        }
    };
    let mut sentences: Vec<String> =
        SHARES.iter().zip(curve.break_even_ns).map(|(&share, work)| from(share, work)).collect();
    sentences.push(format!(
        "It costs {}{} more for each request, taken as the same whatever the work.",
        microseconds(curve.overhead_ns.value),
        spread(curve.overhead_ns)
    ));
    sentences
}

/// Who has no figure, and why.
pub fn failures(work: &Work) -> Vec<String> {
    let failed = |point: &WorkPoint| {
        let title = point.regime.title.clone();
        let failures = point.regime.failures.clone().into_iter();
        failures.map(move |f| format!("{title}: {} has no figures: {}.", f.contender, f.reason))
    };
    work.points.iter().flat_map(failed).collect()
}

/// What stands above [`words`].
pub fn head(work: &Work) -> [String; 6] {
    [
        "rounds".to_string(),
        "work".to_string(),
        format!("CPU/request of {}", work.base),
        format!("{} in ratio", work.over),
        "by the fit".to_string(),
        "A/A".to_string(),
    ]
}

/// A point in words.
pub fn words(point: &Point) -> [String; 6] {
    let bounds = |estimate: Estimate| match estimate.interval {
        Some(spread) => format!("{:.3} [{}]", estimate.value, interval(spread)),
        None => format!("{:.3}", estimate.value),
    };
    [
        thousands(f64::from(point.rounds)),
        microseconds(point.work_ns),
        microseconds(point.base_ns),
        bounds(point.ratio),
        format!("{:.3}", point.fitted),
        point.again.map_or("–".to_string(), bounds),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Block, Sample};

    const BASE_NS: f64 = 8_000.0;
    const OVERHEAD_NS: f64 = 2_000.0;
    const ROUND_NS: f64 = 100.0;

    /// Blocks with noise of some percent, that of a whole block and that of a slice.
    fn work(noise: f64, overhead_ns: f64) -> Work {
        let mut rng = Rng::with_seed(7);
        let mut slice = |contender: &str, cpu_ns: f64, block: f64| {
            let cpu_ns = cpu_ns * block * (1.0 + noise * (rng.f64() - 0.5));
            Sample {
                contender: contender.to_string(),
                requests: 1_000,
                cpu_ns: (cpu_ns * 1_000.0) as u64,
                ..Sample::default()
            }
        };
        let point = |rounds: u32| {
            let cost = BASE_NS + ROUND_NS * f64::from(rounds);
            let block = |at: u32| {
                let storm = 1.0 + noise * (f64::from(at % 3) - 1.0);
                let samples = vec![
                    slice("pinloop", cost, storm),
                    slice("hyper", cost + overhead_ns, storm),
                    slice("pinloop_again", cost, storm),
                ];
                Block { samples, ..Block::default() }
            };
            let blocks = (0..30).map(block).collect();
            WorkPoint { rounds, regime: Regime { blocks, ..Regime::default() } }
        };
        Work {
            base: "pinloop".to_string(),
            over: "hyper".to_string(),
            again: "pinloop_again".to_string(),
            points: [0, 10, 100, 1_000, 10_000].map(point).to_vec(),
            ..Work::default()
        }
    }

    #[test]
    fn the_break_even_is_where_the_overhead_is_that_share() {
        let curve = curve(&Results::default(), &work(0.0, OVERHEAD_NS)).unwrap();
        assert!((curve.overhead_ns.value - OVERHEAD_NS).abs() < 1.0, "{:?}", curve.overhead_ns);
        // 2 µs are 5 % of 40 µs, of which 8 are no work, and 1 % of 200 µs.
        let [five, one] = curve.break_even_ns;
        assert!((five.value - 32_000.0).abs() < 50.0, "{five:?}");
        assert!((one.value - 192_000.0).abs() < 250.0, "{one:?}");
        assert!((curve.points[2].work_ns - 10_000.0).abs() < 1.0);
        assert!((curve.points[2].fitted - 10.0 / 9.0).abs() < 0.01);
    }

    #[test]
    fn intervals_hold_the_truth_where_slices_are_noisy() {
        let curve = curve(&Results::default(), &work(0.1, OVERHEAD_NS)).unwrap();
        for (estimate, truth) in curve.break_even_ns.iter().zip([32_000.0, 192_000.0]) {
            let Interval { low, high } = estimate.interval.unwrap();
            assert!(low < truth && truth < high, "{estimate:?}");
            assert!(high - low < truth, "{estimate:?}");
        }
        let said = sentences(&work(0.1, OVERHEAD_NS), &curve);
        assert!(said[0].contains("under 5 %") && said[1].contains("under 1 %"), "{said:?}");
    }

    #[test]
    fn no_overhead_is_said_to_be_none() {
        let work = work(0.1, 0.0);
        let said = sentences(&work, &curve(&Results::default(), &work).unwrap());
        assert_eq!(said, ["hyper costs no more than pinloop here, whatever the work."]);
    }

    #[test]
    fn an_overhead_below_the_share_needs_no_work() {
        let curve = curve(&Results::default(), &work(0.0, 200.0)).unwrap();
        assert_eq!(curve.break_even_ns[0].value, 0.0);
        assert!(curve.break_even_ns[1].value > 0.0);
        assert!(sentences(&work(0.0, 200.0), &curve)[0].contains("even without work"));
    }

    #[test]
    fn without_its_first_point_there_is_no_curve() {
        let mut work = work(0.0, OVERHEAD_NS);
        work.points.remove(0);
        assert!(curve(&Results::default(), &work).is_none());
        assert!(curve(&Results::default(), &Work::default()).is_none());
    }
}
